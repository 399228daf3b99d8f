"""Many commands in one request: each with its own outcome, or all of them or none."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from api.answers import JsonAnswer, answer_body, answer_headers, status_of
from api.auth import Caller
from api.command_items import Item
from api.desk import DECISION_ERRORS, Desk, desk_of, outcome_of, problem_of_error
from api.envelope import Envelope, key_required
from api.field_errors import problem_of_validation, validation_problem
from api.forms import Form, Request
from api.language import language_of
from api.memberships import Directory
from api.problems import Problem, field_error
from api.webhook_redeliveries import of_nothing
from api.webhook_secrets import fresh_secret
from api.wire import STRICT
from write_model.dispatch import Receipt, Refused
from write_model.message import COMMANDS, Context

COMMANDS_MAX = 1_000
_DEADLINE_SECONDS = 60.0
# Reading a thousand forms takes a while; others get a turn in between.
_FORMS_A_TURN = 50


@dataclass(frozen=True, slots=True)
class Read:
    """A command that could be read; `pointer` is where it stood."""

    asked: Request
    context: Context
    pointer: str


class Batch(BaseModel):
    """Up to 1,000 commands. `atomic`: all are recorded, or none."""

    model_config = STRICT

    atomic: bool = False
    commands: Annotated[list[Any], Field(min_length=1, max_length=COMMANDS_MAX)]


async def hand_in_all(
    request: HttpRequest, caller: Caller, forms: Mapping[str, Form], body: Any, envelope: Envelope
) -> Response:
    """Read every command, decide those that can be read, answer all, in order."""
    if envelope.is_dry_run or envelope.expected_version is not None:
        # They belong to the single commands; here they would silently mean nothing.
        raise Problem("malformed-header", params={"header": "If-Match, dry_run"})
    try:
        batch = Batch.model_validate(body)
    except ValidationError as error:
        raise problem_of_validation(error) from None
    desk = desk_of(request, caller)
    read = await _known(desk, await _read_all(desk, forms, batch.commands, envelope.key))
    refused = [item for item in read if isinstance(item, Problem)]
    if batch.atomic and refused:
        return _all_refused(request, [_not_attempted(item) for item in read])
    outcomes = await _decide(request, [item for item in read if not isinstance(item, Problem)], batch.atomic)
    if batch.atomic and any(isinstance(outcome, Problem) for outcome in outcomes):
        return _all_refused(request, outcomes)
    found = iter(outcomes)
    results = [item if isinstance(item, Problem) else next(found) for item in read]
    await _follow(request, desk, read, results)
    return _answer(request, desk, batch.atomic, results)


async def _read_all(
    desk: Desk, forms: Mapping[str, Form], commands: Sequence[Any], key: str | None
) -> list[Read | Problem]:
    read: list[Read | Problem] = []
    for number, raw in enumerate(commands):
        if number % _FORMS_A_TURN == 0:
            await asyncio.sleep(0)
        try:
            # A command without a key of its own has that of the batch and its place in it.
            own = None if key is None else f"{key}/{number}"
            read.append(_read(desk, forms, raw, f"/commands/{number}", own))
        except Problem as problem:
            read.append(problem)
    return read


async def _known(desk: Desk, read: Sequence[Read | Problem]) -> list[Read | Problem]:
    """The same, and refused what asks for something that is not there."""
    asked = [(item.asked.command, item.context) for item in read if isinstance(item, Read)]
    strange = await of_nothing(desk.services, desk.caller, asked)
    return [
        Problem("not-found") if isinstance(item, Read) and item.context.command_id in strange else item
        for item in read
    ]


def _read(desk: Desk, forms: Mapping[str, Form], raw: Any, pointer: str, key: str | None) -> Read:
    item = Item.read(raw, pointer=pointer)
    form = item.form_of(forms)
    if not desk.caller.may(form.meta.permission):
        raise Problem("permission-denied", params={"permission": form.meta.permission})
    if form.makes_company:
        error = field_error(f"{pointer}/topic", "not-in-batches", "This command stands alone.")
        raise validation_problem([error])
    envelope = item.envelope(replace(_NO_ENVELOPE, key=key))
    if envelope.key is None:
        raise key_required()
    asked = item.handed(form).read(desk.services.ids)
    context = desk.context(asked, envelope.key, envelope.expected_version, desk.caller.company_id)
    return Read(asked, context, pointer)


_NO_ENVELOPE = Envelope(
    key=None, expected_version=None, expected_by_header=False, is_dry_run=False, wants_minimal=False
)


async def _decide(request: HttpRequest, read: Sequence[Read], atomic: bool) -> list[Receipt | Problem]:
    if not read:
        return []
    metrics, dispatcher = request.app.state.metrics, request.app.state.services.dispatcher
    items = [(item.asked.command, item.context) for item in read]
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            outcomes = await dispatcher.execute_batch(items, atomic=atomic)
    except DECISION_ERRORS as why:
        raise problem_of_error(why) from why
    results: list[Receipt | Problem] = []
    for item, outcome in zip(read, outcomes, strict=True):
        topic = item.asked.command.meta.topic
        if isinstance(outcome, Refused):
            metrics.commands.labels(topic, "refused").inc()
            results.append(problem_of_error(outcome.error, by_header=False, prefix=f"{item.pointer}/body"))
        else:
            metrics.commands.labels(topic, outcome_of(outcome)).inc()
            metrics.count_events(outcome)
            results.append(outcome)
    return results


async def _follow(
    request: HttpRequest, desk: Desk, read: Sequence[Read | Problem], results: Sequence[Receipt | Problem]
) -> None:
    directory: Directory = request.app.state.directory
    for item, result in zip(read, results, strict=True):
        if isinstance(result, Receipt) and not isinstance(item, Problem):
            await directory.follow(desk.services.store, item.asked.command, result, desk.caller.user_id)


def _not_attempted(item: Read | Problem) -> Problem:
    return item if isinstance(item, Problem) else Problem("not-attempted")


def _all_refused(request: HttpRequest, results: Sequence[Receipt | Problem]) -> Response:
    """One of an atomic batch was refused: its problem, with what every command would have got."""
    problems = [result for result in results if isinstance(result, Problem)]
    first = next((problem for problem in problems if problem.code != "not-attempted"), problems[0])
    language = language_of(request)
    entries = [{"status": p.status, "problem": p.body(language)} for p in problems]
    raise Problem(
        first.code,
        kind=first.kind,
        params=first.params,
        errors=first.errors,
        headers=first.headers,
        results=entries,
    )


def _answer(request: HttpRequest, desk: Desk, atomic: bool, results: Sequence[Receipt | Problem]) -> Response:
    language = language_of(request)
    entries: list[dict[str, Any]] = []
    token = ""
    for result in results:
        if isinstance(result, Problem):
            entries.append({"status": result.status, "problem": result.body(language)})
            continue
        # What would be reversed is looked up for single commands only: `GET /v1/commands/{id}` has it.
        known = None if not _reverses_itself(result) else result.target
        answer = answer_body(result, known)
        headers = answer_headers(result, answer, desk.caller.company_id, desk.services)
        token = max(token, headers["Consistency-Token"])
        secret = fresh_secret(result, desk.caller.company_id, desk.services)
        entries.append({"status": status_of(result), "replayed": result.replayed, **answer, **secret})
    all_accepted = all(entry["status"] < 300 for entry in entries)
    headers = {"Consistency-Token": token} if token else {}
    return JsonAnswer({"atomic": atomic, "results": entries}, 200 if all_accepted else 207, headers)


def _reverses_itself(receipt: Receipt) -> bool:
    meta = COMMANDS[receipt.topic]
    return meta.reversed_by is not None and COMMANDS[meta.reversed_by].target == meta.target
