"""Connections that repeat nothing, even where what comes is no HTTP.

aiohttp answers and logs such requests before any application sees them, and quotes the
line that it stumbled over: a header with a token in it, for one.
"""

import logging

from aiohttp import web

from provlog.server.http.access import HEADER, new_request_id
from provlog.server.http.problems import Problem, internal_problem
from provlog.server.journal import REQUEST_ID


class Runner(web.AppRunner):
    """Runs an application on such connections."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer where the application could not make one."""
        number = new_request_id()
        held = REQUEST_ID.set(number)
        try:
            # Logs it, and ends the connection where an answer has begun already.
            super().handle_error(request, status, exc, message)
        finally:
            REQUEST_ID.reset(held)
        answer = _problem(status, number).response()
        answer.headers[HEADER] = number
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.force_close()
        return answer


def protocol_logger() -> logging.Logger:
    """Return the logger of connections: what is wrong with a request, by kind only."""
    logger = logging.getLogger(__name__)
    if _only_kind not in logger.filters:
        logger.addFilter(_only_kind)
    return logger


def _problem(status: int, number: str) -> Problem:
    if status < 500:
        return Problem("malformed", "the request is not in the form of HTTP/1.1")
    return internal_problem(number)


def _only_kind(record: logging.LogRecord) -> bool:
    # The parser's exceptions quote the line they stumbled over.
    if record.exc_info and record.exc_info[0] is not None:
        record.msg = f"{record.msg}: {record.exc_info[0].__name__}"
        record.exc_info = record.exc_text = None
    return True
