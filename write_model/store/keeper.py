"""Brings signed heads from the outbox to a place outside the database, where no superuser of it can reach.

    checkpoints/<company>/<length>-<beginning of the hash>-<key>.json

The name says what the checkpoint says, so putting one there twice is putting it there once, and one that says
something else about the same length is kept beside it rather than instead of it.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from write_model.store.connections import SEALER, connect

KEPT = "checkpoint.blob"
FOLDER = "checkpoints"
_AT_ONCE = 200
_LOOK_SECONDS = 2.0
_RETRY_SECONDS_MAX = 60.0
_UNSENT = (
    "SELECT partition, id, payload FROM ccontrol.outbox WHERE kind = %s AND sent_at IS NULL "
    "ORDER BY id LIMIT %s"
)
_SENT = "UPDATE ccontrol.outbox SET sent_at = clock_timestamp() WHERE partition = %s AND id = %s"
# A power cut may take from the disk what was there already: what was put lately is put again.
_AGAIN = (
    "UPDATE ccontrol.outbox SET sent_at = NULL WHERE kind = %s "
    "AND sent_at > clock_timestamp() - interval '1 hour'"
)

Put = Callable[[str, bytes], Awaitable[None]]
"""Keep these bytes under this name, unless they are there; raises NotKept."""

log = logging.getLogger(__name__)


class NotKept(Exception):
    """The place outside cannot be reached or does not take it; to be tried again."""


def name_of(checkpoint: dict[str, Any]) -> str:
    """Under which name a checkpoint is kept."""
    return (
        f"{FOLDER}/{checkpoint['company_id']}/"
        f"{checkpoint['length']:012}-{checkpoint['hash'][:16]}-{checkpoint['key_id']}.json"
    )


class Keeper:
    """Delivers one after the other, and again until it succeeds. Nobody waits for it."""

    def __init__(self, url: str, put: Put) -> None:
        self._url = url
        self._put = put

    async def run(self) -> None:
        """Keep delivering until cancelled."""
        delay = _LOOK_SECONDS
        begun = False
        while True:
            try:
                if not begun:
                    await self.begin()
                    begun = True
                await self.keep_due()
                delay = _LOOK_SECONDS
            except NotKept as failure:
                log.warning("checkpoints are not kept outside the database: %s", failure)
                delay = min(delay * 2, _RETRY_SECONDS_MAX)
            except (psycopg.Error, OSError):
                delay = min(delay * 2, _RETRY_SECONDS_MAX)
            await asyncio.sleep(delay)

    async def begin(self) -> None:
        """Deliver again what was delivered shortly before the process ended."""
        async with await connect(self._url, SEALER) as connection:
            await connection.execute(_AGAIN, (KEPT,))

    async def keep_due(self) -> int:
        """Deliver what is due; how many that was."""
        done = 0
        async with await connect(self._url, SEALER) as connection:
            while due := await (await connection.execute(_UNSENT, (KEPT, _AT_ONCE))).fetchall():
                for partition, number, checkpoint in due:
                    await self._put(
                        name_of(checkpoint), json.dumps(checkpoint, sort_keys=True).encode() + b"\n"
                    )
                    await connection.execute(_SENT, (partition, number))
                    done += 1
        return done
