"""The path of a write over the real store: retries, keys, batches, stale news."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID, uuid4

import pytest

from tests.dispatch.conftest import Ids
from write_model.catalog.product import DiscontinueProduct, ProductIsDiscontinued, RevisePrice
from write_model.claims.claim import AlreadyClaimed
from write_model.companies.company import RegisterCompany
from write_model.dispatch import Dispatcher, KeyReused, NotAttempted, Receipt, Refused, VersionMismatch
from write_model.ledger.chart_of_accounts import AdoptChart
from write_model.message import Actor, Command, Context, NotFound
from write_model.processes.confirm_sale import ConfirmSale
from write_model.processes.draft_sale import DraftSale
from write_model.processes.receive_stock import ReceiveStock
from write_model.processes.register_party import RegisterParty
from write_model.processes.register_product import RegisterProduct
from write_model.sales.sale import RequestedLine
from write_model.stock.stock_item import InsufficientStock, StockItem, main_warehouse, stock_key
from write_model.store.store import Store
from write_model.values.identifiers import CompanyId, PartyId, ProductId, SaleId
from write_model.values.quantity import Quantity, UnitPrice

pytestmark = pytest.mark.asyncio

ACTOR = Actor("user", uuid4())


class Shop:
    """One company, served by dispatchers that share nothing but the store, like processes do."""

    def __init__(self, store: Store, processes: int = 1) -> None:
        self.store = store
        self.company_id = CompanyId(uuid4())
        self.dispatchers = [Dispatcher(store, Ids()) for _ in range(processes)]

    async def open(self) -> "Shop":
        await self.run(RegisterCompany(company_id=self.company_id, legal_name="Loja"))
        await self.run(AdoptChart())
        return self

    def context(self, key: str | None = None, body: str | None = None, **more: object) -> Context:
        key = key or str(uuid4())
        return Context(
            company_id=self.company_id,
            actor=ACTOR,
            command_id=uuid4(),
            correlation_id=uuid4(),
            idempotency_key=key,
            body_hash=(body or key).encode(),
            effective_date=date(2026, 11, 23),
            today=date(2026, 11, 23),
            **more,  # type: ignore[arg-type]
        )

    async def run(self, command: Command, *, process: int = 0, **context: object) -> Receipt:
        return await self.dispatchers[process].execute(command, self.context(**context))  # type: ignore[arg-type]

    async def batch(
        self, commands: Sequence[Command], *, atomic: bool = False, keys: Sequence[str] = ()
    ) -> list[Receipt | Refused]:
        contexts = [self.context(key) for key in keys] or [self.context() for _ in commands]
        return await self.dispatchers[0].execute_batch(
            list(zip(commands, contexts, strict=True)), atomic=atomic
        )

    async def versions(self, *streams: UUID) -> dict[UUID, int]:
        return await self.store.versions(self.company_id, streams)


def product(name: str = "A") -> RegisterProduct:
    return RegisterProduct(product_id=ProductId(uuid4()), sku=name, name=name, price=UnitPrice.parse("10"))


async def test_a_command_is_recorded_with_dense_positions_and_its_answer(store: Store) -> None:
    shop = await Shop(store).open()
    receipt = await shop.run(product())
    assert [event.topic for event in receipt.events] == ["claims.claimed", "catalog.product_registered"]
    first = receipt.first_position
    assert first is not None
    assert [event.position for event in receipt.events] == [first, first + 1]
    assert (receipt.version, receipt.created, receipt.replayed) == (1, True, False)


async def test_two_hundred_identical_requests_have_one_effect_and_one_answer(store: Store) -> None:
    shop = await Shop(store, processes=4).open()
    command = product()

    async def ask(number: int) -> Receipt:
        # The id of a new thing is made by the door, so every attempt comes with another one.
        attempt = replace(command, product_id=ProductId(uuid4()))
        return await shop.run(attempt, process=number % 4, key="same", body="same")

    receipts = await asyncio.gather(*(ask(number) for number in range(200)))
    assert len({(r.target, r.first_position, r.command_id) for r in receipts}) == 1
    assert sum(not receipt.replayed for receipt in receipts) == 1


async def test_a_key_is_not_taken_for_another_request(store: Store) -> None:
    shop = await Shop(store).open()
    await shop.run(product("A"), key="k", body="one")
    with pytest.raises(KeyReused):
        await shop.run(product("B"), key="k", body="two")


async def test_a_refusal_leaves_the_key_free(store: Store) -> None:
    shop = await Shop(store).open()
    await shop.run(product("A"))
    with pytest.raises(AlreadyClaimed):
        await shop.run(product("A"), key="k", body="one")
    assert not (await shop.run(product("B"), key="k", body="two")).replayed


async def test_a_repeated_command_is_answered_even_when_it_would_be_refused_now(store: Store) -> None:
    shop = await Shop(store).open()
    command = product()
    await shop.run(command)
    stop = DiscontinueProduct(product_id=command.product_id)
    first = await shop.run(stop, key="k", body="b")
    again = await shop.run(stop, key="k", body="b")
    assert again.replayed
    assert again.first_position == first.first_position


async def test_nobody_is_refused_or_accepted_on_old_news(store: Store) -> None:
    shop = await Shop(store, processes=2).open()
    command = product()
    await shop.run(command, process=0)
    price = RevisePrice(product_id=command.product_id, price=UnitPrice.parse("11"))
    await shop.run(price, process=1)
    await shop.run(DiscontinueProduct(product_id=command.product_id), process=0)
    # The second process still believes the product is on sale.
    with pytest.raises(ProductIsDiscontinued):
        await shop.run(replace(price, price=UnitPrice.parse("12")), process=1)
    # And a process that once found nothing must look again.
    fresh = product("B")
    later = RevisePrice(product_id=fresh.product_id, price=UnitPrice.parse("2"))
    with pytest.raises(NotFound):
        await shop.run(later, process=1)
    await shop.run(fresh, process=0)
    assert (await shop.run(later, process=1)).version == 2


async def test_an_expected_version_is_checked_against_the_truth(store: Store) -> None:
    shop = await Shop(store, processes=2).open()
    command = product()
    await shop.run(command, process=0)
    price = RevisePrice(product_id=command.product_id, price=UnitPrice.parse("11"))
    with pytest.raises(VersionMismatch) as mismatch:
        await shop.run(price, expected_version=7)
    assert (mismatch.value.expected, mismatch.value.current) == (7, 1)
    await shop.run(price, process=1, expected_version=1)
    # The first process holds version 1; the expectation is right only against the store.
    await shop.run(replace(price, price=UnitPrice.parse("12")), process=0, expected_version=2)


async def test_many_clerks_sell_the_last_pieces_and_none_is_sold_twice(store: Store) -> None:
    shop = await Shop(store, processes=3).open()
    goods, customer = product(), PartyId(uuid4())
    await shop.run(goods)
    await shop.run(RegisterParty(party_id=customer, name="Cliente"))
    await shop.run(
        ReceiveStock(product_id=goods.product_id, quantity=Quantity(10), unit_cost=UnitPrice.parse("3"))
    )
    line = RequestedLine(product_id=goods.product_id)

    async def sell(number: int) -> bool:
        sale = SaleId(uuid4())
        await shop.run(DraftSale(sale_id=sale, customer_id=customer, lines=(line,)), process=number % 3)
        try:
            await shop.run(ConfirmSale(sale_id=sale), process=number % 3)
        except InsufficientStock:
            return False
        return True

    sold = await asyncio.gather(*(sell(number) for number in range(25)))
    assert sum(sold) == 10
    key = stock_key(main_warehouse(shop.company_id), goods.product_id)
    from write_model.message import stream_id_of

    stream = stream_id_of(shop.company_id, StockItem.kind, key)
    assert (await shop.versions(stream)) == {stream: 11}


async def test_a_batch_gives_each_command_its_own_outcome_in_order(store: Store) -> None:
    shop = await Shop(store).open()
    good, twin, other = product("A"), product("A"), product("B")
    price = RevisePrice(product_id=good.product_id, price=UnitPrice.parse("5"))
    outcomes = await shop.batch([good, price, twin, other])
    assert isinstance(outcomes[0], Receipt)
    assert isinstance(outcomes[1], Receipt)
    assert outcomes[1].version == 2
    assert isinstance(outcomes[2], Refused)
    assert isinstance(outcomes[2].error, AlreadyClaimed)
    assert isinstance(outcomes[3], Receipt)
    assert outcomes[3].first_position == (outcomes[1].last_position or 0) + 1


async def test_a_batch_sent_again_changes_nothing(store: Store) -> None:
    shop = await Shop(store).open()
    commands = [product(str(number)) for number in range(30)]
    keys = [f"import-{number}" for number in range(30)]
    first = await shop.batch(commands[:20], keys=keys[:20])
    again = await shop.batch(commands, keys=keys)
    assert all(isinstance(outcome, Receipt) for outcome in (*first, *again))
    assert [outcome.replayed for outcome in again if isinstance(outcome, Receipt)] == [True] * 20 + [
        False
    ] * 10
    assert await store.head(store.partition_of(shop.company_id)) == 2 + 2 * 30


async def test_a_key_twice_in_one_batch_is_one_command(store: Store) -> None:
    shop = await Shop(store).open()
    command = product()
    outcomes = await shop.batch([command, command], keys=["k", "k"])
    assert [outcome.replayed for outcome in outcomes if isinstance(outcome, Receipt)] == [False, True]
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert receipts[0].first_position == receipts[1].first_position


async def test_an_atomic_batch_is_all_or_nothing(store: Store) -> None:
    shop = await Shop(store).open()
    before = await store.head(store.partition_of(shop.company_id))
    outcomes = await shop.batch([product("A"), product("A"), product("B")], atomic=True)
    errors = [type(outcome.error) for outcome in outcomes if isinstance(outcome, Refused)]
    assert errors == [NotAttempted, AlreadyClaimed, NotAttempted]
    assert await store.head(store.partition_of(shop.company_id)) == before
    outcomes = await shop.batch([product("A"), product("B")], atomic=True)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)


async def test_batches_and_single_commands_on_the_same_streams_all_get_through(store: Store) -> None:
    shop = await Shop(store, processes=2).open()
    goods = product()
    await shop.run(goods)

    def prices(start: int) -> list[Command]:
        return [
            RevisePrice(product_id=goods.product_id, price=UnitPrice.parse(f"{start + number}"))
            for number in range(5)
        ]

    async def single(number: int) -> Receipt:
        price = UnitPrice.parse(f"{1000 + number}")
        return await shop.run(RevisePrice(product_id=goods.product_id, price=price), process=1)

    results = await asyncio.gather(
        *(shop.batch(prices(100 * number)) for number in range(1, 6)),
        *(single(number) for number in range(10)),
    )
    batches = [outcome for result in results if isinstance(result, list) for outcome in result]
    assert all(isinstance(outcome, Receipt) for outcome in batches)


async def test_a_rehearsal_tells_all_and_stores_nothing(store: Store) -> None:
    shop = await Shop(store).open()
    head = await store.head(store.partition_of(shop.company_id))
    receipt = await shop.dispatchers[0].rehearse(product(), shop.context("k"))
    assert receipt.dry_run
    assert [event.position for event in receipt.events] == [None, None]
    assert await store.head(store.partition_of(shop.company_id)) == head
    assert not (await shop.run(product(), key="k", body="k")).replayed


async def test_what_a_refused_command_did_to_its_copy_is_not_seen_by_the_next(store: Store) -> None:
    shop = await Shop(store).open()
    goods, customer, sale = product(), PartyId(uuid4()), SaleId(uuid4())
    await shop.run(goods)
    await shop.run(RegisterParty(party_id=customer, name="Cliente"))
    await shop.run(
        ReceiveStock(product_id=goods.product_id, quantity=Quantity(3), unit_cost=UnitPrice.parse("3"))
    )
    two = RequestedLine(product_id=goods.product_id, quantity=Quantity(2))
    await shop.run(DraftSale(sale_id=sale, customer_id=customer, lines=(two, two)))
    # The first line takes two pieces, the second is refused; the cached stock must still be three.
    for _ in range(2):
        with pytest.raises(InsufficientStock) as refusal:
            await shop.run(ConfirmSale(sale_id=sale))
        assert refusal.value.params["on_hand"] == "1"
