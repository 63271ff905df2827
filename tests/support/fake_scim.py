"""A SCIM server on the loopback that notes what it is sent, and a proxy before it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy
from prometheus_client import CollectorRegistry
from yarl import URL

from provlog.server.errors import UnavailableError
from provlog.server.http.listener import Listener, bind
from provlog.server.metrics import Metrics
from provlog.server.scim_proxy.callers import Callers
from provlog.server.scim_proxy.figures import Figures
from provlog.server.scim_proxy.forwarding import Proxy
from provlog.server.scim_proxy.recording import LogRecorder, Write
from provlog.server.scim_proxy.serving import create_proxy_app, create_proxy_runner
from provlog.server.scim_proxy.settings import ProxySettings
from provlog.server.scim_proxy.upstream import Upstream

KEY = bytes(32)
NOW_MS = 1_795_283_636_001
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def field(self, name: str) -> str | None:
        """Return a field's value, None where it did not come; it has to be one."""
        found = [value for each, value in self.headers if each.lower() == name.lower()]
        assert len(found) < 2, name
        return found[0] if found else None


@dataclass
class FakeScim:
    """What arrived, and what is answered: by `handler`, or a created user."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    handler: Handler | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Note a request and answer it."""
        body = await request.read()
        headers = [(name, value) for name, value in request.headers.items()]
        self.seen.append(Seen(request.method, request.raw_path, headers, body))
        if self.handler is not None:
            return await self.handler(request)
        if request.method == "DELETE":
            return web.Response(status=204)
        status = 201 if request.method == "POST" else 200
        text = json.dumps({"id": "u1", "userName": "ann"})
        headers_ = {"Location": "https://scim.example/v2/Users/u1", "ETag": 'W/"1"'}
        return web.Response(
            status=status,
            text=text,
            headers=headers_,
            content_type="application/scim+json",
        )

    @property
    def changes(self) -> list[str]:
        """The methods and paths of what was asked to be changed, in order."""
        return [
            f"{each.method} {each.path}"
            for each in self.seen
            if each.method in ("POST", "PUT", "PATCH", "DELETE")
        ]


@dataclass
class Book:
    """Takes records as a log does; `faults` are raised, one for each coming record."""

    records: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Exception | None] = field(default_factory=list)
    held: asyncio.Event | None = None
    trouble: str | None = None
    before: Callable[[dict[str, Any]], None] | None = None

    async def write(self, record: bytes) -> None:
        """Take a record."""
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        if self.held is not None:
            await self.held.wait()
        read = json.loads(record)
        if self.before is not None:
            self.before(read)
        self.records.append(read)

    @property
    def phases(self) -> list[str]:
        """The phases of the records, in order."""
        return [each["phase"] for each in self.records]

    @property
    def last(self) -> dict[str, Any]:
        """The newest record."""
        return self.records[-1]


UNAVAILABLE = UnavailableError("the queue is full")


@dataclass
class Proxied:
    """A proxy that is served, what is behind it, and what it records."""

    url: str
    scim: FakeScim
    book: Book
    recorder: LogRecorder
    registry: CollectorRegistry
    session: aiohttp.ClientSession

    async def ask(
        self,
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401  aiohttp's
    ) -> tuple[int, bytes, CIMultiDictProxy[str]]:
        """Return status, body and fields of an answer."""
        url = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, url, allow_redirects=False, **options
        ) as answer:
            return answer.status, await answer.read(), answer.headers

    async def change(
        self,
        method: str = "POST",
        path: str = "/Users",
        **more: Any,  # noqa: ANN401  aiohttp's
    ) -> int:
        """Return the status of a small change."""
        if method != "DELETE":
            more.setdefault("json", {"userName": "ann"})
        return (await self.ask(method, path, **more))[0]

    def count(self, name: str, **labels: str) -> float:
        """Return a metric of the proxy's."""
        found = self.registry.get_sample_value(f"provlog_scim_proxy_{name}", labels)
        return 0.0 if found is None else found


@asynccontextmanager
async def served_on_loopback(app: web.Application) -> AsyncIterator[str]:
    """Serve an application as the proxy's is; yield its URL."""
    runner = create_proxy_runner(app, Metrics(), "test", 1000, shutdown_timeout=1.0)
    await runner.setup()
    (made,) = await bind("127.0.0.1", 0)
    try:
        await Listener(runner, made).start()
        yield f"http://127.0.0.1:{made.getsockname()[1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fake_scim() -> AsyncIterator[FakeScim]:
    """Serve a SCIM server that takes everything."""
    scim = FakeScim()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", scim.answer)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scim.url = str(site.name)
    try:
        yield scim
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxied(
    scim: FakeScim,
    settings: ProxySettings | None = None,
    book: Book | None = None,
    write: Write | None = None,
) -> AsyncIterator[Proxied]:
    """Serve a proxy before a SCIM server; the settings' upstream is that server.

    Records go to `write`, without it into a book.
    """
    chosen = replace(
        settings or ProxySettings(upstream=URL(scim.url)), upstream=URL(scim.url)
    )
    registry, kept = CollectorRegistry(), book or Book()
    figures = Figures(registry)
    recorder = LogRecorder(
        write or kept.write, figures, lambda: kept.trouble, chosen.log_seconds
    )
    upstream = Upstream(chosen.upstream_seconds)
    proxy = Proxy(
        chosen,
        upstream,
        recorder,
        Callers(KEY, chosen.callers),
        figures,
        lambda: NOW_MS,
        KEY,
    )
    session = aiohttp.ClientSession(auto_decompress=False)
    async with served_on_loopback(create_proxy_app(proxy)) as url:
        try:
            yield Proxied(url, scim, kept, recorder, registry, session)
        finally:
            await session.close()
            await recorder.close()
            await upstream.close()
