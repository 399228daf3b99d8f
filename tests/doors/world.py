"""A company behind its doors, in memory: real application, real dispatcher, no servers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from api.app import create_app
from api.memberships import Membership, User
from api.passwords import hash_password
from api.services import Services
from projections.catalogue import PROJECTIONS
from read_model.database import open_engine
from read_model.freshness import Freshnesses
from tests.scenario import MemoryStore, RandomIds
from write_model.companies.company import RegisterCompany
from write_model.dispatch import Dispatcher, Receipt
from write_model.ledger.chart_of_accounts import AdoptChart
from write_model.message import Actor, Command, Context
from write_model.store.append import CommandRecord
from write_model.store.store import Store
from write_model.values.identifiers import CompanyId, encode

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
TODAY = date(2026, 11, 23)
PASSWORD = "correct horse battery staple"


class DoorStore(MemoryStore):
    """The memory store, with what the doors ask beside."""

    epoch = 1

    async def command_record(self, company_id: UUID, command_id: UUID) -> CommandRecord | None:
        """What was recorded for one command."""
        found = (r for r in self.records.values() if (r.company_id, r.command_id) == (company_id, command_id))
        return next(found, None)

    async def head(self, partition: int) -> int:
        """The last position."""
        return len(self.log)


class People:
    """Users and memberships that a test may change as it likes."""

    def __init__(self) -> None:
        self.users: dict[UUID, User] = {}
        self.memberships: dict[UUID, tuple[Membership, ...]] = {}

    async def by_email(self, email: str) -> User | None:
        """Who signs in with this address."""
        return next((user for user in self.users.values() if user.email == email), None)

    async def known(self, user_id: UUID) -> tuple[User, tuple[Membership, ...]] | None:
        """A user and their companies."""
        user = self.users.get(user_id)
        return None if user is None else (user, self.memberships.get(user_id, ()))

    def forget(self, user_id: UUID) -> None:
        """Nothing is remembered here."""

    async def follow(self, store: object, command: Command, receipt: Receipt, user_id: UUID) -> None:
        """The directory of companies is tested with a database."""

    def add(self, email: str, *companies: tuple[UUID, str], name: str = "Pessoa") -> UUID:
        """A user with a role in each company."""
        user_id = uuid4()
        self.users[user_id] = User(
            user_id=user_id,
            email=email,
            display_name=name,
            password_hash=_HASH,
            is_disabled=False,
            tokens_valid_from=NOW - timedelta(days=1),
        )
        self.memberships[user_id] = tuple(
            Membership(
                company_id=company_id,
                company_name="Loja Exemplo",
                roles=frozenset({role}),
                time_zone="America/Sao_Paulo",
                is_suspended=False,
            )
            for company_id, role in companies
        )
        return user_id

    def change(self, user_id: UUID, **changes: Any) -> None:
        """Change a user."""
        self.users[user_id] = replace(self.users[user_id], **changes)


_HASH = hash_password(PASSWORD)


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """The application and those who use it."""

    app: FastAPI
    store: DoorStore
    people: People
    clock: Clock
    company_id: CompanyId
    owner: UUID
    keys: list[Ed25519PrivateKey]
    client: httpx2.AsyncClient

    def token(self, user_id: UUID | None = None, company_id: UUID | None = None) -> str:
        """A token of a user; the owner's unless said otherwise."""
        tokens = self.app.state.tokens
        return cast(
            "str",
            tokens.issue(
                user_id=user_id or self.owner,
                company_id=company_id or self.company_id,
                token_id=uuid4(),
                now=self.clock(),
            ),
        )

    def headers(self, user_id: UUID | None = None, **more: str) -> dict[str, str]:
        """What a decent client sends with a command."""
        return {
            "Authorization": f"Bearer {self.token(user_id)}",
            "Idempotency-Key": str(uuid4()),
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    async def post(
        self, path: str, body: object, *, headers: Mapping[str, str] | None = None, raw: bytes | None = None
    ) -> httpx2.Response:
        """A command."""
        content = raw if raw is not None else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers=headers or self.headers())

    async def get(self, path: str, user_id: UUID | None = None, **headers: str) -> httpx2.Response:
        """A question."""
        return await self.client.get(path, headers=self.headers(user_id, **headers))


async def open_world() -> World:
    """A company with a chart of accounts, its owner, and the doors in front of it."""
    store, people, clock = DoorStore(), People(), Clock()
    company_id = CompanyId(uuid4())
    owner = people.add("pessoa@example.com", (company_id, "owner"))
    keys = [Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()]
    ids = RandomIds()
    dispatcher = Dispatcher(cast("Store", store), ids)
    engine = open_engine("postgresql://nobody@127.0.0.1:1/nothing")  # nobody listens there
    services = Services(
        store=cast("Store", store),
        dispatcher=dispatcher,
        engine=engine,
        freshness=Freshnesses(engine),
        projections=frozenset(kind.name for kind in PROJECTIONS),
        token_keys=keys,
        door_secret=b"0123456789abcdef0123456789abcdef",
        clock=clock,
        ids=ids,
    )
    app = create_app(services)
    app.state.directory = people
    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://doors"
    )
    world = World(app, store, people, clock, company_id, owner, keys, client)
    for command in (RegisterCompany(company_id=company_id, legal_name="Loja Exemplo"), AdoptChart()):
        await dispatcher.execute(command, _setup(company_id, command))
    return world


def _setup(company_id: UUID, command: Command) -> Context:
    return Context(
        company_id=company_id,
        actor=Actor("system", uuid4()),
        command_id=uuid4(),
        correlation_id=uuid4(),
        idempotency_key=command.meta.topic,
        body_hash=b"setup",
        effective_date=TODAY,
        today=TODAY,
    )


def public(prefix: str, identifier: UUID) -> str:
    """An id as clients see it."""
    return encode(prefix, identifier)


def assert_problem(answer: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """A well-formed problem with this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"/problems/{body['code']}"
    assert body["title"]
    assert body["request_id"] == answer.headers["request-id"]
    if code is not None:
        assert body["code"] == code, body
    return body
