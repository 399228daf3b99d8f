"""A state that turned out stale is brought up to date by what came after it, and not trusted blindly."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.dispatch.conftest import Ids
from tests.dispatch.test_dispatch import Shop, product
from write_model.catalog.product import Product, RevisePrice
from write_model.dispatch import Dispatcher
from write_model.dispatch.workspace import StateCache, Versioned
from write_model.message import stream_id_of
from write_model.store.store import Store
from write_model.values.quantity import UnitPrice

pytestmark = pytest.mark.asyncio


@pytest.fixture
def reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[UUID, int]]:
    """What is asked of the store, from now on."""
    asked: list[Mapping[UUID, int]] = []
    read_on = store.read_on

    async def noted(company_id: UUID, after: Mapping[UUID, int]) -> Any:
        asked.append(dict(after))
        return await read_on(company_id, after)

    monkeypatch.setattr(store, "read_on", noted)
    return asked


async def test_only_what_came_after_a_stale_state_is_read(
    store: Store, reads: list[Mapping[UUID, int]]
) -> None:
    shop = await Shop(store, processes=2).open()
    made = product()
    stream = stream_id_of(shop.company_id, Product.kind, made.product_id)
    await shop.run(made)
    for cents in range(20):
        await shop.run(RevisePrice(product_id=made.product_id, price=UnitPrice.parse(f"2.{cents:02}")))
    other = RevisePrice(product_id=made.product_id, price=UnitPrice.parse("3"))
    await shop.run(other, process=1)
    del reads[:]
    # The first process still knows version 21.
    receipt = await shop.run(RevisePrice(product_id=made.product_id, price=UnitPrice.parse("4")))
    assert receipt.version == 23
    assert [after[stream] for after in reads if stream in after] == [21]


async def test_a_state_ahead_of_its_stream_is_dropped_and_the_stream_read_whole(store: Store) -> None:
    shop = await Shop(store).open()
    made = product()
    await shop.run(made)
    stream = stream_id_of(shop.company_id, Product.kind, made.product_id)
    ahead = Product()
    ahead.status = "discontinued"
    cache = StateCache()
    # As after a restore of the database beneath a running process.
    cache.put(stream, Versioned(ahead, 9))
    dispatcher = Dispatcher(store, Ids(), cache)
    revise = RevisePrice(product_id=made.product_id, price=UnitPrice.parse("4"))
    receipt = await dispatcher.execute(revise, shop.context())
    assert receipt.version == 2


async def test_a_cached_state_is_not_changed_by_catching_up(store: Store) -> None:
    shop = await Shop(store, processes=2).open()
    made = product()
    await shop.run(made)
    await shop.run(RevisePrice(product_id=made.product_id, price=UnitPrice.parse("3")), process=1)
    cache = StateCache()
    stream = stream_id_of(shop.company_id, Product.kind, made.product_id)
    old = Versioned(Product(), 0)
    for event in (await store.read_streams(shop.company_id, [stream]))[stream][:1]:
        old.state.apply(event.event)
        old.version = event.version
    kept = replace(old)
    cache.put(stream, old)
    await Dispatcher(store, Ids(), cache).execute(
        RevisePrice(product_id=made.product_id, price=UnitPrice.parse("5")), shop.context()
    )
    assert isinstance(kept.state, Product)
    assert kept.state.price == UnitPrice.parse("10")
    assert (await shop.versions(stream))[stream] == 3
