"""Sends an export to the books: ordinary commands through the batch lane, in an order that always works.

The account, customers and products first, in any order; then the orders, each order's commands together and
in sequence. A few requests are in flight at once, because whose order does not matter. Every command has
its own idempotency key, so what was recorded before an interruption, or by an earlier run, is only
answered again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any, Protocol
from uuid import UUID

import msgspec

from runtime.marketplace import mapping
from runtime.marketplace.mapping import Asked, Plan, Unfit
from runtime.marketplace.read import CUSTOMERS, ORDERS, PRODUCTS, Export
from runtime.marketplace.rows import RowRefused

COMMANDS_MAX = 500
BYTES_MAX = 900_000
"""Of a request; the server takes a little more."""

IN_FLIGHT = 2
_ATTEMPTS_MAX = 6

# Refusals that only say it has been done already, perhaps by somebody else than this login.
_DONE_ALREADY = {
    "treasury.open_bank_account": {"already-exists"},
    "parties.register_party": {"already-exists"},
    "catalog.register_product": {"already-exists"},
    "sales.draft_sale": {"already-exists"},
    "sales.confirm_sale": {"sale-not-draft"},
    "sales.cancel_sale": {"sale-already-cancelled"},
    "settlement.settle_instalment": {"instalment-not-open"},
}


class Doors(Protocol):
    """The API as an import uses it."""

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Send JSON, repeated until there is an answer."""
        ...

    def rows(self, path: str, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Every row of a list, as it stands after everything that was sent."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that belong together, and the row of the source they come from."""

    file: str
    line: int
    commands: Sequence[Asked]


@dataclass(slots=True)
class Sent:
    """What became of the commands."""

    recorded: int = 0
    known: int = 0
    """Recorded by an earlier run, or done already."""
    refused: list[RowRefused] = field(default_factory=list)

    answered: int = 0


def drop_unfit(company_id: UUID, export: Export, settle_until: date) -> int:
    """Move orders that cannot be sales to the refused rows; returns how many commands the rest is."""
    commands = 1 + len(export.customers) + len(export.products)
    for order in list(export.orders.values()):
        try:
            commands += mapping.command_count(mapping.plan_of(company_id, order, settle_until))
        except Unfit as why:
            del export.orders[order.order_id]
            export.refused.append(RowRefused(ORDERS, order.line, f"refused whole: {why}"))
    return commands


def plans(company_id: UUID, export: Export, settle_until: date) -> Iterator[Plan]:
    """The orders as plans, oldest first. Worked out anew each time: that is cheaper than keeping them."""
    for order in sorted(export.orders.values(), key=lambda each: (each.purchased_on, each.order_id)):
        yield mapping.plan_of(company_id, order, settle_until)


def send(
    doors: Doors, company_id: UUID, export: Export, settle_until: date, on_progress: Callable[[int], None]
) -> Sent:
    """Send everything; whatever is refused is noted, with the row it comes from."""
    sent = Sent()
    orders = (
        Group(ORDERS, plan.order.line, [*mapping.commands_of(company_id, plan)])
        for plan in plans(company_id, export, settle_until)
    )
    # One after the other: orders refer to all of the first.
    for phase in (_master_data(company_id, export), orders):
        _send_all(doors, phase, sent, on_progress)
    return sent


def _master_data(company_id: UUID, export: Export) -> Iterator[Group]:
    account = Group("", 0, [mapping.open_account(company_id)])
    customers = (
        Group(CUSTOMERS, each.line, [mapping.register_party(company_id, each)])
        for each in export.customers.values()
    )
    products = (
        Group(PRODUCTS, each.line, [mapping.register_product(company_id, each)])
        for each in export.products.values()
    )
    return chain([account], customers, products)


def _send_all(doors: Doors, groups: Iterable[Group], sent: Sent, on_progress: Callable[[int], None]) -> None:
    waiting: set[Future[Sent]] = set()
    pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="import")
    try:
        for batch in batches(groups):
            waiting.add(pool.submit(_send_batch, doors, batch))
            if len(waiting) > IN_FLIGHT:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                _note(done, sent, on_progress)
        _note(wait(waiting).done, sent, on_progress)
    finally:
        # Also after Ctrl-C: what is on its way may arrive, what waits must not start.
        pool.shutdown(wait=True, cancel_futures=True)


def _note(done: Iterable[Future[Sent]], sent: Sent, on_progress: Callable[[int], None]) -> None:
    for future in done:
        part = future.result()
        sent.recorded += part.recorded
        sent.known += part.known
        sent.refused += part.refused
        on_progress(part.answered)


@dataclass(frozen=True, slots=True)
class Entry:
    """A command on its way, as bytes too."""

    group: Group
    asked: Asked
    encoded: bytes


def batches(groups: Iterable[Group]) -> Iterator[list[Entry]]:
    """Groups by the request, never dividing one, within what a request may hold."""
    batch: list[Entry] = []
    size = 0
    for group in groups:
        entries = [Entry(group, asked, encode(asked)) for asked in group.commands]
        weight = sum(len(entry.encoded) + 1 for entry in entries)
        if batch and (len(batch) + len(entries) > COMMANDS_MAX or size + weight > BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch += entries
        size += weight
    if batch:
        yield batch


def encode(asked: Asked) -> bytes:
    """A command as an element of a batch."""
    item: dict[str, object] = {
        "topic": asked.topic,
        "target": asked.target,
        "idempotency_key": asked.key,
        "body": asked.body,
    }
    if asked.effective_date is not None:
        item["effective_date"] = asked.effective_date
    if asked.reason is not None:
        item["reason"] = asked.reason
    return msgspec.json.encode(item)


def _send_batch(doors: Doors, batch: list[Entry]) -> Sent:
    """Send one request, and again what only met others on its way."""
    sent = Sent()
    sent.answered = len(batch)
    failed: set[int] = set()
    left = batch
    for attempt in range(_ATTEMPTS_MAX):
        body = b'{"atomic":false,"commands":[%s]}' % b",".join(entry.encoded for entry in left)
        results = doors.post("/v1/commands", body)["results"]
        left = _sort_out(left, results, sent, failed, may_repeat=attempt < _ATTEMPTS_MAX - 1)
        if not left:
            break
    return sent


def _sort_out(
    batch: list[Entry], results: list[dict[str, Any]], sent: Sent, failed: set[int], *, may_repeat: bool
) -> list[Entry]:
    """Note what became of each command; returns those to send again."""
    again: list[Entry] = []
    repeated: set[int] = set()
    for entry, result in zip(batch, results, strict=True):
        problem, group = result.get("problem"), id(entry.group)
        if problem is None:
            sent.known += bool(result.get("replayed"))
            sent.recorded += not result.get("replayed")
        elif problem.get("code") in _DONE_ALREADY.get(entry.asked.topic, ()):
            sent.known += 1
        elif may_repeat and (problem.get("retryable") or group in repeated):
            # With all of its order that failed after it, which may have failed only because of it.
            repeated.add(group)
            again.append(entry)
        elif group not in failed:
            # The first reason tells; what follows in the same order follows from it.
            failed.add(group)
            sent.refused.append(_refusal(entry, problem))
    return again


def _refusal(entry: Entry, problem: dict[str, Any]) -> RowRefused:
    said = str(problem.get("title") or "refused")
    details = "; ".join(f"{e.get('pointer', '')} {e.get('message', '')}" for e in problem.get("errors", ()))
    reason = f"{entry.asked.topic}: {problem.get('code')}: {said}{f' ({details})' if details else ''}"
    return RowRefused(entry.group.file, entry.group.line, reason)
