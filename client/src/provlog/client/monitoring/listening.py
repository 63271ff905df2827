"""What a monitor shows over HTTP: to Prometheus, to people, and to other monitors.

==============================  ===================================================
GET /<hex SHA-256 of origin>/   the newest checkpoint of that log that was verified,
checkpoint                      byte for byte (C2SP tlog-witness, monitoring)
GET /metrics                    for Prometheus
GET /healthz                    200 if each log was looked at within ten minutes
GET /status.json, /             what is known of each log, for programs and people
==============================  ===================================================

Nothing can be changed here, and nothing that a caller sends is shown or kept.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from provlog.client.addresses import parse_listen
from provlog.client.alerting.sending import Delivery
from provlog.client.errors import UsageError
from provlog.client.monitoring.clocks import Clock
from provlog.client.monitoring.followed import Followed
from provlog.client.monitoring.metrics import DaemonMetrics
from provlog.client.monitoring.page import HEADERS, status_page
from provlog.merkle.encoding import JsonValue, format_time
from provlog.merkle.witness_messages import origin_hash

STOP_SECONDS: Final = 2.0
MAX_LINE: Final = 4096
HEALTH_SECONDS: Final = 600.0


class Listener:
    """Shows what `followed` and `deliveries` return at the moment of a request."""

    def __init__(
        self,
        followed: Callable[[], Sequence[Followed]],
        deliveries: Callable[[], Mapping[str, Delivery]],
        clock: Clock,
    ) -> None:
        self._followed = followed
        self._deliveries = deliveries
        self._clock = clock
        self._started = clock.now()
        self._metrics = DaemonMetrics(followed, deliveries)
        # Origins do not change while a monitor runs.
        self._places = {
            origin_hash(each.origin): place for place, each in enumerate(followed())
        }

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Listen while the context is open; yields the URL."""
        runner = web.AppRunner(
            self.app(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=STOP_SECONDS,
            max_line_size=MAX_LINE,
            keepalive_timeout=15.0,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                # The event loop's own text repeats the address; that of a name which
                # was not found has a number of another kind.
                code = error.errno or 0
                why = os.strerror(code) if code > 0 else error.strerror
                raise UsageError(f"{host}:{port}: {why}") from None
            bound = runner.addresses[0][1]
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{bound}"
        finally:
            await runner.cleanup()

    def app(self) -> web.Application:
        """Return it as a web application."""
        app = web.Application(client_max_size=1)
        app.router.add_get("/", self._page)
        app.router.add_get("/status.json", self._status)
        app.router.add_get("/metrics", self._figures)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/{hash:[0-9a-f]{64}}/checkpoint", self._checkpoint)
        return app

    async def _checkpoint(self, request: web.Request) -> web.Response:
        place = self._places.get(request.match_info["hash"])
        signed = None if place is None else self._followed()[place].signed
        if signed is None:
            raise web.HTTPNotFound(text="no checkpoint of that log was verified here\n")
        return web.Response(
            body=signed.note,
            content_type="text/plain",
            charset="utf-8",
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )

    async def _page(self, _: web.Request) -> web.Response:
        page = status_page(self._followed(), self._deliveries(), self._clock.now())
        return web.Response(text=page, content_type="text/html", headers=HEADERS)

    async def _status(self, _: web.Request) -> web.Response:
        now = format_time(int(self._clock.now() * 1000))
        ways: dict[str, JsonValue] = {
            name: {"waiting": each.waiting, "trouble": each.trouble}
            for name, each in self._deliveries().items()
        }
        logs = [each.to_json() for each in self._followed()]
        body: dict[str, JsonValue] = {"v": 1, "time": now, "logs": [*logs]}
        return web.json_response({**body, "alerts": ways}, headers=_NO_STORE)

    async def _figures(self, _: web.Request) -> web.Response:
        body = self._metrics.page()
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    async def _health(self, _: web.Request) -> web.Response:
        due = self._clock.now() - HEALTH_SECONDS
        stuck = sum(
            max(each.looked_at or 0.0, self._started) < due for each in self._followed()
        )
        status = "ok" if not stuck else f"{stuck} logs were not looked at"
        return web.json_response(
            {"status": status}, status=503 if stuck else 200, headers=_NO_STORE
        )


_NO_STORE: Final = {"Cache-Control": "no-store"}


def parse_address(text: str, *, insecure: bool) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; other than loopback only if `insecure`."""
    return parse_listen(
        text,
        insecure=insecure,
        example="127.0.0.1:9470",
        danger="origins, sizes and alarms would be shown to other machines, "
        "unencrypted: listen on 127.0.0.1 behind a proxy, or set insecure_listen",
    )
