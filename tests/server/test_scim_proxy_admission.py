"""How many changes the SCIM proxy has in hand, and how many an address may ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from aiohttp import web
from yarl import URL

from provlog.server.scim_proxy import admission
from provlog.server.scim_proxy.admission import Admission
from provlog.server.scim_proxy.answers import Refusal
from provlog.server.scim_proxy.settings import ProxySettings
from support.fake_scim import FakeScim, fake_scim, proxied


@pytest.fixture
async def scim() -> AsyncIterator[FakeScim]:
    async with fake_scim() as scim:
        yield scim


async def test_no_more_changes_are_in_hand_than_are_allowed(scim: FakeScim) -> None:
    held, arrived = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        arrived.set()
        await held.wait()
        return web.Response(status=201)

    scim.handler = answer
    async with proxied(scim, ProxySettings(URL(), changes=1)) as proxy:
        first = asyncio.create_task(proxy.change())
        await arrived.wait()
        assert await proxy.change() == 503
        assert proxy.count("refused_total", reason="too_many") == 1
        held.set()
        assert await first == 201
        assert await proxy.change() == 201


def test_long_bodies_have_a_bound_of_their_own() -> None:
    admitted = Admission(3, 1)
    with ExitStack() as stack:
        stack.enter_context(admitted.change("a", long=True))
        with pytest.raises(Refusal), admitted.change("a", long=True):
            pass
        for _ in range(2):
            stack.enter_context(admitted.change("a", long=False))
        with pytest.raises(Refusal), admitted.change("a", long=False):
            pass
    with admitted.change("a", long=True):
        pass


def test_long_bodies_of_reads_have_another() -> None:
    admitted = Admission(1, 1)
    with admitted.change("a", long=True), admitted.read(long=True):
        with pytest.raises(Refusal), admitted.read(long=True):
            pass
        with admitted.read(long=False):
            pass
    with admitted.read(long=True):
        pass


async def test_a_read_whose_body_never_ends_holds_no_more_than_its_place() -> None:
    settings = ProxySettings(URL(), long_changes=1, request_bytes=1)
    end, begun = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"[1,"
        await end.wait()
        yield b"2]"

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            begun.set()
            await reader.readuntil(b"2]\r\n0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with proxied(FakeScim(f"http://127.0.0.1:{port}"), settings) as proxy:
            reading = asyncio.create_task(proxy.ask("POST", "/.search", data=slowly()))
            await begun.wait()
            assert (await proxy.ask("POST", "/.search", data=b"[1]"))[0] == 503
            assert (await proxy.ask("GET", "/Users"))[0] == 200
            end.set()
            assert (await reading)[0] == 200


def test_an_address_has_its_own_rate_and_others_do_not_notice() -> None:
    now = 0.0
    admitted = Admission(10, 10, 2.0, lambda: now)
    for _ in range(2):
        with admitted.change("a", long=False):
            pass
    with pytest.raises(Refusal) as refused, admitted.change("a", long=False):
        pass
    answer = refused.value.response()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    with admitted.change("b", long=False):
        pass
    now = 0.5
    with admitted.change("a", long=False):
        pass


def test_not_more_addresses_are_remembered_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_ADDRESSES", 3)
    admitted = Admission(10, 10, 1.0, lambda: 0.0)
    for number in range(10):
        with admitted.change(str(number), long=False):
            pass
        assert len(admitted._known) <= 3
        assert len(admitted._limiter._levels) <= 3


async def test_more_than_the_rate_is_not_passed_on(scim: FakeScim) -> None:
    async with proxied(scim, ProxySettings(URL(), rate=0.01)) as proxy:
        assert await proxy.change() == 201
        assert await proxy.change() == 429
        assert (await proxy.ask("GET", "/Users"))[0] == 200
        assert proxy.count("refused_total", reason="rate") == 1
    assert scim.changes == ["POST /Users"]
    assert proxy.book.phases == ["attempt", "outcome"]
