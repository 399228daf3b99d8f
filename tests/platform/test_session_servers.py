"""The servers that all test workers of a session share."""

import subprocess
from pathlib import Path
from threading import Thread

from tests.session_servers import SessionServers


class Fake:
    """A server that only remembers what was asked of it."""

    def __init__(self) -> None:
        self.running = False
        self.url = "fake://"

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


def test_who_started_a_server_waits_for_the_others_only_when_its_session_ends(tmp_path: Path) -> None:
    """Its last test has a time limit; the tests of the others may go on for longer than that."""
    servers, server = SessionServers(), Fake()
    other = subprocess.Popen(["sleep", "60"])
    try:
        with servers.use(tmp_path, lambda _: server) as url:
            assert url == "fake://"
            (tmp_path / "users" / str(other.pid)).touch()
        assert server.running

        stopping = Thread(target=servers.stop)
        stopping.start()
        stopping.join(0.3)
        assert stopping.is_alive()
        assert server.running
    finally:
        other.kill()
        other.wait()
    stopping.join(30)
    assert not server.running


def test_a_worker_that_comes_later_uses_what_is_there(tmp_path: Path) -> None:
    first, second = SessionServers(), SessionServers()
    servers = [Fake(), Fake()]
    other = subprocess.Popen(["sleep", "60"])
    try:
        with first.use(tmp_path, lambda _: servers[0]):
            (tmp_path / "users" / str(other.pid)).touch()
            with second.use(tmp_path, lambda _: servers[1]):
                assert [server.running for server in servers] == [True, False]
        second.stop()
        assert servers[0].running
    finally:
        other.kill()
        other.wait()
    first.stop()
    assert [server.running for server in servers] == [False, False]
