"""Which installation this command line talks to, and what it may use of it.

CCONTROL_URL, CCONTROL_TOKEN   another machine, over HTTP only (with DATABASE_URL the database too)
CCONTROL_STATE                 the folder of an installation on this machine, `.ccontrol` unless said
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.addresses import complaint_about
from runtime.cli.outcome import unreachable, usage

if TYPE_CHECKING:
    from runtime.settings import Settings

_STATE_DEFAULT = Path(".ccontrol")


@dataclass(frozen=True, slots=True)
class Login:
    """How to sign in; `company_id` is where one works unless said otherwise."""

    email: str
    password: str
    company_id: str


@dataclass(frozen=True, slots=True)
class Instance:
    """Where an installation is. `token` stands instead of a login when it is remote."""

    url: str
    token: str | None
    login: Login | None


def state_folder() -> Path:
    """The folder of the installation on this machine."""
    return Path(os.environ.get("CCONTROL_STATE") or _STATE_DEFAULT)


def find() -> Instance:
    """The installation to talk to over HTTP."""
    url, token = os.environ.get("CCONTROL_URL"), os.environ.get("CCONTROL_TOKEN")
    if token and not (token.isascii() and token.isprintable()):
        raise usage("CCONTROL_TOKEN is not a token: it holds characters that none has")
    if url:
        if not url.startswith(("http://", "https://")):
            raise usage("CCONTROL_URL is not the address of an API: it begins with http:// or https://")
        if not token:
            raise usage("CCONTROL_URL is set, but CCONTROL_TOKEN is not: give an access token or API key")
        return Instance(url.rstrip("/"), token, None)
    described = description()
    if token:
        return Instance(described["url"], token, None)
    login = first_login()
    if login is None:
        raise usage(f"{state_folder()} has no first_login.json to sign in with", "set CCONTROL_TOKEN instead")
    return Instance(described["url"], None, login)


def first_login() -> Login | None:
    """The owner that the first start made, if this is the machine it was made on."""
    if os.environ.get("CCONTROL_URL"):
        return None
    found = _json(state_folder() / "first_login.json")
    return None if found is None else Login(found["email"], found["password"], found["company_id"])


def description() -> dict[str, Any]:
    """What the running installation on this machine says of itself."""
    folder = state_folder()
    if not folder.is_dir():
        raise usage(
            f"there is no installation in {folder}",
            "start one with ./run, or say where it is with CCONTROL_STATE or CCONTROL_URL",
        )
    found = _json(folder / "instance.json")
    if found is None:
        raise unreachable(f"nothing is running on {folder}", "start it with ./run")
    return found


def database_url() -> str:
    """The database, for commands that read the log itself."""
    given = os.environ.get("DATABASE_URL")
    if given:
        _require_address("DATABASE_URL", given)
        return given
    _refuse_remote()
    url: str = description()["database_url"]
    return url


def own_folder() -> Path | None:
    """The state folder, if the database that commands read is that of the installation in it."""
    found = _json(state_folder() / "instance.json") if state_folder().is_dir() else None
    given = os.environ.get("DATABASE_URL")
    is_own = found is not None and given in (None, "", found["database_url"])
    return state_folder() if is_own and not os.environ.get("CCONTROL_URL") else None


def settings() -> "Settings":
    """The settings of the installation, for commands that act with its own hands."""
    given = {name: os.environ.get(name) for name in ("DATABASE_URL", "REDIS_URL")}
    if not all(given.values()):
        if given["DATABASE_URL"] and own_folder() is None:
            raise usage(
                "DATABASE_URL is set, but REDIS_URL is not",
                "say both, of one installation: neither is guessed",
            )
        _refuse_remote()
        described = description()
        os.environ["DATABASE_URL"] = given["DATABASE_URL"] or described["database_url"]
        os.environ["REDIS_URL"] = given["REDIS_URL"] or described["redis_url"]
    os.environ.setdefault("CCONTROL_STATE", str(state_folder()))
    return read_settings()


def read_settings() -> "Settings":
    """The settings of this process from the environment alone; says which of them cannot be."""
    from pydantic import ValidationError

    from runtime.settings import Settings

    try:
        found = Settings()
    except ValidationError as error:
        # Never what was given: it may hold a password.
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise usage(
            f"{name} is not set" if first["type"] == "missing" else f"{name} cannot be used"
        ) from None
    _require_address("DATABASE_URL", found.database_url)
    _require_address("REDIS_URL", found.redis_url)
    if found.amqp_url:
        _require_address("AMQP_URL", found.amqp_url)
    return found


def _require_address(name: str, text: str) -> None:
    complaint = complaint_about(name, text)
    if complaint is not None:
        raise usage(complaint)


def _refuse_remote() -> None:
    if os.environ.get("CCONTROL_URL"):
        raise usage(
            "this command needs the database itself, and CCONTROL_URL gives only its API",
            "run it beside the database, with DATABASE_URL set",
        )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as failure:
        raise usage(f"{path} cannot be read: {failure}") from None
    return found
