"""The desk where commands are handed in: who, under which key, and what came of it.

Every door ends here: the route of a command, the generic one, and batches.
"""

import asyncio
from dataclasses import dataclass
from datetime import date
from time import perf_counter
from typing import Any
from uuid import UUID, uuid5

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from api.answers import JsonAnswer, answer_body, answer_headers, reverse_target, status_of
from api.auth import Caller
from api.envelope import Envelope, key_required
from api.field_errors import problem_of_invalid
from api.forms import Form, Request
from api.memberships import Directory
from api.problems import Problem, problem_of
from api.services import Ids, Services, services_of
from api.webhook_redeliveries import of_nothing
from api.webhook_secrets import secret_in
from write_model.dispatch import Contended, KeyReused, NotAttempted, Receipt, VersionMismatch
from write_model.dispatch.outcome import CommandError
from write_model.message import Actor, Context, Invalid, Refusal
from write_model.store.append import StoreBusy, StoreError, StoreUnavailable

# Longer than every patience below it, so that it only ends what nothing else ended.
_DEADLINE_SECONDS = 25.0

DECISION_ERRORS = (Refusal, Invalid, CommandError, StoreError, TimeoutError)
"""What can stop a command that was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One caller at the desk."""

    caller: Caller
    services: Services
    request_id: UUID
    today: date

    def context(self, asked: Request, key: str, expected_version: int | None, company_id: UUID) -> Context:
        """The envelope of one command."""
        fingerprint = self.services.store.fingerprint(company_id, asked.text)
        return Context(
            company_id=company_id,
            actor=Actor("user", self.caller.user_id),
            command_id=self.services.ids.new(),
            correlation_id=self.request_id,
            idempotency_key=key,
            body_hash=bytes.fromhex(fingerprint),
            effective_date=asked.effective_date or self.today,
            today=self.today,
            reason=asked.reason,
            expected_version=expected_version,
            language=self.caller.language,
            loopback_allowed=self.services.loopback_allowed,
        )


def desk_of(request: HttpRequest, caller: Caller) -> Desk:
    """The desk of this request."""
    services = services_of(request)
    return Desk(
        caller=caller,
        services=services,
        request_id=request.state.request_uuid,
        today=caller.today(services.clock()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A filled-in form; `body_pointer` and `target_pointer` say where its parts stood in the request."""

    form: Form
    body: Any
    target: str | None
    body_pointer: str = ""
    target_pointer: str | None = None

    def read(self, ids: Ids) -> Request:
        """The command it asks for; raises Problem."""
        return self.form.read(
            self.body, self.target, ids, target_pointer=self.target_pointer, prefix=self.body_pointer
        )


async def hand_in(request: HttpRequest, caller: Caller, handed: Handed, envelope: Envelope) -> Response:
    """Read one command, decide it, answer it; raises Problem."""
    if envelope.key is None and not envelope.is_dry_run:
        raise key_required()
    desk, services = desk_of(request, caller), services_of(request)
    asked = handed.read(services.ids)
    company_id, asked = _company_of(handed.form, asked, caller, envelope.key)
    context = desk.context(asked, envelope.key or "", envelope.expected_version, company_id)
    if await of_nothing(services, caller, [(asked.command, context)]):
        raise Problem("not-found")
    try:
        receipt = await decide(request, asked, context, is_dry_run=envelope.is_dry_run)
    except DECISION_ERRORS as why:
        raise problem_of_error(
            why, by_header=envelope.expected_by_header, prefix=handed.body_pointer
        ) from why
    directory: Directory = request.app.state.directory
    await directory.follow(services.store, asked.command, receipt, caller.user_id)
    link = await reverse_target(receipt, asked.command.stream_key(), company_id, services)
    answer = answer_body(receipt, link) | await secret_in(receipt, company_id, services)
    headers = answer_headers(receipt, answer, company_id, services)
    if envelope.wants_minimal and not receipt.dry_run:
        return Response(status_code=204, headers=headers | {"Preference-Applied": "return=minimal"})
    return JsonAnswer(answer, status_of(receipt), headers)


async def decide(request: HttpRequest, asked: Request, context: Context, *, is_dry_run: bool) -> Receipt:
    """Through the dispatcher, counted; raises one of DECISION_ERRORS."""
    topic, started = asked.command.meta.topic, perf_counter()
    dispatcher, metrics = services_of(request).dispatcher, request.app.state.metrics
    outcome = "failed"
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            receipt = await (dispatcher.rehearse if is_dry_run else dispatcher.execute)(
                asked.command, context
            )
        outcome = outcome_of(receipt)
        if not is_dry_run:
            metrics.count_events(receipt)
        return receipt
    except (Refusal, Invalid, CommandError) as why:
        outcome = "refused"
        metrics.count_conflict(topic, why)
        raise
    finally:
        metrics.count_command(topic, outcome, perf_counter() - started)


def outcome_of(receipt: Receipt) -> str:
    """In one word, for the counters."""
    if receipt.dry_run:
        return "rehearsed"
    if receipt.replayed:
        return "replayed"
    return "accepted" if receipt.events else "unchanged"


def problem_of_error(error: Exception, *, by_header: bool = True, prefix: str = "") -> Problem:
    """What stopped a command, as a client sees it."""
    match error:
        case Refusal():
            return problem_of(error)
        case Invalid():
            return problem_of_invalid(error, prefix)
        case KeyReused():
            return Problem("idempotency-key-reused")
        case VersionMismatch():
            conflict = {"your_version": error.expected, "current_version": error.current}
            return Problem("version-conflict" if by_header else "version-differs", conflict=conflict)
        case Contended():
            return Problem("state-conflict", headers={"Retry-After": "1"})
        case NotAttempted():
            return Problem("not-attempted")
        case StoreBusy():
            return Problem("dependency-down", headers={"Retry-After": "1"})
        case StoreUnavailable() | TimeoutError():
            return Problem("command-timeout", headers={"Retry-After": "1"})
    raise error


def _company_of(form: Form, asked: Request, caller: Caller, key: str | None) -> tuple[UUID, Request]:
    """The company a command is for: the caller's, or the one it brings into being.

    The id of a new company follows from its maker and the key: a repeated request finds what the first made.
    """
    if not form.makes_company:
        return caller.company_id, asked
    company_id = uuid5(caller.user_id, f"company/{key}")
    values = {name: getattr(asked.command, name) for name in form.field_names}
    command = form.meta.command(**values | {form.meta.target: company_id})
    return company_id, Request(
        command=command, effective_date=asked.effective_date, reason=asked.reason, text=asked.text
    )
