"""The middleware around every handler, and the headers of every answer."""

import asyncio
import logging
import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from provlog.server.errors import ConfigurationError, describe
from provlog.server.http.problems import Problem, problem_of
from provlog.server.http.unmatched import NOWHERE
from provlog.server.metrics import Metrics

logger = logging.getLogger(__name__)


def make_gate(metrics: Metrics) -> Middleware:
    """Return the middleware that turns exceptions into problems, and counts."""
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


async def set_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of the software, and let nobody guess types or store answers."""
    headers = response.headers
    headers.popall("Server", None)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Cache-Control", "no-store")


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    # Only paths we know, and methods they take: labels must not be made by clients.
    if resource is None or resource.canonical == NOWHERE:
        return "unmatched"
    return f"{request.method} {resource.canonical}"


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
