"""The applications: the API, and the metrics on a listener of their own."""

import logging

from aiohttp import web

from provlog.server.http.connections import ConnectionRunner
from provlog.server.http.context import (
    POLLS,
    SERVICE,
    SETTINGS,
    SOURCES,
    HttpSettings,
    Polls,
)
from provlog.server.http.gate import make_gate, set_headers
from provlog.server.http.ops import get_metrics
from provlog.server.http.routes import routes
from provlog.server.http.sources import SourceCache
from provlog.server.service import Service

__all__ = ["HttpSettings", "create_app", "create_metrics_app", "create_runner"]


def create_app(
    service: Service, settings: HttpSettings | None = None
) -> web.Application:
    """Return the API of an open service. The caller keeps the service open."""
    chosen = settings or HttpSettings()
    app = web.Application(middlewares=[make_gate(service.metrics, chosen)])
    app[SERVICE] = service
    app[SETTINGS] = chosen
    app[SOURCES] = SourceCache(service)
    app[POLLS] = Polls(chosen.polls)
    app.on_response_prepare.append(set_headers)
    app.on_shutdown.append(_end_polls)
    app.add_routes(routes())
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
    app.add_routes([web.get("/metrics", get_metrics)])
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
        logger=_protocol_logger(),
    )


async def _end_polls(app: web.Application) -> None:
    app[POLLS].stopping.set()


def _protocol_logger() -> logging.Logger:
    logger = logging.getLogger(f"{__package__}.protocol")
    if _only_kind not in logger.filters:
        logger.addFilter(_only_kind)
    return logger


def _only_kind(record: logging.LogRecord) -> bool:
    # The parser's exceptions quote the line they stumbled over.
    if record.exc_info and record.exc_info[0] is not None:
        record.msg = f"{record.msg}: {record.exc_info[0].__name__}"
        record.exc_info = record.exc_text = None
    return True
