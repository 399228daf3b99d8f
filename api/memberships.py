"""Who a user is and where they belong: read from PostgreSQL, remembered for a few seconds.

Five seconds is how long a removed role, a disabled account or a sign-out everywhere may still work.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from api import company_directory
from write_model.dispatch import Receipt
from write_model.message import Command

if TYPE_CHECKING:
    from write_model.store.store import Store

_REMEMBERED_SECONDS = 5.0
_REMEMBERED_MAX = 10_000

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who can sign in."""

    user_id: UUID
    email: str
    display_name: str
    password_hash: str
    is_disabled: bool
    tokens_valid_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A company somebody belongs to, and as what."""

    company_id: UUID
    company_name: str
    roles: frozenset[str]
    time_zone: str
    is_suspended: bool


Known = tuple[User, tuple[Membership, ...]]
"""A user and every company they belong to, oldest first."""


class Remembered(Generic[Key, Value]):
    """Answers that may be a few seconds old."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key) -> Value | None:
        """What is remembered and not too old."""
        found = self._kept.get(key)
        return found[1] if found is not None and found[0] > self._clock() else None

    def put(self, key: Key, value: Value) -> None:
        """Remember; forgets everything rather than grow for ever."""
        if len(self._kept) >= _REMEMBERED_MAX:
            self._kept.clear()
        self._kept[key] = (self._clock() + _REMEMBERED_SECONDS, value)

    def forget(self, key: Key) -> None:
        """Ask again next time."""
        self._kept.pop(key, None)


_USER = (
    "SELECT user_id, email, display_name, password_hash, disabled_at, tokens_valid_from FROM ccontrol.users"
)
_BY_ID = text(f"{_USER} WHERE user_id = :user_id")
_BY_EMAIL = text(f"{_USER} WHERE email = :email")
_MEMBERSHIPS = text(
    "SELECT m.company_id, c.name, m.roles, c.time_zone, c.suspended_at FROM ccontrol.memberships m"
    " JOIN ccontrol.companies_directory c USING (company_id) WHERE m.user_id = :user_id ORDER BY m.company_id"
)
# Row level security shows a person their own memberships, whatever the company.
_AS_USER = text(
    "SELECT set_config('ccontrol.user', :user_id, true), set_config('ccontrol.company', '', true)"
)


class Directory:
    """Users and their memberships."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: Remembered[UUID, Known] = Remembered()
        self._asking: dict[UUID, asyncio.Task[Known | None]] = {}

    async def by_email(self, email: str) -> User | None:
        """The user who signs in with this address; always asked afresh."""
        return await self._user(_BY_EMAIL, email=email)

    async def known(self, user_id: UUID) -> Known | None:
        """A user and every company they belong to, oldest first; may be a few seconds old."""
        found = self._known.get(user_id)
        if found is not None:
            return found
        # All who find it too old at the same moment share one question; none of them can cancel it.
        asking = self._asking.get(user_id)
        if asking is None:
            asking = self._asking[user_id] = asyncio.create_task(self._ask(user_id), name="directory")
        return await asyncio.shield(asking)

    def forget(self, user_id: UUID) -> None:
        """Something about this user has just changed; an answer that is on its way may be too old."""
        self._known.forget(user_id)
        self._asking.pop(user_id, None)

    async def follow(self, store: "Store", command: Command, receipt: Receipt, user_id: UUID) -> None:
        """After a command about a company: the same in the directory. Nothing for other commands."""
        if receipt.dry_run or not isinstance(receipt.target, UUID) or not company_directory.concerns(command):
            return
        await company_directory.write(self._engine, store, command, receipt.target, user_id)
        self.forget(user_id)

    async def _ask(self, user_id: UUID) -> Known | None:
        try:
            user = await self._user(_BY_ID, user_id=user_id)
            found = None if user is None else (user, await self._memberships(user_id))
            if found is not None and self._asking.get(user_id) is asyncio.current_task():
                self._known.put(user_id, found)
            return found
        finally:
            if self._asking.get(user_id) is asyncio.current_task():
                del self._asking[user_id]

    async def _user(self, statement: TextClause, **parameters: Any) -> User | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement, parameters)).one_or_none()
        if row is None:
            return None
        return User(
            user_id=row.user_id,
            email=row.email,
            display_name=row.display_name,
            password_hash=row.password_hash,
            is_disabled=row.disabled_at is not None,
            tokens_valid_from=row.tokens_valid_from,
        )

    async def _memberships(self, user_id: UUID) -> tuple[Membership, ...]:
        async with self._engine.begin() as connection:
            await connection.execute(_AS_USER, {"user_id": str(user_id)})
            rows = (await connection.execute(_MEMBERSHIPS, {"user_id": user_id})).all()
        return tuple(
            Membership(
                company_id=row.company_id,
                company_name=row.name,
                roles=frozenset(row.roles),
                time_zone=row.time_zone,
                is_suspended=row.suspended_at is not None,
            )
            for row in rows
        )
