"""Probes, metrics, and the description of the API."""

from functools import cache
from hashlib import sha256
from importlib import resources

from aiohttp import hdrs, web
from prometheus_client import generate_latest

from provlog.server.clock import MAX_DRIFT_MS
from provlog.server.http.context import SERVICE
from provlog.server.http.responses import json_response
from provlog.server.service import Service
from provlog.server.storage.base import StorageError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def get_health(_: web.Request) -> web.Response:
    """Return that the process answers."""
    return json_response({"status": "ok"})


async def get_ready(request: web.Request) -> web.Response:
    """Return whether events are taken, and what stands in the way (503)."""
    checks = await _check(request.app[SERVICE])
    ready = all(found == "ok" for found in checks.values())
    return json_response({"ready": ready, "checks": checks}, 200 if ready else 503)


async def _check(service: Service) -> dict[str, str]:
    drift = service.clock.drift()
    halted = sum(log.halted is not None for log in service.open_logs())
    try:
        await service.storage.logs()
        storage = "ok"
    except StorageError:
        storage = "the database does not answer"
    return {
        "clock": "ok"
        if abs(drift) <= MAX_DRIFT_MS
        else f"moved by {drift / 1000:+.1f} s",
        "logs": "ok" if not halted else f"{halted} halted",
        "sequencer": "ok" if not service.sequencer.is_closing else "stopping",
        "storage": storage,
    }


async def get_metrics(request: web.Request) -> web.Response:
    """Return the metrics in Prometheus' text format."""
    body = generate_latest(request.app[SERVICE].metrics.registry)
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: METRICS_TYPE})


async def get_openapi(request: web.Request) -> web.Response:
    """Return the description of this API (OpenAPI 3.1)."""
    body, etag = description()
    if request.headers.get(hdrs.IF_NONE_MATCH) == etag:
        return web.Response(status=304, headers={hdrs.ETAG: etag})
    return web.Response(
        body=body, content_type="application/json", headers={hdrs.ETAG: etag}
    )


@cache
def description() -> tuple[bytes, str]:
    """Return the text of the API's description, and its ETag."""
    body = (resources.files(__package__) / "openapi.json").read_bytes()
    return body, f'"{sha256(body).hexdigest()[:32]}"'
