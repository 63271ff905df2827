"""The applications: the API, and the metrics on a listener of their own."""

from aiohttp import web

from provlog.server.http.compat import compat_routes
from provlog.server.http.connections import ConnectionRunner, protocol_logger
from provlog.server.http.context import (
    CROWD,
    POLLS,
    READINESS,
    SERVICE,
    SETTINGS,
    SOURCES,
    VERIFIERS,
    HttpSettings,
)
from provlog.server.http.crowd import Crowd, Polls
from provlog.server.http.gate import make_gate, set_headers
from provlog.server.http.ops import check_all, get_metrics
from provlog.server.http.routes import routes
from provlog.server.http.shared import Shared
from provlog.server.http.sources import SourceCache
from provlog.server.http.unmatched import add_routes
from provlog.server.service import Service
from provlog.server.set_verifier import SetVerifiers

__all__ = ["HttpSettings", "create_app", "create_metrics_app", "create_runner"]


def create_app(
    service: Service, settings: HttpSettings | None = None
) -> web.Application:
    """Return the API of an open service. The caller keeps the service open.

    Raises `ConfigurationError` where a source's settings name no issuers that can be.
    """
    chosen = settings or HttpSettings()
    app = web.Application(middlewares=[make_gate(service.metrics, chosen)])
    app[SERVICE] = service
    app[SETTINGS] = chosen
    app[SOURCES] = SourceCache(service)
    app[VERIFIERS] = SetVerifiers(service)
    # Anybody may ask, and each time every log is looked at.
    app[READINESS] = Shared(lambda: check_all(service))
    app[POLLS] = Polls(chosen.polls)
    app[CROWD] = Crowd(chosen.requests, chosen.body_bytes)
    app.on_response_prepare.append(set_headers)
    app.on_shutdown.append(_end_polls)
    app.on_cleanup.append(_close_verifiers)
    add_routes(app, [*routes(), *compat_routes(chosen)])
    return app


def create_metrics_app(
    service: Service, settings: HttpSettings | None = None
) -> web.Application:
    """Return the application that serves /metrics and nothing else."""
    chosen = settings or HttpSettings()
    app = web.Application(middlewares=[make_gate(service.metrics, chosen)])
    app[SERVICE] = service
    app[SETTINGS] = chosen
    app.on_response_prepare.append(set_headers)
    add_routes(app, [web.get("/metrics", get_metrics)])
    return app


def create_runner(
    app: web.Application, *, shutdown_timeout: float, name: str = "api"
) -> ConnectionRunner:
    """Return a runner of an application that logs nothing of what was sent.

    Its connections are bounded as the application's settings say, and counted under
    `name`.

    There is no access log, because queries hold ids; bodies are not decompressed,
    because compressed ones are refused; and what the HTTP parser finds wrong is logged
    by kind only.
    """
    return ConnectionRunner(
        app,
        app[SETTINGS].connections,
        app[SERVICE].metrics,
        name,
        shutdown_timeout=shutdown_timeout,
        access_log=None,
        auto_decompress=False,
        logger=protocol_logger(),
    )


async def _end_polls(app: web.Application) -> None:
    app[POLLS].stopping.set()


async def _close_verifiers(app: web.Application) -> None:
    await app[VERIFIERS].close()
