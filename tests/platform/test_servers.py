"""The servers we start ourselves: they come back, they ask for a password, they leave nobody behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import aio_pika
import psycopg
import pytest
import redis

from runtime.servers import PostgresServer, RabbitMQServer, ServerFailed, ValkeyServer
from runtime.servers.process import LOOPBACK, free_port, processes_inside, wait_until

pytestmark = pytest.mark.service

_DEBIANS_POSTGRES = Path("/usr/lib/postgresql/15/bin")
_ROOT = Path(__file__).parents[2]


def test_postgres_takes_connections_and_stops(private_postgres: PostgresServer) -> None:
    pid = private_postgres.pid
    with psycopg.connect(private_postgres.url) as connection:
        row = connection.execute(
            "SELECT current_user, current_database(), pg_encoding_to_char(encoding), datcollate"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("ccontrol", "ccontrol", "UTF8", "C.UTF-8")
    private_postgres.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_committed_rows_survive_a_kill(private_postgres: PostgresServer) -> None:
    url = private_postgres.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    private_postgres.kill()
    private_postgres.start()
    assert private_postgres.url == url  # clients can simply reconnect
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]


def test_a_kill_spares_no_session_in_the_middle_of_its_work(private_postgres: PostgresServer) -> None:
    connection = psycopg.connect(private_postgres.url, autocommit=True)
    connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 100000000)")
    private_postgres.kill()
    data = private_postgres.directory / "data"
    assert wait_until(lambda: not any(processes_inside(data)), timeout_seconds=1)
    connection.close()


def test_a_lock_file_that_names_a_stranger_does_not_prevent_the_start(
    private_postgres: PostgresServer,
) -> None:
    private_postgres.kill()
    lock = private_postgres.directory / "data" / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    private_postgres.start()
    with psycopg.connect(private_postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_refuses_without_the_password(private_postgres: PostgresServer) -> None:
    password = private_postgres.url.split(":")[2].split("@")[0]
    for url in (
        private_postgres.url.replace(f":{password}@", "@"),
        private_postgres.url.replace(password, "wrong"),
    ):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url)


def test_valkey_refuses_without_the_password(private_redis: ValkeyServer) -> None:
    open_url = "redis://" + private_redis.url.split("@")[1]
    with redis.Redis.from_url(open_url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_passwords_are_for_the_owner_only(
    private_postgres: PostgresServer, private_redis: ValkeyServer, tmp_path: Path
) -> None:
    kept = list(tmp_path.glob("*/password"))
    assert len(kept) == 2
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    for pid, url in ((private_postgres.pid, private_postgres.url), (private_redis.pid, private_redis.url)):
        password = url.split(":")[2].split("@")[0].encode()
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_only_loopback_is_served(private_postgres: PostgresServer, private_redis: ValkeyServer) -> None:
    addresses = {_listening_address(private_postgres.url), _listening_address(private_redis.url)}
    assert addresses == {"0100007F"}  # 127.0.0.1 in the kernel's spelling


def test_valkey_keeps_what_it_confirmed(private_redis: ValkeyServer) -> None:
    with redis.Redis.from_url(private_redis.url) as client:
        client.set("kept", "1")
        client.execute_command("WAITAOF", 1, 0, 1000)
    private_redis.kill()
    private_redis.start()
    with redis.Redis.from_url(private_redis.url) as client:
        assert client.get("kept") == b"1"


def test_rabbitmq_is_private_and_leaves_nobody_behind(
    private_rabbitmq: RabbitMQServer, tmp_path: Path
) -> None:
    """That what it confirmed survives being killed is in tests/integration/test_broker_killed.py."""
    url = private_rabbitmq.url
    assert _listening_address(url) == "0100007F"
    password = url.split(":")[2].split("@")[0]
    asyncio.run(_greet(url))
    with pytest.raises(aio_pika.exceptions.AMQPError):
        asyncio.run(_greet(url.replace(password, "wrong")))
    family = _at_home_in(tmp_path)
    assert private_rabbitmq.pid in family
    assert len(family) >= 3  # with its name server and its resolver
    assert not any(password.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family)
    private_rabbitmq.kill()
    assert wait_until(lambda: not _at_home_in(tmp_path), timeout_seconds=60)


async def _greet(url: str) -> None:
    async with await aio_pika.connect(url, timeout=10):
        pass


def _at_home_in(directory: Path) -> set[int]:
    """Every process whose environment names a place in this folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and os.fsencode(directory) in (entry / "environ").read_bytes():
                found.add(int(entry.name))
    return found


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_taken_port_is_avoided(kind: type[PostgresServer | ValkeyServer], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        server = kind(tmp_path / "server", port=taken)
        server.start()
        assert str(taken) not in server.url
        server.stop()


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_wanted_port_is_used(kind: type[PostgresServer | ValkeyServer], tmp_path: Path) -> None:
    wanted = free_port()
    server = kind(tmp_path / "server", port=wanted)
    server.start()
    assert f":{wanted}/" in server.url
    server.stop()


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_second_server_on_the_same_folder_is_refused(
    kind: type[PostgresServer | ValkeyServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kind(tmp_path / "server")
    first.start()
    monkeypatch.setattr("runtime.servers.process.PREDECESSOR_PATIENCE_SECONDS", 0.1)
    with pytest.raises(ServerFailed, match="in use by process"):
        kind(tmp_path / "server").start()
    first.stop()


def test_a_path_longer_than_a_socket_name_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    server = PostgresServer(deep / "postgres", durable=False)
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


# The wheel has no 15, and installing Debian's would start a server on the standard port: used if it is there.
@pytest.mark.skipif(not _DEBIANS_POSTGRES.is_dir(), reason="PostgreSQL 15 is not installed on this machine")
def test_the_oldest_supported_postgres_starts_too(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres", durable=False, bin_directory=_DEBIANS_POSTGRES)
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.info.server_version // 10000 == 15
    server.stop()


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from runtime.servers import PostgresServer, ValkeyServer\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "servers = [PostgresServer(here / 'postgres'), ValkeyServer(here / 'valkey')]\n"
        "[server.start() for server in servers]\n"
        "print(*(server.pid for server in servers), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, cwd=_ROOT, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        folders = [tmp_path / "postgres" / "data", tmp_path / "valkey" / "data"]
        assert len(pids) == 2
        assert all(list(processes_inside(folder)) for folder in folders)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        gone = wait_until(
            lambda: not any(list(processes_inside(folder)) for folder in folders), timeout_seconds=60
        )
    assert gone


def _listening_address(url: str) -> str:
    port = f"{int(url.rsplit(':', 1)[1].split('/')[0]):04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    local = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    return next(address.split(":")[0] for address in local if address.endswith(":" + port))
