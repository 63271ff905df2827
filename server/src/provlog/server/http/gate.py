"""The middleware around every handler, and the headers of every answer."""

import asyncio
import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from provlog.server.errors import ConfigurationError, describe
from provlog.server.http.access import (
    CLIENT,
    HEADER,
    SUBJECT,
    RequestLog,
    new_request_id,
    route_of,
)
from provlog.server.http.addresses import client_address, is_proxy_or_local
from provlog.server.http.connections import PLAIN_HEADERS
from provlog.server.http.context import HttpSettings
from provlog.server.http.pieces import cut_long
from provlog.server.http.problems import Problem, internal_problem, problem_of
from provlog.server.journal import REQUEST_ID
from provlog.server.metrics import Metrics

logger = logging.getLogger(__name__)


def make_gate(metrics: Metrics, settings: HttpSettings) -> Middleware:
    """Return the middleware that turns exceptions into problems, counts and logs.

    While a request is handled, its id is in the context. It also says whose request it
    is (`CLIENT`), and lets nobody past the proxies where they alone may ask.
    """
    children: dict[tuple[str, int], Histogram] = {}
    request_log = RequestLog(settings.log_requests)

    def observe(request: web.Request, status: int, seconds: float) -> None:
        key = (route_of(request), status)
        child = children.get(key)
        if child is None:
            child = children[key] = metrics.requests.labels(key[0], str(status))
        child.observe(seconds)

    async def answer(
        request: web.Request, handler: Handler, number: str
    ) -> web.StreamResponse:
        start = time.perf_counter()
        response: web.StreamResponse
        slug: str | None = None
        try:
            _admit(request, settings)
            response = await handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            problem = problem_of(error) or _unexpected(error, number)
            if isinstance(error, ConfigurationError):
                logger.error("%s", error)
            slug = problem.slug
            metrics.refused(slug, request.get(SUBJECT, ""))
            response = problem.response()
        response.headers[HEADER] = number
        seconds = time.perf_counter() - start
        observe(request, response.status, seconds)
        request_log.note(request, response.status, seconds, slug)
        return response

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A connection's requests share a context, so the id is taken out again.
        number = new_request_id()
        held = REQUEST_ID.set(number)
        metrics.in_progress += 1
        try:
            return await answer(request, handler, number)
        finally:
            metrics.in_progress -= 1
            REQUEST_ID.reset(held)

    return gate


def _admit(request: web.Request, settings: HttpSettings) -> None:
    """Note whose request it is; raise the problem (403) of going past a proxy."""
    peer, trusted = request.remote or "", settings.trusted_proxies
    if settings.proxies_only and not is_proxy_or_local(peer, trusted):
        raise Problem("forbidden", "this server is reached through its proxy alone")
    forwarded = request.headers.getall("X-Forwarded-For", ()) if trusted else ()
    request[CLIENT] = client_address(peer, forwarded, trusted)


async def set_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of the software, and let nobody guess types or store answers.

    Long answers are cut into pieces.
    """
    headers = response.headers
    headers.popall("Server", None)
    for name, value in PLAIN_HEADERS.items():
        headers.setdefault(name, value)
    cut_long(response)


def _unexpected(error: Exception, number: str) -> Problem:
    """Log a bug and return the answer to it.

    An exception's own text may repeat what was sent, so only its kind and where it
    was raised are logged.
    """
    logger.error("request %s failed: %s", number, describe(error))
    return internal_problem(number)
