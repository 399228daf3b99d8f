"""Long streams load from a snapshot and what came since, and decide as if from all of it."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dispatch.conftest import Ids
from tests.dispatch.test_dispatch import Shop, product
from tests.store.submissions import appended, decided
from write_model.dispatch import Dispatcher
from write_model.message import Event, State, stream_id_of
from write_model.processes.receive_stock import ReceiveStock
from write_model.settlement.credit_line import CreditLine, Facts
from write_model.settlement.events import CreditLimitSet, CreditUsed
from write_model.stock.events import StockReceived
from write_model.stock.stock_item import StockItem, main_warehouse, receive, stock_key
from write_model.store import snapshots
from write_model.store.append import Submission
from write_model.store.store import Store
from write_model.values.identifiers import PartyId, ProductId, WarehouseId
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice


def received(item: StockItem, number: int) -> list[Event]:
    """So many receipts of one piece each."""
    events: list[Event] = []
    for _ in range(number):
        (fact,) = receive(
            item,
            warehouse_id=WarehouseId(uuid4()),
            product_id=ProductId(uuid4()),
            quantity=Quantity(1),
            value=Money(100),
            origin="receipt",
        )
        assert isinstance(fact, StockReceived)
        item.apply(fact)
        events.append(fact)
    return events


class Warehouse:
    """A shop with a product that has been received very often."""

    def __init__(self, shop: Shop, product_id: ProductId, stream: UUID) -> None:
        self.shop, self.product_id, self.stream = shop, product_id, stream
        self.read: list[int] = []

    @classmethod
    async def filled(cls, store: Store, receipts: int, monkeypatch: pytest.MonkeyPatch) -> "Warehouse":
        shop = await Shop(store).open()
        goods = product()
        await shop.run(goods)
        key = stock_key(main_warehouse(shop.company_id), goods.product_id)
        made = cls(shop, goods.product_id, stream_id_of(shop.company_id, StockItem.kind, key))
        events = received(StockItem(), receipts)
        for first in range(0, receipts, 1_000):
            command = decided(shop.context(), {made.stream: (first, events[first : first + 1_000])})
            await appended(
                store,
                Submission(
                    company_id=shop.company_id, commands=(command,), expectations={made.stream: first}
                ),
            )
        read_on = store.read_on

        async def counted(company_id: UUID, after: Mapping[UUID, int]) -> Any:
            found = await read_on(company_id, after)
            if made.stream in found:
                made.read.append(len(found[made.stream]))
            return found

        monkeypatch.setattr(store, "read_on", counted)
        return made

    async def receive_one(self) -> str:
        """In a process that has just started; what is on hand then."""
        command = ReceiveStock(
            product_id=self.product_id, quantity=Quantity(1), unit_cost=UnitPrice.parse("1")
        )
        await Dispatcher(self.shop.store, Ids()).execute(command, self.shop.context())
        await self.shop.store.kept()
        return await self.on_hand()

    async def on_hand(self) -> str:
        """As all the events say."""
        store, item = self.shop.store, StockItem()
        for event in (await Store.read_on(store, self.shop.company_id, {self.stream: 0}))[self.stream]:
            assert isinstance(event.event, StockReceived)
            item.apply(event.event)
        return str(item.on_hand)


@pytest.mark.asyncio
async def test_ten_thousand_events_are_folded_once_and_then_only_the_new_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = await Warehouse.filled(store, 10_000, monkeypatch)
    for number in range(1, 4):
        assert await warehouse.receive_one() == str(10_000 + number)
    assert warehouse.read == [10_000, 1, 2]


@pytest.mark.asyncio
async def test_a_process_that_runs_on_keeps_snapshots_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = await Warehouse.filled(store, 498, monkeypatch)
    dispatcher = Dispatcher(store, Ids())
    for _ in range(4):
        command = ReceiveStock(
            product_id=warehouse.product_id, quantity=Quantity(1), unit_cost=UnitPrice.parse("1")
        )
        await dispatcher.execute(command, warehouse.shop.context())
    await store.kept()
    await warehouse.receive_one()
    assert warehouse.read == [498, 2]


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE ccontrol.snapshots SET state_version = state_version + 1",
        "UPDATE ccontrol.snapshots SET state_type = 'other.kind'",
        """UPDATE ccontrol.snapshots
           SET state = convert_to(replace(convert_from(state, 'UTF8'), '"501"', '"999"'), 'UTF8')""",
        "UPDATE ccontrol.snapshots SET state = '\\xff'",
        "UPDATE ccontrol.snapshots SET state = ''",
        "UPDATE ccontrol.snapshots SET version = version - 1",
    ],
)
@pytest.mark.asyncio
async def test_a_snapshot_that_is_not_ours_is_not_believed(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    warehouse = await Warehouse.filled(store, 501, monkeypatch)
    await warehouse.receive_one()
    with psycopg.connect(database_url) as connection:
        assert connection.execute(spoil.encode()).rowcount == 1
    assert await warehouse.receive_one() == "503"
    assert warehouse.read == [501, 502]


@pytest.mark.asyncio
async def test_a_snapshot_ahead_of_its_stream_costs_a_retry_and_no_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = await Warehouse.filled(store, 3, monkeypatch)
    ahead = StockItem()
    received(ahead, 9)
    store.keep_snapshot(warehouse.shop.company_id, warehouse.stream, 9, ahead)
    await store.kept()
    assert await warehouse.receive_one() == "4"


@pytest.mark.asyncio
async def test_a_company_does_not_see_anothers_snapshots(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = await Warehouse.filled(store, 501, monkeypatch)
    await warehouse.receive_one()
    found = await store.read_snapshots(warehouse.shop.company_id, {warehouse.stream: StockItem})
    assert set(found) == {warehouse.stream}
    other = next(
        company
        for company in iter(uuid4, None)
        if store.partition_of(company) == store.partition_of(warehouse.shop.company_id)
    )
    assert await store.read_snapshots(other, {warehouse.stream: StockItem}) == {}


amounts = st.integers(0, 10**15).map(Money)
facts = st.one_of(
    st.builds(CreditLimitSet, party_id=st.just(PartyId(uuid4())), limit=st.none() | amounts, used=amounts),
    st.builds(
        CreditUsed,
        party_id=st.just(PartyId(uuid4())),
        document_kind=st.just("sale"),
        document_id=st.uuids(),
        amount=amounts,
        used_after=amounts,
    ),
)


def fingerprint(text: str) -> str:
    return f"{hash(text) & (1 << 256) - 1:064x}"


def values(state: State) -> str:
    slots: tuple[str, ...] = type(state).__slots__
    return json.dumps([repr(getattr(state, name)) for name in slots])


@given(st.lists(facts), st.lists(facts))
def test_folding_on_from_a_snapshot_is_folding_all(before: list[Facts], after: list[Facts]) -> None:
    whole, stream = CreditLine(), uuid4()
    for fact in before:
        whole.apply(fact)
    stored = snapshots.encode(stream, len(before), whole, fingerprint)
    again = snapshots.decode(stream, len(before), CreditLine, stored, fingerprint)
    for fact in after:
        whole.apply(fact)
        again.apply(fact)
    assert values(again) == values(whole)


@pytest.mark.parametrize("kind", [k for k in State.__subclasses__() if k.snapshot_version])
def test_a_kind_with_snapshots_declares_the_type_of_every_slot(kind: type[State]) -> None:
    slots: tuple[str, ...] = kind.__slots__
    assert set(slots) <= set(kind.__annotations__)
