"""Every Redis view has a twin in SQL that folds the same facts, and both say the same."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from projections.catalogue import PROJECTIONS
from projections.projector import BadProjection, RedisProjection, SqlProjection
from read_model.sales.dashboard import dashboard, figures, figures_cached
from read_model.treasury.bank_accounts import bank_accounts, bank_accounts_cached
from tests.reports.books import Books
from tests.reports.shop import busy_shop

KINDS = {kind.name: kind for kind in PROJECTIONS}
TODAY = date(2026, 11, 10)
VIEWS = [kind for kind in PROJECTIONS if issubclass(kind, RedisProjection)]


@dataclass(frozen=True)
class Agreement:
    """The same question asked of both, and what is shown of the answer."""

    from_sql: Callable[..., Awaitable[Any]]
    from_redis: Callable[..., Awaitable[Any]]
    arguments: Sequence[Any] = ()
    shown: Callable[[Any], Any] = lambda answer: answer


AGREEMENTS = {
    "sales_dashboard_view": Agreement(
        figures, figures_cached, [TODAY], shown=lambda found: dashboard(found, TODAY)
    ),
    "treasury_bank_balances": Agreement(bank_accounts, bank_accounts_cached),
}
"""How each view is held against its twin: a new one stands here, or its test fails."""


@pytest.mark.parametrize("kind", VIEWS, ids=lambda kind: kind.name)
def test_a_view_says_what_its_twin_says(books: Books, kind: type[RedisProjection]) -> None:
    agreement = AGREEMENTS[kind.name]
    shop = busy_shop()
    missing = kind.handlers.keys() - {type(recorded.event) for recorded in shop.store.log}
    assert not missing, "the shop has no history of what the view folds"
    books.fold(shop, page=3)
    built = books.ask_redis(agreement.from_redis, *agreement.arguments)
    assert built is not None
    assert (built.projection, built.position) == (kind.name, books.head)
    found = books.ask(agreement.from_sql, *agreement.arguments)
    assert agreement.shown(built.answer) == agreement.shown(found)


@pytest.mark.parametrize("kind", VIEWS, ids=lambda kind: kind.name)
def test_a_twin_folds_the_same_facts(kind: type[RedisProjection]) -> None:
    twin = KINDS[kind.twin]
    assert issubclass(twin, SqlProjection)
    assert twin.handlers.keys() == kind.handlers.keys()


def test_a_view_without_a_twin_cannot_be_written() -> None:
    with pytest.raises(BadProjection, match="twin"):
        type("Alone", (RedisProjection,), {"name": "alone", "version": 1})
