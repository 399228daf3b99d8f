"""What every server we start has in common: ports, passwords, spawning tied to our life, stopping."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
PREDECESSOR_PATIENCE_SECONDS = 15.0
TETHER = Path(__file__).with_name("tether.py")


class ServerFailed(RuntimeError):
    """A server did not start, or its folder cannot be used; the message says what to do."""


class Account(NamedTuple):
    """The unprivileged account a server runs under when we are root."""

    user: int
    group: int


def free_port() -> int:
    """A loopback port nobody listens on now; it may be taken before its user binds it, so callers retry."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As the servers do: connections of a predecessor still in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def kept_password(path: Path) -> str:
    """The password in this file, made on first use; only its owner may read it."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        password = secrets.token_hex(24)
        write_private(path, password + "\n")
        return password


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only from its first byte on."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def spawn(
    program: Sequence[str],
    *,
    log: Path,
    death_signal: signal.Signals = signal.SIGTERM,
    account: Account | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    piped_input: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program that gets `death_signal` when the calling *thread* ends: call from the main thread.

    It leads a session of its own, so that Ctrl-C in the terminal reaches only us and we stop it in order.
    """
    owner = f"{account.user}:{account.group}" if account else "-"
    tether = [sys.executable, "-I", "-S", str(TETHER), str(int(death_signal)), str(os.getpid()), owner]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*tether, *program],
            stdin=subprocess.PIPE if piped_input else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env=environment,
            pass_fds=keep_open,
            start_new_session=True,
        )


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Poll a cheap condition; False if it did not come true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def stop(process: subprocess.Popen[bytes], polite: signal.Signals, *, timeout_seconds: float = 30) -> None:
    """Ask politely, then insist."""
    if process.poll() is None:
        process.send_signal(polite)
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the whole group, as a power cut would, and reap the leader."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_predecessors(directory: Path) -> None:
    """Wait until no process works inside this folder any more.

    After a kill -9 of our predecessor its servers are being told to end by the kernel, but may not have
    ended; a second server on the same files would destroy them.
    """
    patience = PREDECESSOR_PATIENCE_SECONDS
    if not wait_until(lambda: not any(processes_inside(directory)), timeout_seconds=patience):
        raise ServerFailed(f"{directory} is in use by process {next(processes_inside(directory), '?')}")


def processes_inside(directory: Path) -> Iterator[int]:
    """Processes whose working folder is this one (compared by inode, so symbolic links do not matter)."""
    wanted = directory.stat()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found = (entry / "cwd").stat()
            except OSError:  # gone meanwhile, or another user's and so not one of ours
                continue
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                yield int(entry.name)


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, to put into an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else "(no log)"
