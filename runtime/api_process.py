"""The API process: opens what the doors need, serves, and closes it again."""

import asyncio
import hmac
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from fastapi import FastAPI
from redis.asyncio import Redis

from api.app import create_app
from api.services import Services
from projections.catalogue import PROJECTIONS
from projections.long_lived import collect_seldom
from read_model.cache import Keys, Views
from read_model.database import open_engine
from read_model.freshness import Freshnesses
from runtime.epochs import following_epoch
from runtime.http_server import HttpServer
from runtime.logs import configure_logs
from runtime.operations import open_operations
from runtime.projection_work import open_log
from runtime.settings import Settings
from runtime.wiring import SystemIds, open_store, system_clock
from write_model.store.changes import Changes

_SILENCE_SECONDS = 30.0
# Under load a question mostly waits for its turn in this process, with a connection in hand: with few of them
# questions queue, while commands, which share one, go on.
_QUESTIONS_AT_ONCE = 20

# A task that nobody holds may vanish before it is done.
_closing: set[asyncio.Task[None]] = set()


def main(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; requests that are being answered are answered."""
    configure_logs()
    uvloop.run(_serve(settings))
    return 0


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything the doors need, connected; closed at the end."""
    key = _signing_key(settings)
    engine = open_engine(settings.database_url, pool_size=_QUESTIONS_AT_ONCE)
    # A view that Redis cannot give at once is answered by its SQL twin.
    redis: Redis = Redis.from_url(settings.redis_url, socket_timeout=1, socket_connect_timeout=1)
    freshness = Freshnesses(engine)
    await freshness.start()
    try:
        async with (
            open_store(settings) as (store, dispatcher),
            open_log(settings) as log,
            open_operations(settings.database_url, engine, log) as operations,
            closing_changes(settings.database_url) as changes,
        ):
            views = Views(redis, Keys(store.installation, store.epoch))
            services = Services(
                store=store,
                dispatcher=dispatcher,
                engine=engine,
                freshness=freshness,
                projections=frozenset(projection.name for projection in PROJECTIONS),
                token_keys=[key],
                door_secret=_door_secret(key),
                clock=system_clock,
                ids=SystemIds(),
                views=views,
                redis=redis,
                loopback_allowed=settings.webhooks_on_loopback,
                changes=changes,
                concerns=concerns(),
                operations=operations,
            )
            async with following_epoch(settings.database_url, store, dispatcher, views, freshness):
                yield services
    finally:
        await freshness.stop()
        await redis.aclose()
        await engine.dispose()


@asynccontextmanager
async def closing_changes(database_url: str) -> AsyncIterator[Changes]:
    """The log for live updates; connects when somebody listens."""
    changes = Changes(database_url)
    try:
        yield changes
    finally:
        await changes.close()


def concerns() -> dict[str, frozenset[str]]:
    """The SQL projections that show each kind of event; the Redis views repeat some of them."""
    found: dict[str, set[str]] = {}
    for kind in PROJECTIONS:
        for event_type in kind().bound() if kind.lane == "sql" else ():
            found.setdefault(event_type.topic, set()).add(kind.name)
    return {topic: frozenset(names) for topic, names in found.items()}


async def _serve(settings: Settings) -> None:
    async with open_services(settings) as services:
        app = create_app(services)
        # What is there now stays to the end: looking through all of it would stop every request for a while.
        collect_seldom()
        config = uvicorn.Config(
            app,
            lifespan="off",
            server_header=False,
            date_header=False,
            access_log=False,
            log_config=None,
            # Longer than a command may wait for its turn.
            timeout_graceful_shutdown=10,
        )
        server = HttpServer(config)
        listening = listening_socket(settings.host, settings.port)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, server, app)
        # Not server.serve(): it raises the signal again after the graceful stop, past our clean-up.
        await server._serve([listening])


def listening_socket(host: str, port: int, *, silence_seconds: float = _SILENCE_SECONDS) -> socket.socket:
    """Where clients come in. Whoever is let in gets its options.

    A client that vanished without a word, or takes nothing of what is sent, would keep its connection, and
    whatever waits in it, for a quarter of an hour.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(silence_seconds / 2)))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(silence_seconds / 6)))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence_seconds * 1000))
    found.bind((host, port))
    return found


def _stop(server: uvicorn.Server, app: FastAPI) -> None:
    server.should_exit = True
    # Streams have no end of their own, and the server waits for every answer to end.
    app.state.streams.close()
    _closing.add(asyncio.create_task(app.state.live.close()))


def _signing_key(settings: Settings) -> Ed25519PrivateKey:
    key = load_pem_private_key(settings.tokens_key.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{settings.tokens_key} is not an Ed25519 key")
    return key


def _door_secret(key: Ed25519PrivateKey) -> bytes:
    """The same in every process of the installation, and of no use for signing."""
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return hmac.digest(raw, b"ccontrol.door-secret", sha256)
