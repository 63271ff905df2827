"""A spool behind a local HTTP port: what it takes is on disk before it answers.

====================  =========================================================
POST /events          CloudEvents: one (``application/json`` or
                      ``application/cloudevents+json``), an array (``application/
                      cloudevents-batch+json``) or lines (``application/x-ndjson``)
POST /records         ``?format=NAME&source=URI``: a provider's records
GET /status           what is in the spool
GET /healthz          200 while the spool can be used
GET /metrics          for Prometheus
====================  =========================================================

The answer to what was taken is 202 and ``{"queued": n}``: all of the request, or, with
any other answer, nothing. Problems are those of RFC 9457 and repeat nothing of what was
sent. Pages in a browser are refused: they could reach this port without anybody's will.
"""

import asyncio
import contextlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from provlog.client.addresses import parse_listen
from provlog.client.errors import (
    ClientError,
    OutboxFullError,
    UnavailableError,
    UsageError,
)
from provlog.client.events import MAX_BATCH_BYTES, read_events
from provlog.client.outbox.items import Item, event_item, record_items
from provlog.client.outbox.metrics import SpoolMetrics
from provlog.client.outbox.spool import Spool
from provlog.client.outbox.views import read_status
from provlog.client.secret_files import read_private

MAX_BODY: Final = MAX_BATCH_BYTES
MAX_IN_HAND: Final = 16
BODY_SECONDS: Final = 30.0
FULL_SECONDS: Final = 10
STOP_SECONDS: Final = 5.0
MIN_TOKEN: Final = 16
MAX_TOKEN: Final = 512

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)
_OPEN = frozenset({"/healthz", "/metrics"})
_SINGLE = ("application/json", "application/cloudevents+json")
_BATCH = "application/cloudevents-batch+json"
_LINES = "application/x-ndjson"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Listener:
    """Takes events over HTTP into `spool`.

    `token` is what submitters have to present (``Authorization: Bearer``), None for
    anybody on this machine. `on_put` is called with the number of items of each put.
    """

    def __init__(
        self,
        spool: Spool,
        token: str | None,
        *,
        on_put: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._spool = spool
        self._token = None if token is None else token.encode()
        self.on_put = on_put
        self._metrics = SpoolMetrics(spool)
        self._in_hand = 0

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Listen while the context is open; yields the URL."""
        runner = web.AppRunner(
            self.app(),
            access_log=None,
            handle_signals=False,
            auto_decompress=False,
            shutdown_timeout=STOP_SECONDS,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                raise UsageError(f"{host}:{port}: {error.strerror}") from None
            bound = runner.addresses[0][1]
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{bound}"
        finally:
            await runner.cleanup()

    def app(self) -> web.Application:
        """Return it as a web application."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY)
        app.router.add_post("/events", self._events)
        app.router.add_post("/records", self._records)
        app.router.add_get("/status", self._status)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._page)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Let in who may come, and say what is wrong in a form of its own."""
        try:
            self._require_allowed(request)
            return await handler(request)
        except web.HTTPException as error:
            headers = (
                {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if error.status == 405 else {}
            )
            return _problem(error.status, error.text or error.reason, **headers)
        except OutboxFullError:
            return _problem(503, "there is no room for it", **_retry(FULL_SECONDS))
        except UnavailableError:
            return _problem(503, "not now", **_retry(1))
        except UsageError as error:
            return _problem(400, str(error))
        except ClientError:
            return _problem(500, "the spool cannot be used; see `provlog spool status`")

    def _require_allowed(self, request: web.Request) -> None:
        if hdrs.ORIGIN in request.headers:
            raise web.HTTPForbidden(text="not for pages in a browser")
        if self._token is None or request.path in _OPEN:
            return
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        presented = given.strip().encode("utf-8", "surrogateescape")
        equal = hmac.compare_digest(presented, self._token)
        if scheme.lower() != "bearer" or not equal:
            raise web.HTTPUnauthorized(text="a valid bearer token is needed")

    async def _events(self, request: web.Request) -> web.Response:
        kind = request.content_type
        if any(name.lower().startswith("ce-") for name in request.headers):
            raise web.HTTPUnsupportedMediaType(
                text="CloudEvents in binary mode are not taken here: send JSON"
            )
        if kind not in (*_SINGLE, _BATCH, _LINES):
            raise web.HTTPUnsupportedMediaType(
                text=f"the content is one of {', '.join((*_SINGLE, _BATCH, _LINES))}"
            )
        return await self._take(request, lambda body: _read_items(body, kind))

    async def _records(self, request: web.Request) -> web.Response:
        query = request.query
        if sorted(query) != ["format", "source"]:
            raise UsageError("the query is ?format=NAME&source=URI")
        return await self._take(
            request,
            lambda body: list(record_items(body, query["format"], query["source"])),
        )

    async def _take(
        self, request: web.Request, read: Callable[[bytes], Sequence[Item]]
    ) -> web.Response:
        if self._in_hand >= MAX_IN_HAND:
            raise UnavailableError("too many at once")
        self._in_hand += 1
        try:
            body = await _read_body(request)
            items = await asyncio.to_thread(read, body)
            if items:
                await asyncio.to_thread(self._spool.put, items)
        finally:
            self._in_hand -= 1
        self.on_put(len(items))
        return web.json_response({"queued": len(items)}, status=202)

    async def _status(self, _: web.Request) -> web.Response:
        status = await asyncio.to_thread(read_status, self._spool)
        return web.json_response(asdict(status))

    async def _health(self, _: web.Request) -> web.Response:
        await asyncio.to_thread(read_status, self._spool)
        return web.json_response({"status": "ok"})

    async def _page(self, _: web.Request) -> web.Response:
        page = await asyncio.to_thread(self._metrics.page)
        return web.Response(body=page, content_type="text/plain", charset="utf-8")


def parse_address(text: str, *, insecure: bool) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; other than loopback only if `insecure`."""
    return parse_listen(
        text,
        insecure=insecure,
        example="127.0.0.1:8480",
        danger="events would be taken from other machines, unencrypted: listen on "
        "127.0.0.1, or allow it with --insecure on a network you trust",
    )


def read_token(path: Path) -> str:
    """Return the token in a file that nobody else may read; one line."""
    token = read_private(path, MAX_TOKEN + 1).decode("ascii", "replace").strip()
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{path}: not a token of {MIN_TOKEN} to {MAX_TOKEN} characters: letters, "
            "digits and -._~+/="
        )
    return token


async def _read_body(request: web.Request) -> bytes:
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise web.HTTPUnsupportedMediaType(text="compressed content is not read here")
    if (request.content_length or 0) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body did not arrive in time") from None


def _read_items(body: bytes, kind: str) -> list[Item]:
    is_array = body.lstrip(b" \t\r\n").startswith(b"[")
    if is_array != (kind == _BATCH):
        raise UsageError(f"an array of events, and nothing else, is sent as {_BATCH}")
    events = read_events(body)
    if kind in _SINGLE and len(events) != 1:
        raise UsageError(f"several events are sent as {_BATCH} or {_LINES}")
    return [event_item(each) for each in events]


def _retry(seconds: int) -> dict[str, str]:
    return {hdrs.RETRY_AFTER: str(seconds)}


def _problem(status: int, detail: str, **headers: str) -> web.Response:
    body = {"status": status, "detail": detail}
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        content_type="application/problem+json",
        headers=headers,
    )
