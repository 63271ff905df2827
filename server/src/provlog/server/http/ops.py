"""Probes, metrics, and the description of the API."""

import asyncio
import json
import time
from functools import lru_cache
from hashlib import sha256
from importlib import resources

from aiohttp import hdrs, web
from prometheus_client import generate_latest

from provlog.server.clock import MAX_DRIFT_MS
from provlog.server.errors import ClockError, ServiceError
from provlog.server.http.context import READINESS, SERVICE, SETTINGS
from provlog.server.http.responses import json_response
from provlog.server.open_logs import TURN
from provlog.server.service import Service
from provlog.server.storage.base import StorageError

MAX_SILENCE = 30.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def get_health(_: web.Request) -> web.Response:
    """Return that the process answers."""
    return json_response({"status": "ok"})


async def get_ready(request: web.Request) -> web.Response:
    """Return whether events are taken, and what stands in the way (503)."""
    checks = await request.app[READINESS].result()
    ready = all(found == "ok" for found in checks.values())
    return json_response({"ready": ready, "checks": checks}, 200 if ready else 503)


async def check_all(service: Service) -> dict[str, str]:
    """Return "ok", or what stands in the way, for each thing to be in order."""
    return {
        "clock": _clock(service),
        "logs": await _logs(service),
        "sequencer": service.sequencer.trouble() or "ok",
        "storage": await _storage(service),
        "background": _background(service),
        "selfcheck": _selfcheck(service),
    }


def _clock(service: Service) -> str:
    drift = service.clock.drift()
    return "ok" if abs(drift) <= MAX_DRIFT_MS else f"moved by {drift / 1000:+.1f} s"


async def _logs(service: Service) -> str:
    """Look whether every log could be written and released now.

    A shared guard is asked for one of them, not for hundreds.

    Anybody may ask: the answer does not tell which of them could not, nor how many
    there are.
    """
    try:
        logs = service.open_logs()
        heads = await service.storage.heads()
        for place, log in enumerate(logs):
            if place and place % TURN == 0:
                await asyncio.sleep(0)
            log.require_running()
            if place == 0 or not service.guard.shared:
                await log.refresh()
            log.signer.require(log.announced, log.released.size)
            service.clock.date(heads[log.id].recorded)
    except ClockError as error:
        return str(error)
    except (ServiceError, StorageError, KeyError):
        return "entries cannot be written; the server's log says where"
    return "ok"


async def _storage(service: Service) -> str:
    try:
        await service.storage.logs()
    except StorageError:
        return "the database does not answer"
    return "ok"


def _background(service: Service) -> str:
    late = (
        service.tended is not None and time.monotonic() - service.tended > MAX_SILENCE
    )
    return "the background work has stopped" if late else "ok"


def _selfcheck(service: Service) -> str:
    check = service.selfcheck
    return (check.trouble() if check is not None else None) or "ok"


async def get_metrics(request: web.Request) -> web.Response:
    """Return the metrics in Prometheus' text format."""
    body = generate_latest(request.app[SERVICE].metrics.registry)
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: METRICS_TYPE})


async def get_openapi(request: web.Request) -> web.Response:
    """Return the description of this API (OpenAPI 3.1)."""
    body, etag = description(request.app[SETTINGS].public_url)
    if request.headers.get(hdrs.IF_NONE_MATCH) == etag:
        return web.Response(status=304, headers={hdrs.ETAG: etag})
    return web.Response(
        body=body, content_type="application/json", headers={hdrs.ETAG: etag}
    )


@lru_cache(maxsize=8)
def description(public_url: str | None = None) -> tuple[bytes, str]:
    """Return the text of the API's description, and its ETag.

    It names `public_url` as the server, or without one the place it was fetched from.
    """
    body = (resources.files(__package__) / "openapi.json").read_bytes()
    if public_url is not None:
        document = json.loads(body) | {"servers": [{"url": public_url}]}
        body = json.dumps(document, indent=1).encode()
    return body, f'"{sha256(body).hexdigest()[:32]}"'
