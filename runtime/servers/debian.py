"""RabbitMQ's programs: the machine's own, or Debian's packages unpacked into a folder of the user's.

No wheel has them. Fetching needs no root, installs nothing and starts nothing: apt downloads what is missing
on this machine, with its usual signatures, and dpkg unpacks it beside. `python -m runtime.servers.debian`
does it ahead of time.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.servers.process import ServerFailed, last_lines

_SERVER = "usr/lib/rabbitmq/bin/rabbitmq-server"
_ERLANG = "usr/lib/erlang"
_OURS = "set AMQP_URL to a broker of yours, or install rabbitmq-server"


class NoRabbitMQ(ServerFailed):
    """There is none on this machine, and none can be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the programs are, and the environment they need."""

    server: Path
    epmd: Path
    environment: Mapping[str, str]


def rabbitmq() -> Installation:
    """The machine's RabbitMQ, else the one fetched before, else one fetched now."""
    for root in (Path("/"), _folder()):
        found = _in(root)
        if found is not None:
            return found
    _fetch(_folder())
    found = _in(_folder())
    if found is None:
        raise NoRabbitMQ(f"Debian's packages did not bring a RabbitMQ that can be run: {_OURS}")
    return found


def is_debian() -> bool:
    """Whether packages can be fetched here, so that their absence would be a surprise."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb") and Path("/etc/debian_version").exists())


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ccontrol" / "rabbitmq"


def _in(root: Path) -> Installation | None:
    """What is installed below this folder; Erlang may be the machine's own while RabbitMQ is not."""
    erlang = root / _ERLANG if (root / _ERLANG / "bin" / "erl").exists() else Path("/", _ERLANG)
    epmd = erlang / "bin" / "epmd"
    if not ((root / _SERVER).exists() and (erlang / "bin" / "erl").exists() and epmd.exists()):
        return None
    environment = {"PATH": f"{erlang / 'bin'}:{os.defpath}"}
    if root != Path("/"):
        libraries = {str(found.parent) for found in (root / "usr" / "lib").glob("*-linux-gnu*/*.so*")}
        libraries |= {str(found.parent) for found in (root / "lib").glob("*-linux-gnu*/*.so*")}
        environment["LD_LIBRARY_PATH"] = ":".join(sorted(libraries))
    return Installation(root / _SERVER, epmd, environment)


# --- fetching -----------------------------------------------------------------------------------------


def _fetch(folder: Path) -> None:
    """Unpack beside, then put into place in one step; who comes second waits and finds it done."""
    if not is_debian():
        raise NoRabbitMQ(f"no RabbitMQ on this machine, which is no Debian to fetch one for: {_OURS}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _in(folder) is not None:
            return
        sys.stderr.write("ccontrol: fetching RabbitMQ (once; nothing is installed)\n")
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        _download(unfinished)
        _relocate(unfinished, folder)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)


def _download(target: Path) -> None:
    apt = target / ".apt"
    for part in ("lists/partial", "archives/partial"):
        (apt / part).mkdir(parents=True)
    options = []
    for option in (
        f"Dir::State::Lists={apt / 'lists'}",
        f"Dir::Cache={apt}",
        f"Dir::Cache::archives={apt / 'archives'}",
        "Debug::NoLocking=1",
        # Another account could not write here.
        "APT::Sandbox::User=",
        "Acquire::Languages=none",
        # What this machine does after its own updates is none of ours.
        "APT::Update::Post-Invoke=",
        "DPkg::Post-Invoke=",
        "APT::Keep-Downloaded-Packages=true",
    ):
        options += ["-o", option]
    log = target / "log"
    _run(log, "apt-get", *options, "-qq", "update")
    _run(log, "apt-get", *options, "-qq", "-y", "--no-install-recommends", "--download-only", "install",
         "rabbitmq-server")  # fmt: skip
    for package in (apt / "archives").glob("*.deb"):
        _run(log, "dpkg-deb", "-x", str(package), str(target))
    shutil.rmtree(apt)


def _relocate(unfinished: Path, folder: Path) -> None:
    """Erlang's start script knows its folder by its full name."""
    erl = unfinished / _ERLANG / "bin" / "erl"
    if erl.exists():
        erl.write_text(erl.read_text().replace(f"ROOTDIR=/{_ERLANG}", f"ROOTDIR={folder / _ERLANG}"))


def _run(log: Path, *command: str) -> None:
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise NoRabbitMQ(f"RabbitMQ cannot be fetched ({command[0]}): {last_lines(log, 3)}; {_OURS}")


if __name__ == "__main__":
    try:
        sys.stderr.write(f"ccontrol: RabbitMQ is {rabbitmq().server}\n")
    except NoRabbitMQ as reason:
        sys.exit(f"ccontrol: {reason}")
