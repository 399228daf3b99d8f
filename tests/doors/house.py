"""The whole house: PostgreSQL, Redis, store, projector and doors, for what only they can show together."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.event_stream import Pace
from api.passwords import hash_password
from api.services import Services
from integration.bookkeeping import ensure
from projections.catalogue import PROJECTIONS
from projections.worker import run
from read_model.cache import Keys, Views
from read_model.database import open_engine
from read_model.freshness import Freshnesses
from runtime.api_process import concerns
from runtime.epochs import following_epoch
from runtime.operations import open_operations
from tests.doors.world import PASSWORD
from write_model.dispatch import Dispatcher
from write_model.store.changes import Changes
from write_model.store.log import Log
from write_model.store.personal_data import KeyRing
from write_model.store.store import Store
from write_model.values.identifiers import uuid7

_PACE = Pace()
_READY_SECONDS = 60.0


class NewIds:
    """Time-ordered ids."""

    def new(self) -> UUID:
        """A new id."""
        return uuid7(int(datetime.now(UTC).timestamp() * 1_000), os.urandom(10))


class Projector:
    """The projector, started and stopped at will."""

    def __init__(self, database_url: str, redis_url: str, keyring: KeyRing) -> None:
        self._urls = database_url, redis_url
        self._keyring = keyring
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fold."""
        self._task = asyncio.create_task(run(*self._urls, self._log, lease_seconds=2.0))

    async def stop(self) -> None:
        """Fold no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @asynccontextmanager
    async def _log(self) -> AsyncIterator[Log]:
        log = await Log.open(self._urls[0], self._keyring)
        try:
            yield log
        finally:
            await log.close()


@dataclass
class House:
    """The application and its people."""

    app: FastAPI
    engine: AsyncEngine
    store: Store
    projector: Projector
    client: httpx2.AsyncClient
    token: str = ""
    email: str = ""
    company_id: str = ""
    other_company_id: str = ""

    async def add_user(self, email: str) -> UUID:
        """A user without a company."""
        user_id = uuid4()
        async with self.engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO ccontrol.users (user_id, email, password_hash, display_name)"
                    " VALUES (:user_id, :email, :hash, 'Pessoa')"
                ),
                {"user_id": user_id, "email": email, "hash": hash_password(PASSWORD)},
            )
        return user_id

    async def give_role(self, user_id: UUID, company_id: UUID, role: str) -> None:
        """Let a user into a company."""
        async with self.engine.begin() as connection:
            await connection.execute(
                text("SELECT set_config('ccontrol.company', :c, true)"), {"c": str(company_id)}
            )
            await connection.execute(
                text(
                    "INSERT INTO ccontrol.companies_directory (company_id, partition, name, time_zone)"
                    " VALUES (:c, :p, 'Loja', 'America/Sao_Paulo') ON CONFLICT DO NOTHING"
                ),
                {"c": company_id, "p": self.store.partition_of(company_id)},
            )
            await connection.execute(
                text("INSERT INTO ccontrol.memberships (company_id, user_id, roles) VALUES (:c, :u, :r)"),
                {"c": company_id, "u": user_id, "r": [role]},
            )

    async def sign_in(self, email: str) -> dict[str, Any]:
        """Through the door."""
        answer = await self.client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def headers(self, **more: str) -> dict[str, str]:
        """What a decent client sends."""
        return {
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": str(uuid4()),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    async def post(self, path: str, body: object, **headers: str) -> httpx2.Response:
        """A command."""
        return await self.client.post(path, json=body, headers=self.headers(**headers))

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """A question."""
        return await self.client.get(path, headers=self.headers(**headers))

    async def until_ready(self) -> None:
        """Until the doors say so."""
        async with asyncio.timeout(_READY_SECONDS):
            while (await self.client.get("/readyz")).json()["status"] != "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_house(database_url: str, redis_url: str, *, pace: Pace = _PACE) -> AsyncIterator[House]:
    """Everything started."""
    keyring = KeyRing({1: os.urandom(32)})
    await ensure(database_url)
    ids = NewIds()
    store = await Store.open(database_url, keyring, ids.new)
    engine = open_engine(database_url)
    freshness = Freshnesses(engine)
    redis: Redis = Redis.from_url(redis_url)
    views = Views(redis, Keys(store.installation, store.epoch))
    services = Services(
        store=store,
        dispatcher=Dispatcher(store, ids),
        engine=engine,
        freshness=freshness,
        projections=frozenset(kind.name for kind in PROJECTIONS),
        token_keys=[Ed25519PrivateKey.generate()],
        door_secret=os.urandom(32),
        clock=lambda: datetime.now(UTC),
        ids=ids,
        views=views,
        redis=redis,
    )
    log = await Log.open(database_url, keyring)
    changes = Changes(database_url)
    async with open_operations(database_url, engine, log) as operations:
        services = replace(services, operations=operations, changes=changes, concerns=concerns())
        app = create_app(services, pace=pace)
        async with (
            following_epoch(database_url, store, services.dispatcher, views, freshness),
            _lived_in(app, services, Projector(database_url, redis_url, keyring)) as house,
        ):
            yield house
    await changes.close()
    await log.close()
    await store.close()
    await engine.dispose()
    await redis.aclose()


@asynccontextmanager
async def _lived_in(app: FastAPI, services: Services, projector: Projector) -> AsyncIterator[House]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    await services.freshness.start()
    projector.start()
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://doors", timeout=30) as client:
            house = House(app, services.engine, services.store, projector, client)
            await house.until_ready()
            yield house
    finally:
        await app.state.live.close()
        await projector.stop()
        await services.freshness.stop()


async def move_in(house: House) -> House:
    """A new owner, at work in a company of their own, and owner of another one made through the door."""
    email = f"{uuid4().hex}@example.com"
    await house.give_role(await house.add_user(email), uuid4(), "owner")
    session = await house.sign_in(email)
    home = replace(house, token=session["access_token"], email=email, company_id=session["company_id"])
    made = await home.post("/v1/companies", {"legal_name": "Boa Vista Ltda."})
    assert made.status_code == 201, made.text
    home.other_company_id = made.json()["resource"]["id"]
    return home
