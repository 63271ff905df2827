"""Connections that are bounded in number and time: aiohttp's, counted in a roster.

What is no HTTP never reaches the application, and is answered here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from provlog.server.errors import describe
from provlog.server.http.access import HEADER, new_request_id
from provlog.server.http.pieces import length_of
from provlog.server.http.problems import Problem, internal_problem
from provlog.server.http.roster import ConnectionSettings, Roster
from provlog.server.metrics import Metrics

logger = logging.getLogger(__name__)

PLAIN_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says that says nothing else."""


class Connection(RequestHandler):
    """One client's connection; what it does is entered in the roster."""

    __slots__ = ("_answer", "_handshake", "_link", "_roster", "doomed")

    def __init__(self, server: "ConnectionServer", **options: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(server, **options)
        self._roster = server.roster
        self._handshake: asyncio.Task[None] | None = None
        # It had to go before it was established, and is cut as soon as it is.
        self.doomed = False
        # `transport` becomes None as soon as aiohttp has asked for the end; this one
        # stays, so that a connection whose end does not come can be cut.
        self._link: asyncio.Transport | None = None
        # The answer that is being sent.
        self._answer: web.StreamResponse | None = None

    def expect(self) -> None:
        """Count the connection from here on, before it is established."""
        self._roster.enter(self)

    def shake_hands(self, handshake: "asyncio.Task[None] | None") -> None:
        """Note what establishes it, and may be cancelled if it has to go."""
        self._handshake = handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        self._handshake = None
        self._link = cast(asyncio.Transport, transport)
        if self.doomed:
            self._link.abort()
            return
        self._roster.enter(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._roster.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and note where it is not a whole head yet."""
        super().data_received(data)
        if self._waiter is not None and not self._waiter.done():
            self._roster.head_part(self, len(data))

    def pause_writing(self) -> None:
        """Note that more was sent than is taken."""
        super().pause_writing()
        self._roster.stalled(self)

    def resume_writing(self) -> None:
        """Note that what was sent was taken."""
        super().resume_writing()
        self._roster.drained(self)

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        self._roster.began(self)
        if not request.rel_url.path:
            # CONNECT names no path, so no route would answer it.
            request_handler = self._refuse
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self._roster.ended(self)

    async def _refuse(self, request: web.BaseRequest) -> web.StreamResponse:
        return self.handle_error(request, 400)

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, whose memory counts until it was taken."""
        self._answer = resp
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  quotes what was sent
    ) -> web.StreamResponse:
        """Return the answer to what is no request, or to a bug around the gate.

        The parser's exceptions quote the line they stumbled over, and anybody may send
        such lines at any rate: only their kind is logged, and not as an error.
        """
        number, kind = new_request_id(), type(exc).__name__
        if status < 500:
            logger.debug("request %s is none: %s", number, kind)
            problem = Problem("malformed", "this is no HTTP request that is taken here")
        else:
            logger.error("request %s failed: %s", number, describe(exc))
            problem = internal_problem(number)
        if request.writer.output_size > 0:
            # Part of an answer is on its way; another one cannot follow it.
            raise ConnectionError(kind)
        response = problem.response()
        # No hook sees this answer, and aiohttp would name itself.
        response.headers.update({**PLAIN_HEADERS, "Server": "provlog", HEADER: number})
        response.force_close()
        return response

    def has_work(self) -> bool:
        """Tell whether a request has come that is not being answered yet."""
        ending = self._link is None or self._link.is_closing()
        return bool(self._messages) and not ending

    def unsent(self) -> int:
        """Return how many bytes wait to be taken by the client."""
        return 0 if self._link is None else self._link.get_write_buffer_size()

    def held(self) -> int:
        """Return how many bytes are kept for the client until it has taken them."""
        whole = 0 if self._answer is None else length_of(self._answer)
        return max(whole, self.unsent())

    def drop(self) -> None:
        """Cut the connection, without waiting for anything."""
        if self._link is not None:
            self._link.abort()
            return
        self.doomed = True
        if self._handshake is not None:
            self._handshake.cancel()


class ConnectionServer(web.Server):
    """Makes the connections of one listener, and holds their roster."""

    def __init__(self, plain: web.Server, roster: Roster, options: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(
            plain.request_handler, request_factory=plain.request_factory, **options
        )
        self.roster = roster
        self._options = options

    def __call__(self) -> Connection:
        """Return a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)


class ConnectionRunner(web.AppRunner):
    """Runs an application on bounded connections; `options` are aiohttp's."""

    def __init__(
        self,
        app: web.Application,
        settings: ConnectionSettings,
        metrics: Metrics,
        name: str,
        *,
        shutdown_timeout: float,
        **options: Any,  # noqa: ANN401  aiohttp's
    ) -> None:
        super().__init__(
            app,
            handle_signals=False,
            shutdown_timeout=shutdown_timeout,
            max_line_size=settings.line_bytes,
            max_field_size=settings.field_bytes,
            max_headers=settings.fields,
            **options,
        )
        self.settings = settings
        self._metrics = metrics
        self._open = metrics.connections.labels(name)
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def connections(self) -> ConnectionServer:
        """What makes the connections; there once `setup` has returned."""
        assert isinstance(self.server, ConnectionServer)  # noqa: S101  for mypy
        return self.server

    async def setup(self) -> None:
        """Make ready to serve, and begin to look after the connections."""
        await super().setup()
        self._sweeping = asyncio.create_task(self._sweep(self.connections.roster))

    async def cleanup(self) -> None:
        """Answer what was taken, and close every connection."""
        await super().cleanup()
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        dropped = self._metrics.connections_dropped
        roster = Roster(
            self.settings,
            asyncio.get_running_loop().time,
            lambda reason: dropped.labels(reason).inc(),
        )
        return ConnectionServer(plain, roster, self._kwargs)

    async def _sweep(self, roster: Roster) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_seconds)
            try:
                roster.sweep()
                self._open.set(len(roster))
            except Exception as error:
                logger.error("connections are not looked after: %s", describe(error))


def protocol_logger() -> logging.Logger:
    """Return the logger that aiohttp is given: it writes exceptions by kind only."""
    found = logging.getLogger(f"{__name__}.aiohttp")
    if _only_kind not in found.filters:
        found.addFilter(_only_kind)
    return found


def _only_kind(record: logging.LogRecord) -> bool:
    # The parser's exceptions quote the line they stumbled over.
    if record.exc_info and record.exc_info[0] is not None:
        record.msg = f"{record.msg}: {record.exc_info[0].__name__}"
        record.exc_info = record.exc_text = None
    return True
