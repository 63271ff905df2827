"""nginx in front of two servers: what it takes, asks again, logs and says itself."""

import asyncio
import json
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from provlog.server.http.context import HttpSettings
from provlog.server.intake.records import MAX_BATCH_BYTES
from support.deploying import DEPLOY
from support.edges import Pair
from support.nginx import Nginx

pytestmark = pytest.mark.needs("program:nginx")

EVENTS, TOKENS = "/logs/main/events", "/logs/main/tokens"
HOOK = "/logs/main/hooks/urn%3Aokta%3Aacme"
SECRET = "asked-for-alice"


@dataclass
class Stand:
    """Two servers of which a test says what they answer, behind nginx."""

    url: str = ""
    nginx: Nginx | None = None
    trust: ssl.SSLContext | bool = True
    requests: list[tuple[int, web.Request, bytes]] = field(default_factory=list)
    answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=list
    )

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of an answer, on a connection of its own."""
        sent = None if body is None else BytesIO(body)
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(
                method,
                URL(self.url + path, encoded=True),
                data=sent,
                headers=headers,
                ssl=self.trust,
            ) as answer,
        ):
            return answer.status, answer.headers, await answer.read()


async def fine(_: web.Request) -> web.Response:
    return web.Response(status=201, text="fine", headers={"X-Request-Id": "7"})


async def busy(_: web.Request) -> web.Response:
    return web.Response(status=503, text="busy", headers={"Retry-After": "9"})


async def dies(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """Yield servers that answer `fine` until told otherwise."""
    made = Stand(answers=[fine, fine])
    async with _server(made, 0) as first, _server(made, 1) as second:
        pair = Pair.make(tmp_path)
        addresses = f"127.0.0.1:{first}", f"127.0.0.1:{second}"
        with Nginx(tmp_path / "nginx", addresses, pair) as nginx:
            made.url, made.nginx, made.trust = nginx.url, nginx, pair.trust()
            yield made


@asynccontextmanager
async def _server(stand: Stand, number: int) -> AsyncIterator[int | None]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        stand.requests.append((number, request, body))
        return await stand.answers[number](request)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        yield server.port


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    addresses = "127.0.0.1:1", "127.0.0.1:2"
    made = Nginx(tmp_path / "nginx", addresses, Pair.make(tmp_path))
    done = subprocess.run(
        made.command("-t"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_its_bounds_are_the_servers(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx" / "provlog.conf").read_text()
    bounds = re.findall(r"client_max_body_size (\d+)([km]);", text)
    sizes = [int(number) << {"k": 10, "m": 20}[unit] for number, unit in bounds]
    assert sizes == [HttpSettings().management_bytes, MAX_BATCH_BYTES]
    waits = [int(found) for found in re.findall(r"proxy_read_timeout (\d+)s;", text)]
    assert waits[0] > HttpSettings().poll_seconds
    assert waits[1] > HttpSettings().hook_seconds


async def test_a_request_arrives_as_it_was_sent(stand: Stand) -> None:
    sent = {"X-Forwarded-For": "192.0.2.99", "Forwarded": "for=192.0.2.99"}
    sent["Authorization"] = "plt_x"
    path = f"{HOOK}?x=%20y"
    status, headers, body = await stand.ask("POST", path, b"delivered", sent)
    assert (status, body) == (201, b"fine")
    assert headers["X-Request-Id"] == "7"
    assert headers["Server"] == "nginx"
    [(_, request, received)] = stand.requests
    assert (request.raw_path, received) == (path, b"delivered")
    assert request.headers["Authorization"] == "plt_x"
    # Who called nginx, and not what the client said of it.
    assert request.headers.getall("X-Forwarded-For") == ["127.0.0.2"]
    assert "Forwarded" not in request.headers


@pytest.mark.parametrize("answer", [busy, dies])
@pytest.mark.parametrize("path", [EVENTS, HOOK])
async def test_events_go_to_the_other_server_if_one_fails(
    stand: Stand, path: str, answer: Callable[..., Awaitable[web.StreamResponse]]
) -> None:
    for failing in (0, 1):
        stand.answers = [fine, fine]
        stand.answers[failing] = answer
        for _ in range(2):
            status, _, _ = await stand.ask("POST", path, b"x" * 300_000)
            assert status == 201
    assert {body for _, _, body in stand.requests} == {b"x" * 300_000}
    assert len(stand.requests) == 6


async def test_what_may_not_be_done_twice_is_asked_of_one_server(stand: Stand) -> None:
    stand.answers = [dies, dies]
    status, headers, body = await stand.ask("POST", TOKENS, b"{}")
    assert len(stand.requests) == 1
    assert (status, headers["Retry-After"]) == (503, "1")
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["type"] == "urn:provlog:problem:unavailable"


async def test_reading_goes_to_the_other_server(stand: Stand) -> None:
    stand.answers = [dies, fine]
    for _ in range(2):
        assert (await stand.ask("GET", "/logs/main/checkpoint"))[0] == 201
    assert len(stand.requests) == 3


async def test_servers_that_are_both_busy_say_so_themselves(stand: Stand) -> None:
    stand.answers = [busy, busy]
    status, headers, body = await stand.ask("POST", EVENTS, b"{}")
    assert (status, headers["Retry-After"], body) == (503, "9", b"busy")
    assert len(stand.requests) == 2


@pytest.mark.parametrize(("path", "most"), [(TOKENS, 64 << 10), (EVENTS, 8 << 20)])
async def test_what_is_too_large_is_told_before_a_server_is_asked(
    stand: Stand, path: str, most: int
) -> None:
    assert (await stand.ask("POST", path, bytes(most)))[0] == 201
    status, headers, body = await stand.ask("POST", path, bytes(most + 1))
    assert status == 413
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["type"] == "urn:provlog:problem:too-large"
    assert len(stand.requests) == 1


async def test_no_log_holds_what_was_asked_for(stand: Stand) -> None:
    nginx = stand.nginx
    assert nginx is not None
    lookup = f"/logs/main/entries?id={SECRET}"
    named = {"User-Agent": SECRET, "Referer": SECRET}
    await stand.ask("GET", lookup, headers=named)
    await stand.ask("GET", f"/{SECRET}?{SECRET}")
    stand.answers = [dies, dies]
    await stand.ask("GET", lookup)
    await stand.ask("POST", f"/logs/main/hooks/{SECRET}", bytes(300_000))
    await asyncio.to_thread(nginx.stop)
    lines = [json.loads(line) for line in nginx.access_log.read_text().splitlines()]
    asked = [(each["part"], each["status"]) for each in lines]
    assert asked == [("entries", 201), ("-", 201), ("entries", 503), ("hooks", 503)]
    assert {each["client"] for each in lines} == {"127.0.0.2"}
    assert lines[0]["request_id"] == "7"
    # Which server failed is said, and nothing else of it.
    assert lines[2]["server"].count("127.0.0.1") == 2
    for log in (nginx.access_log, nginx.error_log):
        assert SECRET not in log.read_text()
