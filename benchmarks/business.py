"""A log of realistic business, as long as wanted: what real commands decided, copied for many companies.

One company is run through the real dispatcher: customers, products, stock, then sales that are drafted,
confirmed and paid. Everything it submitted to the store is kept, and appended again for company after company
with every id changed the same way. So each company's streams, chain and books are whole, and none of the
events is invented here.
"""

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, cast
from uuid import UUID

from write_model.companies.company import RegisterCompany
from write_model.dispatch import Dispatcher
from write_model.ledger.chart_of_accounts import AdoptChart
from write_model.message import Actor, Command, Context, Event, Personal
from write_model.processes.confirm_sale import ConfirmSale
from write_model.processes.draft_sale import DraftSale
from write_model.processes.open_bank_account import OpenBankAccount
from write_model.processes.receive_stock import ReceiveStock
from write_model.processes.register_party import RegisterParty
from write_model.processes.register_product import RegisterProduct
from write_model.processes.settle import SettleInstalment
from write_model.sales.events import PlannedInstalment
from write_model.sales.sale import RequestedLine
from write_model.settlement.receivable import instalment_id, receivable_id_for
from write_model.store import topics
from write_model.store.append import Appended, Decided, NewEvent, Submission, Verdict
from write_model.store.store import Store
from write_model.values.identifiers import BankAccountId, CompanyId, PartyId, ProductId, SaleId
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice

_FIRST_DAY = date(2026, 1, 5)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_EVENTS_A_SUBMISSION = 500
_IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class _Line:
    """One event of the model company, as text, with the ids that stand in it."""

    stream_id: UUID
    version: int
    event_id: UUID
    kind: type[Event]
    text: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One command of the model company and what it recorded."""

    context: Context
    topic: str
    lines: tuple[_Line, ...]
    answer: str


class _Tape:
    """A store that keeps what goes through it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.submissions: list[Submission] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, submission: Submission) -> Verdict:
        verdict = await self._store.append(submission)
        if isinstance(verdict, Appended):
            self.submissions.append(submission)
        return verdict


class _Numbers:
    """Ids out of a seeded source, so that every run writes the same log."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def new(self) -> UUID:
        return UUID(int=self._dice.getrandbits(128), version=4)


async def write_business(store: Store, events: int, *, sales: int = 200, seed: int = 1) -> int:
    """Append whole companies until the log holds about `events` events; returns how many there are."""
    company_id, submissions = await _model(store, sales, seed)
    steps = [_step_of(decided) for submission in submissions for decided in submission.commands]
    length = sum(len(step.lines) for step in steps)
    copies = max(0, round(events / length) - 1)
    dice = random.Random(seed + 1)
    # Ids nest: a settlement lies in its instalment, that in its receivable, by their last bits.
    masks = [dice.getrandbits(80) << 48 for _ in range(copies)]
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def copy(mask: int) -> None:
        async with gate:
            await _append_copy(store, company_id, steps, mask)

    await asyncio.gather(*[copy(mask) for mask in masks])
    return length * (copies + 1)


# --- the model company --------------------------------------------------------------------------------


async def _model(store: Store, sales: int, seed: int) -> tuple[CompanyId, list[Submission]]:
    ids, dice = _Numbers(seed), random.Random(seed)
    tape = _Tape(store)
    company_id = CompanyId(ids.new())
    shop = _Shop(Dispatcher(cast("Store", tape), ids), company_id, ids, dice)
    await shop.open()
    for number in range(sales):
        await shop.sell(_FIRST_DAY + timedelta(days=number % 180))
    return company_id, tape.submissions


class _Shop:
    """Gives the commands of a small shop."""

    def __init__(
        self, dispatcher: Dispatcher, company_id: CompanyId, ids: _Numbers, dice: random.Random
    ) -> None:
        self._dispatcher = dispatcher
        self._company_id = company_id
        self._ids = ids
        self._dice = dice
        self._user = Actor("user", ids.new())
        self._customers = [PartyId(ids.new()) for _ in range(12)]
        self._products = [ProductId(ids.new()) for _ in range(20)]
        self._bank = BankAccountId(ids.new())

    async def open(self) -> None:
        """Everything a shop needs before its first sale."""
        await self._do(RegisterCompany(company_id=self._company_id, legal_name="Loja"), _FIRST_DAY)
        await self._do(AdoptChart(), _FIRST_DAY)
        await self._do(OpenBankAccount(bank_account_id=self._bank, name="Banco"), _FIRST_DAY)
        for number, customer in enumerate(self._customers):
            await self._do(RegisterParty(party_id=customer, name=f"Cliente {number}"), _FIRST_DAY)
        for number, product in enumerate(self._products):
            price = UnitPrice.parse(f"{10 + number}.90")
            sku = f"P-{number}"
            await self._do(
                RegisterProduct(product_id=product, sku=sku, name=f"Produto {number}", price=price),
                _FIRST_DAY,
            )
            goods = Quantity.parse("100000")
            cost = UnitPrice.parse("4.5")
            await self._do(
                ReceiveStock(product_id=product, quantity=goods, unit_cost=cost, origin="opening"), _FIRST_DAY
            )

    async def sell(self, day: date) -> None:
        """A sale of one to three products, drafted, confirmed, and paid in one or two instalments."""
        dice, sale = self._dice, SaleId(self._ids.new())
        pieces = {product: dice.randint(1, 5) for product in dice.sample(self._products, dice.randint(1, 3))}
        lines = tuple(
            RequestedLine(
                product_id=product, quantity=Quantity.parse(str(count)), unit_price=UnitPrice.parse("19.90")
            )
            for product, count in pieces.items()
        )
        total = Money(1990 * sum(pieces.values()), "BRL")
        parts = total.split_equally(dice.randint(1, 2))
        plan = tuple(
            PlannedInstalment(method="pix", due_date=day + timedelta(days=30 * number), amount=part)
            for number, part in enumerate(parts, 1)
        )
        await self._do(DraftSale(sale_id=sale, customer_id=dice.choice(self._customers), lines=lines), day)
        await self._do(ConfirmSale(sale_id=sale, payment_plan=plan), day)
        receivable = receivable_id_for(sale)
        for number, planned in enumerate(plan, 1):
            await self._do(
                SettleInstalment(
                    instalment_id=instalment_id(receivable, number),
                    amount=planned.amount,
                    bank_account_id=self._bank,
                ),
                planned.due_date,
            )

    async def _do(self, command: Command, day: date) -> Any:
        command_id = self._ids.new()
        context = Context(
            company_id=self._company_id,
            actor=self._user,
            command_id=command_id,
            correlation_id=self._ids.new(),
            idempotency_key=command_id.hex,
            body_hash=command_id.bytes,
            effective_date=day,
            today=day,
        )
        return await self._dispatcher.execute(command, context)


# --- copies of it -------------------------------------------------------------------------------------


def _step_of(decided: Decided) -> _Step:
    lines = tuple(
        _Line(new.stream_id, new.version, new.event_id, type(new.event), topics.encode(new.event, _open_seal))
        for new in decided.events
    )
    return _Step(decided.context, decided.topic, lines, decided.answer)


def _open_seal(personal: Personal, path: str) -> dict[str, Any]:
    """Personal texts travel in clear between the model and its copies; the store seals them anew."""
    return {"subject": str(personal.subject), "key": 1, "ct": personal.text}


def _unseal(sealed: Mapping[str, Any], path: str) -> Personal:
    return Personal(UUID(sealed["subject"]), sealed["ct"])


async def _append_copy(store: Store, company_id: CompanyId, steps: Sequence[_Step], mask: int) -> None:
    """The same business in another company: every id, and only ids, is changed by the mask."""
    renamed: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        text = found[0]
        known = renamed.get(text)
        if known is None:
            known = renamed[text] = str(_masked(UUID(text), mask))
        return known

    waiting: list[Decided] = []
    versions: dict[UUID, int] = {}

    async def send() -> None:
        known = {new.stream_id: 0 for decided in waiting for new in decided.events}
        expectations = {stream: versions.get(stream, 0) for stream in known}
        for decided in waiting:
            versions.update({new.stream_id: new.version for new in decided.events})
        verdict = await store.append(
            Submission(
                company_id=_masked(company_id, mask), commands=tuple(waiting), expectations=expectations
            )
        )
        assert isinstance(verdict, Appended), verdict
        waiting.clear()

    for step in steps:
        events = tuple(
            NewEvent(
                stream_id=_masked(line.stream_id, mask),
                version=line.version,
                event_id=_masked(line.event_id, mask),
                event=topics.decode(
                    line.kind.topic, line.kind.schema_version, _ID.sub(rename, line.text), _unseal
                ),
            )
            for line in step.lines
        )
        waiting.append(
            Decided(
                context=_context_of(step.context, mask),
                topic=step.topic,
                events=events,
                answer=_ID.sub(rename, step.answer),
            )
        )
        if sum(len(decided.events) for decided in waiting) >= _EVENTS_A_SUBMISSION:
            await send()
    if waiting:
        await send()


def _context_of(context: Context, mask: int) -> Context:
    command_id = _masked(context.command_id, mask)
    return replace(
        context,
        company_id=_masked(context.company_id, mask),
        command_id=command_id,
        correlation_id=_masked(context.correlation_id, mask),
        idempotency_key=command_id.hex,
        body_hash=command_id.bytes,
    )


def _masked(value: UUID, mask: int) -> UUID:
    return UUID(int=value.int ^ mask)
