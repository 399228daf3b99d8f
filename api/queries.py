"""Every question through one gate: who asks, may they, is the answer fresh enough, and which snapshot.

A route says what it reads and what it takes:

    @router.get("/products")
    async def products(
        reading: Annotated[Reading, reads("catalog_products", permission="catalog.read")],
        paging: Annotated[Paging, Depends(paging)],
        status: str | None = None,
    ) -> Page[ProductRow]:
        rows = await product_rows(reading.connection, limit=paging.limit + 1, after=paging.after)
        return paging.page(reading, rows, key=lambda row: (row.name, row.product_id))

Query parameters a route does not declare are refused, never ignored. Routes that can look back add
`times: Annotated[Times, Depends(times)]`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, TypeVar, get_origin
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api import cursors
from api.accepts import JSON, require_format
from api.auth import Caller, authenticate, require
from api.freshness import Asked, asked_of, bring_up_to_date
from api.problems import Problem
from api.services import Services, services_of
from api.shapes import AsOf, Page, PageMark
from read_model.cache import Views
from read_model.freshness import Standing, reading_at
from write_model.values.dates import parse_date
from write_model.values.invalid import Invalid

Row = TypeVar("Row")

LIMIT_DEFAULT = 25
_ONE_DAY = timedelta(days=1)
LIMIT_MAX = 200
_DIGITS_MAX = 18
# Read by the gate itself, on every route.
_ALWAYS = frozenset({"min_position"})
_TIMES = frozenset({"effective_to", "known_as_of", "as_of"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a query works with: one snapshot of one company's rows, and who is looking."""

    company_id: UUID
    partition: int
    connection: AsyncConnection
    cache: Views | None
    language: str
    user: Caller
    as_of: AsOf
    positions: Mapping[str, int]
    today: date
    services: Services


class Reads:
    """The gate of one route: a dependency that knows its projections and its permission."""

    __slots__ = ("formats", "permission", "projections")

    def __init__(self, projections: tuple[str, ...], permission: str, formats: tuple[str, ...]) -> None:
        self.projections = projections
        self.permission = permission
        self.formats = formats

    async def __call__(self, request: Request, response: Response) -> AsyncIterator[Reading]:
        """Admit, wait, open the snapshot; the headers say what was read."""
        services = services_of(request)
        caller = await require(request, self.permission)
        require_format(request, self.formats)
        refuse_unknown_parameters(request)
        partition = services.store.partition_of(caller.company_id)
        asked: Asked = asked_of(request, caller.company_id, services)
        while True:
            headers = await bring_up_to_date(asked, self.projections, partition, services)
            async with reading_at(services.engine, caller.company_id, self.projections, partition) as (
                connection,
                standings,
            ):
                if _falls_short(standings, asked, headers):
                    # What was remembered was not so any more, and nobody had said so: another look decides.
                    services.freshness.forget()
                    continue
                response.headers.update(headers)
                yield self._reading(response, caller, services, asked, (connection, standings))
                return

    def _reading(
        self,
        response: Response,
        caller: Caller,
        services: Services,
        asked: Asked,
        opened: tuple[AsyncConnection, Mapping[str, Standing]],
    ) -> Reading:
        """What the endpoint gets; the headers say how far it is."""
        connection, standings = opened
        positions = {name: standing.position for name, standing in standings.items()}
        position = min(positions.values(), default=0)
        # When the answer's last event was recorded, not when it was asked: the same question about the
        # same history has the same bytes for an answer.
        at = min((s.recorded_at for s in standings.values() if s.recorded_at), default=None)
        if any(standing.stopped for standing in standings.values()):
            response.headers["Consistency"] = "stale"
        response.headers["Projection-Position"] = ", ".join(f"{n}={p}" for n, p in positions.items())
        response.headers["Consistency-Token"] = asked.token_after(position, services)
        return Reading(
            company_id=caller.company_id,
            partition=services.store.partition_of(caller.company_id),
            connection=connection,
            cache=services.views,
            language=caller.language,
            user=caller,
            as_of=AsOf(position=position, at=at),
            positions=positions,
            today=caller.today(services.clock()),
            services=services,
        )


def _falls_short(standings: Mapping[str, Standing], asked: Asked, headers: Mapping[str, str]) -> bool:
    """Whether an answer that is said to be fresh would not be."""
    behind = any(standing.position < asked.position for standing in standings.values())
    return behind and headers["Consistency"] == "fresh"


def reads(*projections: str, permission: str, formats: tuple[str, ...] = (JSON,)) -> Any:
    """What a route depends on: what it reads, who may ask, and the formats it answers in."""
    # The snapshot ends with the endpoint, not when the client has taken the answer: whoever reads slowly, or
    # not at all, would keep a connection and its transaction, and a few of them everybody's.
    return Depends(Reads(projections, permission, formats), scope="function")


# --- parameters ---------------------------------------------------------------------------------------


_known: dict[int, tuple[Any, frozenset[str], frozenset[str]]] = {}


def refuse_unknown_parameters(request: Request) -> None:
    """400 for a query parameter the route does not declare, and for one given twice."""
    if not request.scope["query_string"]:
        return
    declared, repeatable = _parameters(request.scope["route"])
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in declared:
            code = "as-of-not-supported" if name in _TIMES else "filter-unknown"
            raise Problem(code, params={"known": ", ".join(sorted(declared))})
        if name in seen and name not in repeatable:
            raise Problem("filter-repeated", params={"parameter": name})
        seen.add(name)


def _parameters(route: Any) -> tuple[frozenset[str], frozenset[str]]:
    """The names a route declares, and those of them that are lists; worked out once per route."""
    found = _known.get(id(route))
    if found is None or found[0] is not route:
        fields = list(query_fields(route.dependant))
        names = frozenset(field.alias for field in fields) | _ALWAYS
        lists = frozenset(
            f.alias for f in fields if get_origin(f.field_info.annotation) in (list, tuple, set)
        )
        found = _known[id(route)] = (route, names, lists)
    return found[1], found[2]


def query_fields(dependant: Any) -> Iterator[Any]:
    """The query parameters of an endpoint and of all it depends on."""
    yield from dependant.query_params
    for below in dependant.dependencies:
        yield from query_fields(below)


# --- pages --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which page is wanted: at most `limit` rows whose key comes after `after`.

    Ask the database for `limit + 1` rows: the one too many says that there are more.
    """

    limit: int
    after: tuple[Any, ...] | None
    _seal: Callable[[tuple[Any, ...]], str]

    def cut(self, rows: Sequence[Row], key: Callable[[Row], tuple[Any, ...]]) -> Sequence[Row]:
        """Of a short list that was read whole: the rows after `after`, and no more than the page needs."""
        start = 0
        if self.after is not None:
            start = next((n for n, row in enumerate(rows, 1) if key(row) == self.after), len(rows))
        return rows[start : start + self.limit + 1]

    def page(self, reading: Reading, rows: Sequence[Row], key: Callable[[Row], tuple[Any, ...]]) -> Page[Row]:
        """The envelope; `key` gives the sort values of a row: texts, numbers, dates, ids, None."""
        shown = rows[: self.limit]
        has_more = len(rows) > self.limit
        cursor = self._seal(key(shown[-1])) if has_more and shown else None
        mark = PageMark(next_cursor=cursor, has_more=has_more, limit=self.limit)
        return Page.model_construct(data=shown, page=mark, as_of=reading.as_of)


async def paging(
    request: Request,
    limit: Annotated[str | None, Query(description="1 to 200; more is lowered to 200.")] = None,
    cursor: Annotated[str | None, Query(description="`page.next_cursor` of the page before.")] = None,
) -> Paging:
    """Read `limit` and `cursor`. A cursor belongs to its route, company and filters: elsewhere it is 400."""
    services = services_of(request)
    company = (await authenticate(request)).company_id
    rest = [item for item in request.query_params.multi_items() if item[0] not in ("limit", "cursor")]
    binding = cursors.binding(request.scope["path"], company, rest)
    after = None if cursor is None else cursors.open_cursor(cursor, binding, services.door_secret)
    return Paging(
        limit=_limit(limit),
        after=after,
        _seal=lambda values: cursors.seal(values, binding, services.door_secret),
    )


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) > 0):
        raise Problem("limit-invalid", params={"max": str(LIMIT_MAX)})
    return min(int(text), LIMIT_MAX)


# --- the two axes of time -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Times:
    """Up to which day facts count, and up to which day we knew of them; None means now."""

    effective_to: date | None
    known_as_of: date | None

    def said_in(self, as_of: AsOf) -> AsOf:
        """The answer's `as_of` with these days in it."""
        return as_of.model_copy(update={"effective_to": self.effective_to, "known_as_of": self.known_as_of})


async def times(
    effective_to: Annotated[str | None, Query(description="Facts up to this day, YYYY-MM-DD.")] = None,
    known_as_of: Annotated[str | None, Query(description="As known at the end of this day.")] = None,
    as_of: Annotated[str | None, Query(description="Short for both.")] = None,
) -> Times:
    """Read the days that cut an answer."""
    both = _day("as_of", as_of)
    if both is not None and (effective_to is not None or known_as_of is not None):
        raise Problem("filter-repeated", params={"parameter": "as_of"})
    return Times(_day("effective_to", effective_to) or both, _day("known_as_of", known_as_of) or both)


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return parse_date(text)
    except Invalid as why:
        raise Problem("filter-invalid", params={"parameter": name, "reason": why.code}) from why


def end_of(day: date, zone: Any) -> datetime:
    """The first instant after that day in the company's zone: known then is `recorded_at` before it."""
    return datetime(day.year, day.month, day.day, tzinfo=zone) + _ONE_DAY
