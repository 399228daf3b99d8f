"""A partner: an HTTPS server on this machine under a name of its own, that answers as a test wants it to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAME = "erp.example.com"
OTHER_NAME = "other.example.com"
BODY = b'{"test": 2432232314}'


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    head: str
    headers: dict[str, str]
    body: bytes


Respond = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """Where it is, what it got; `respond` may be changed at any time."""

    port: int = 0
    respond: Respond = field(default_factory=lambda: answering(200))
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, count: int) -> None:
        """Until that many requests have come."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: len(self.received) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            head, _, rest = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")
            pairs = [line.partition(": ") for line in rest.split("\r\n") if line]
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Received(head, headers, body)
            self.received.append(request)
            async with self.changed:
                self.changed.notify_all()
            await self.respond(request, writer)
        writer.transport.abort() if writer.is_closing() else writer.close()


def answering(status: int, body: bytes = b"", **headers: str) -> Respond:
    """A decent answer."""

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return respond


def saying(raw: bytes, *, again: float | None = None, then_wait: bool = False) -> Respond:
    """Whatever bytes, perhaps for ever, perhaps with silence behind them."""

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        while again is not None:
            await asyncio.sleep(again)
            writer.write(raw.rpartition(b"\r\n\r\n")[2] or raw)
            await writer.drain()
        if then_wait:
            await asyncio.sleep(3_600)

    return respond


@asynccontextmanager
async def receiving(*, name: str = NAME, secure: bool = True) -> AsyncIterator[Receiver]:
    """A receiver that serves, until the end of the block."""
    receiver = Receiver()
    context = authority().server(name) if secure else None
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def resolving(*answers: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that gives these answers, one after the other, the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


class Authority:
    """Somebody who certifies names, for tests."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of tests")])
        self._certificate = self._certify(self._name, self._key.public_key(), None)
        self._servers: dict[str, ssl.SSLContext] = {}

    def trust(self) -> ssl.SSLContext:
        """What a client that trusts it has."""
        pem = self._certificate.public_bytes(Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def pem(self) -> str:
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def server(self, name: str) -> ssl.SSLContext:
        """What a server of that name has."""
        if name not in self._servers:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            certificate = self._certify(subject, key.public_key(), name)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with TemporaryDirectory() as folder:
                path = Path(folder) / "server.pem"
                path.write_bytes(
                    key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                    + certificate.public_bytes(Encoding.PEM)
                )
                context.load_cert_chain(path)
            self._servers[name] = context
        return self._servers[name]

    def _certify(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, name: str | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        )
        if name is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@cache
def authority() -> Authority:
    """The one of this session."""
    return Authority()
