"""The middleware around every handler, and the headers of every answer."""

import asyncio
import logging
import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from provlog.server.errors import ConfigurationError, describe
from provlog.server.http.addresses import client_address, is_proxy_or_local
from provlog.server.http.context import CLIENT, HttpSettings
from provlog.server.http.problems import Problem, problem_of
from provlog.server.metrics import Metrics

logger = logging.getLogger(__name__)


def make_gate(metrics: Metrics, settings: HttpSettings) -> Middleware:
    """Return the middleware that turns exceptions into problems, and counts.

    It also says whose request it is (`CLIENT`), and lets nobody past the proxies where
    they alone may ask.
    """
    children: dict[tuple[str, int], Histogram] = {}

    def observe(request: web.Request, status: int, seconds: float) -> None:
        key = (_route_of(request), status)
        child = children.get(key)
        if child is None:
            child = children[key] = metrics.requests.labels(key[0], str(status))
        child.observe(seconds)

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        start = time.perf_counter()
        response: web.StreamResponse
        try:
            _admit(request, settings)
            response = await handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            problem = problem_of(error) or _unexpected(error)
            if isinstance(error, ConfigurationError):
                logger.error("%s", error)
            metrics.refusals.labels(problem.slug).inc()
            response = problem.response()
        observe(request, response.status, time.perf_counter() - start)
        return response

    return gate


def _admit(request: web.Request, settings: HttpSettings) -> None:
    """Note whose request it is; raise the problem (403) of going past a proxy."""
    peer, trusted = request.remote or "", settings.trusted_proxies
    if settings.proxies_only and not is_proxy_or_local(peer, trusted):
        raise Problem("forbidden", "this server is reached through its proxy alone")
    forwarded = request.headers.getall("X-Forwarded-For", ()) if trusted else ()
    request[CLIENT] = client_address(peer, forwarded, trusted)


async def set_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of the software, and let nobody guess types or store answers."""
    headers = response.headers
    headers.popall("Server", None)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Cache-Control", "no-store")


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    # Only paths we know, and methods they take: labels must not be made by clients.
    return "unmatched" if resource is None else f"{request.method} {resource.canonical}"


def _unexpected(error: Exception) -> Problem:
    """Log a bug and return the answer to it.

    An exception's own text may repeat what was sent, so only its kind and where it
    was raised are logged.
    """
    number = secrets.token_hex(8)
    logger.error("request %s failed: %s", number, describe(error))
    return Problem(
        "internal",
        "a mistake in the server; its log has more under this request_id",
        more={"request_id": number},
    )
