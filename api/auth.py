"""Who is asking, for which company, and whether they may.

The token says who; what they may is read from the database (remembered for seconds), so that a removed
role or a disabled account stops working before the token ends. Every 401 has the same body.
"""

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.requests import Request

from api.language import language_of
from api.memberships import Directory, Known, Membership
from api.permissions import EVERYONE, allows
from api.problems import Problem
from api.services import services_of
from api.tokens import AccessTokens, Claims, TokenRefused
from write_model.values.identifiers import decode
from write_model.values.invalid import Invalid

_MAKERS = ("authorization", "ccontrol-company", "accept-language")
_SEEN_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A signed-in person, at work in one company."""

    user_id: UUID
    display_name: str
    email: str
    company_id: UUID
    company_name: str
    roles: frozenset[str]
    time_zone: str
    is_suspended: bool
    language: str

    def may(self, permission: str) -> bool:
        """Whether one of their roles allows it."""
        return allows(self.roles, permission)

    def today(self, now: datetime) -> date:
        """The day it is in the company."""
        return now.astimezone(zone(self.time_zone)).date()


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """A time zone by name."""
    return ZoneInfo(name)


async def require(request: Request, permission: str) -> Caller:
    """The caller, if they may do this; otherwise 401 or 403."""
    caller = await authenticate(request)
    if not caller.may(permission):
        raise Problem("permission-denied", params={"permission": permission})
    return caller


class Requires:
    """The gate of a route that reads no projection: a dependency that knows its permission."""

    __slots__ = ("permission",)

    def __init__(self, permission: str) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Caller:
        """The caller, if they may."""
        return await require(request, self.permission)


async def authenticate(request: Request) -> Caller:
    """Who is asking, and in which company; remembered for the rest of the request."""
    found: Caller | None = getattr(request.state, "caller", None)
    if found is None:
        visitors: Visitors = request.app.state.visitors
        found = request.state.caller = await visitors.admit(request)
    return found


class Visitors:
    """Callers by the headers that made them, for as long as what they were made from is unchanged."""

    def __init__(self) -> None:
        self._seen: dict[tuple[tuple[str, ...], ...], tuple[Known, datetime, Caller]] = {}

    async def admit(self, request: Request) -> Caller:
        """The caller; 401 or 403 when there is none."""
        headers = request.headers
        key = tuple(tuple(headers.getlist(name)) for name in _MAKERS)
        seen = self._seen.get(key)
        if seen is not None:
            known, until, caller = seen
            services = services_of(request)
            directory: Directory = request.app.state.directory
            if services.clock() < until and await directory.known(caller.user_id) == known:
                return caller
        return await self._admit(request, key)

    async def _admit(self, request: Request, key: tuple[tuple[str, ...], ...]) -> Caller:
        known, claims = await signed_in(request)
        try:
            membership = chosen_membership(request, known[1], claims.company_id)
        except Problem:
            # Another process may have let them in since we last looked: nobody is turned away on old news.
            directory: Directory = request.app.state.directory
            directory.forget(claims.user_id)
            known, claims = await signed_in(request)
            membership = chosen_membership(request, known[1], claims.company_id)
        user, _ = known
        caller = Caller(
            user_id=user.user_id,
            display_name=user.display_name,
            email=user.email,
            company_id=membership.company_id,
            company_name=membership.company_name,
            roles=membership.roles,
            time_zone=membership.time_zone,
            is_suspended=membership.is_suspended,
            language=language_of(request),
        )
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen[key] = (known, claims.expires_at, caller)
        return caller


async def signed_in(request: Request) -> tuple[Known, Claims]:
    """The user of the token with their companies, and what the token says; 401 otherwise."""
    services = services_of(request)
    tokens: AccessTokens = request.app.state.tokens
    directory: Directory = request.app.state.directory
    try:
        claims = tokens.read(_bearer(request), services.clock())
    except TokenRefused:
        raise unauthenticated() from None
    found = await directory.known(claims.user_id)
    if found is None:
        raise unauthenticated()
    user, _ = found
    # Tokens know whole seconds only: one issued in the second of the cut-off is still good.
    if user.is_disabled or claims.issued_at < user.tokens_valid_from.replace(microsecond=0):
        raise unauthenticated()
    return found, claims


def unauthenticated() -> Problem:
    """The one 401."""
    return Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        raise TokenRefused
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenRefused
    return token


def chosen_membership(
    request: Request, memberships: tuple[Membership, ...], default: UUID | None
) -> Membership:
    """The company to work in: the one `Ccontrol-Company` names, else the token's own."""
    named = request.headers.getlist("ccontrol-company")
    wanted = default
    if named:
        try:
            wanted = decode("cmp", named[0]) if len(named) == 1 else None
        except Invalid:
            wanted = None
        if wanted is None:
            raise Problem("company-mismatch")
    for membership in memberships:
        if membership.company_id == wanted:
            return membership
    # A default that is gone is replaced by another; a company that was named is not.
    if named or not memberships:
        raise Problem("company-mismatch")
    return memberships[0]


__all__ = [
    "EVERYONE",
    "Caller",
    "Requires",
    "authenticate",
    "require",
    "signed_in",
    "unauthenticated",
    "zone",
]
