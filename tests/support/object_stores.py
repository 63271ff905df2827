"""Object stores on the loopback: moto's server, and one that lies, hangs and breaks."""

import asyncio
import os
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp import hdrs, web

from provlog.server.guard.store_url import StoreUrl

_RUNNING = re.compile(rb"Running on (http://127\.0\.0\.1:\d+)")


def lacking_store() -> str | None:
    """Return why there is no object store for tests, or None if there is."""
    try:
        import moto
        import obstore
    except ImportError as error:
        return f"object-store: {error.name} is not installed"
    del moto, obstore
    return None


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Yield the URL of a store that speaks S3, started when it is first needed."""
    program = Path(sys.executable).with_name("moto_server")
    with subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr.readline, b"")
            found = next(match for line in lines if (match := _RUNNING.search(line)))
            # Nobody reads its log: it must not fill the pipe.
            os.set_blocking(server.stderr.fileno(), False)
            yield found[1].decode()
        finally:
            server.kill()


@pytest.fixture
def bucket(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> StoreUrl:
    """Return a place in a new bucket, which the environment says how to reach."""
    name = f"guard-{secrets.token_hex(6)}"
    # Only ever of the form http://127.0.0.1:PORT.
    request = urllib.request.Request(f"{moto_url}/{name}", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    use_store(monkeypatch, moto_url)
    return StoreUrl("s3", name, "provlog/guard")


def use_store(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the environment name a store, as an operator would."""
    for name, text in store_environment(url).items():
        monkeypatch.setenv(name, text)


def store_environment(url: str) -> dict[str, str]:
    """Return the variables that name a store on the loopback."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


class StubStore:
    """A store of objects in memory, with faults that are switched on.

    `lies` names conditions it does not look at. `losses` is how many of the next
    writes are carried out without an answer, `drops` how many are neither. `status` is
    answered to everything. A read, of what is there when it comes, sets `reading` and
    is answered once `gate` is set. `calls` are the methods that came.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lies: set[str] = set()
        self.losses = 0
        self.drops = 0
        self.status: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = asyncio.Event()
        self.calls: list[str] = []
        self.url = ""

    async def _handle(self, request: web.Request) -> web.Response:
        self.calls.append(request.method)
        if self.status is not None:
            return web.Response(status=self.status)
        if request.method == "GET":
            return await self._get(request.path)
        if self.drops:
            self.drops -= 1
            return self._cut(request)
        if self._refused(request):
            return web.Response(status=412)
        self.objects[request.path] = await request.read()
        if self.losses:
            self.losses -= 1
            return self._cut(request)
        return self._with_tag(b"", self.objects[request.path])

    async def _get(self, path: str) -> web.Response:
        found = self.objects.get(path)
        self.reading.set()
        await self.gate.wait()
        if found is None:
            return web.Response(status=404)
        return self._with_tag(found, found)

    def _refused(self, request: web.Request) -> bool:
        found = self.objects.get(request.path)
        if hdrs.IF_NONE_MATCH in request.headers.keys() - self.lies:
            return found is not None
        if hdrs.IF_MATCH in request.headers.keys() - self.lies:
            return found is None or request.headers[hdrs.IF_MATCH] != _tag(found)
        return False

    def _cut(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    def _with_tag(self, body: bytes, stored: bytes) -> web.Response:
        last_modified = "Fri, 27 Nov 2026 00:00:00 GMT"
        headers = {hdrs.ETAG: _tag(stored), hdrs.LAST_MODIFIED: last_modified}
        return web.Response(body=body, headers=headers)


def _tag(data: bytes) -> str:
    return f'"{sha256(data).hexdigest()[:32]}"'


@asynccontextmanager
async def stub_store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StubStore]:
    """Run a `StubStore` on a free port, which the environment names."""
    store = StubStore()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", store._handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        store.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        use_store(monkeypatch, store.url)
        yield store
    finally:
        store.gate.set()
        await runner.cleanup()
