"""The proxy's applications: every path but for the operator's own, and these apart.

Probes and metrics are on a listener of their own, because a path here is SCIM's.
"""

import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from provlog.server.errors import describe
from provlog.server.http.connections import ConnectionRunner, protocol_logger
from provlog.server.http.roster import ConnectionSettings
from provlog.server.metrics import Metrics
from provlog.server.scim_proxy.answers import error_response
from provlog.server.scim_proxy.calls import NUMBER
from provlog.server.scim_proxy.forwarding import Proxy
from provlog.server.scim_proxy.headers import REQUEST_ID
from provlog.server.scim_proxy.relaying import UPSTREAM_SERVER

logger = logging.getLogger(__name__)


def create_proxy_app(proxy: Proxy) -> web.Application:
    """Return the application that passes on whatever it is asked."""

    @web.middleware
    async def all_of_it(
        request: web.Request,
        handler: Handler,  # noqa: ARG001  the protocol of middleware
    ) -> web.StreamResponse:
        # There are no routes, so that no path is resolved, unescaped or redirected.
        try:
            return await proxy.answer(request)
        except Exception as error:
            logger.error("a request failed: %s", describe(error))
            return error_response(500, "the proxy failed; its log says where")

    app = web.Application(middlewares=[all_of_it])
    app.on_response_prepare.append(_finish_fields)
    return app


def create_watching_app(
    registry: CollectorRegistry, trouble: Callable[[], str | None]
) -> web.Application:
    """Return the application with `/metrics`, `/healthz` and `/readyz`."""

    async def metrics(_: web.Request) -> web.Response:
        page = generate_latest(registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        found = trouble()
        if found is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "why": found}, status=503)

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/healthz", health),
            web.get("/readyz", ready),
        ]
    )
    return app


def create_proxy_runner(
    app: web.Application,
    metrics: Metrics,
    name: str,
    connections: int,
    *,
    shutdown_timeout: float,
) -> ConnectionRunner:
    """Return a runner that logs nothing of what passes, and unpacks nothing."""
    return ConnectionRunner(
        app,
        ConnectionSettings(most=connections),
        metrics,
        name,
        shutdown_timeout=shutdown_timeout,
        access_log=None,
        auto_decompress=False,
        logger=protocol_logger(),
    )


async def _finish_fields(request: web.Request, response: web.StreamResponse) -> None:
    """Say what the SCIM server says of itself, and under which id this is recorded."""
    response.headers.popall("Server", None)
    number = request.get(NUMBER)
    if number is not None:
        response.headers[REQUEST_ID] = number
    named = response.get(UPSTREAM_SERVER)
    if named:
        response.headers["Server"] = named
