"""Sockets that listen, and the way of a client from there to its connection."""

import asyncio
import logging
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Final

from aiohttp import web

from provlog.server.errors import describe
from provlog.server.http.connections import Connection, ConnectionRunner

logger = logging.getLogger(__name__)

BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 64
SHARED_AT_ONCE: Final = 8
BREATH_SECONDS: Final = 0.002
"""How long a process leaves a shared socket to others after it accepted from it."""
PAUSE_SECONDS: Final = 1.0
TLS_END_SECONDS: Final = 5.0


async def bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets of every address that a host name stands for.

    Raises `OSError`, which names the address, where one of them is taken.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            made = socket.create_server(address, family=family, backlog=BACKLOG)
            sockets.append(made)
            made.setblocking(False)
    except BaseException:
        for made in sockets:
            made.close()
        raise
    return sockets


class Listener(web.BaseSite):
    """Accepts clients on one socket, as many as there is room for.

    `context` returns what TLS is spoken with, anew for each client so that a renewed
    certificate is used; None speaks plain HTTP. A client counts from the moment it is
    accepted, before its handshake.

    Of a `shared` socket other processes have their turn after each few clients: whoever
    happened to run when many came would have them for as long as they stay.
    """

    def __init__(
        self,
        runner: ConnectionRunner,
        listening: socket.socket,
        context: Callable[[], SSLContext] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        super().__init__(runner)
        self._shared = shared
        self._connections = runner.connections
        self._settings = runner.settings
        self._socket = listening
        self._context = context
        self._greetings: dict[asyncio.Task[None], Connection] = {}
        self._resuming: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """The address, for people."""
        return str(self._socket.getsockname())

    async def start(self) -> None:
        """Begin to accept."""
        await super().start()
        self._loop.add_reader(self._socket, self._arrive)

    async def stop(self) -> None:
        """Accept nobody else; who is not connected yet never will be."""
        self._loop.remove_reader(self._socket)
        if self._resuming is not None:
            self._resuming.cancel()
        self._socket.close()
        for connection in self._greetings.values():
            connection.drop()
        await asyncio.gather(*self._greetings, return_exceptions=True)
        await super().stop()

    def _arrive(self) -> None:
        # A flood of clients must leave time for those who are there.
        for number in range(SHARED_AT_ONCE if self._shared else ACCEPTED_AT_ONCE):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                if not number:
                    return
                break
            except OSError as error:
                logger.error("clients cannot be accepted: %s", error.strerror)
                # Without descriptors or memory there is nothing else to do.
                self._pause(PAUSE_SECONDS)
                return
            self._take(accepted)
        if self._shared:
            self._pause(BREATH_SECONDS)

    def _take(self, accepted: socket.socket) -> None:
        if not self._connections.roster.make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        connection = self._connections()
        connection.expect()
        greeting = self._loop.create_task(self._greet(connection, accepted))
        self._greetings[greeting] = connection
        greeting.add_done_callback(self._greetings.pop)

    def _pause(self, seconds: float) -> None:
        """Accept nobody for a while."""
        self._loop.remove_reader(self._socket)
        self._resuming = self._loop.call_later(
            seconds, self._loop.add_reader, self._socket, self._arrive
        )

    async def _greet(self, connection: Connection, accepted: socket.socket) -> None:
        """Establish a connection; one that comes to nothing is forgotten."""
        if connection.doomed:
            accepted.close()
            return
        context, limits = None, {}
        if self._context is not None:
            # A handshake may last; all else is over in an instant, and must not be
            # cancelled in the middle: the protocol would never hear of its end.
            connection.shake_hands(asyncio.current_task())
            context = self._context()
            limits["ssl_handshake_timeout"] = self._settings.handshake_seconds
            limits["ssl_shutdown_timeout"] = TLS_END_SECONDS
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                **limits,
            )
        except OSError:
            # No TLS, another version, too slow, gone: all of it the client's doing.
            self._connections.roster.failed(connection)
        except asyncio.CancelledError:
            self._connections.roster.leave(connection)
            raise
        except Exception as error:
            self._connections.roster.failed(connection)
            logger.error("a client could not be connected: %s", describe(error))
