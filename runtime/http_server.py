"""The HTTP server: uvicorn, but whoever waits to be let in is let in."""

import asyncio
import errno
import logging
import socket

import uvicorn

_AT_ONCE = 256
_PAUSE_SECONDS = 0.5
# Too many open files, here or in the whole system; no memory.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """Accepts all who wait at every turn of the loop.

    The loop's own server accepts one at a turn. Under load a turn takes milliseconds, and those with a new
    connection would wait for seconds, while those who are in already are served.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to let in."""
        await super().startup(sockets=[])
        self._entering: set[asyncio.Task[None]] = set()
        for listening in sockets or ():
            listening.listen(self.config.backlog)
            listening.setblocking(False)
            self._open(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, and let those who are in have their answers."""
        for listening in sockets or ():
            asyncio.get_running_loop().remove_reader(listening)
        await super().shutdown(sockets=sockets)

    def _open(self, listening: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listening, self._let_in, listening)

    def _let_in(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                # They go on waiting; looking again and again would only burn the processor.
                _log.error("no connection can be accepted: %s", error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(_PAUSE_SECONDS, self._open, listening)
                return
            task = asyncio.create_task(self._enter(connection))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()  # gone again

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made
