"""What must be there before any process serves: keys, tables, the first company. Safe to repeat.

`./run` calls `prepare`; a deployment runs `python -m runtime.prepare` once before each new version starts.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from runtime.keys import ensure_keys

if TYPE_CHECKING:
    from runtime.first_start import FirstLogin


def prepare(database_url: str) -> "FirstLogin":
    """Make what is missing; the environment already says where everything is."""
    # Imported here: they bring the whole write side along, and ./run --help must not wait for that.
    from integration import bookkeeping
    from runtime.first_start import ensure_first_company
    from runtime.settings import Settings
    from write_model.store.migrations import upgrade

    settings = Settings()
    ensure_keys(settings.root_key.parent)
    # Fail with a plain sentence rather than from inside a migration.
    with psycopg.connect(database_url.replace("postgresql+psycopg://", "postgresql://"), connect_timeout=10):
        pass
    upgrade(database_url)
    asyncio.run(bookkeeping.ensure(database_url))
    return asyncio.run(ensure_first_company(settings))


def main() -> int:
    """For a deployment: where things are comes from DATABASE_URL, REDIS_URL and CCONTROL_STATE."""
    state = Path(os.environ["CCONTROL_STATE"])
    login = prepare(os.environ["DATABASE_URL"])
    # Not the password: this output ends up in a log.
    sys.stdout.write(f"prepared; first sign-in: {login.email}, password in {state / 'first_login.json'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
