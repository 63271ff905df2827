"""What the SCIM proxy records, when, and what it does while that is not possible."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from yarl import URL

from provlog.server.errors import UnavailableError
from provlog.server.scim_proxy.answers import SCHEMA
from provlog.server.scim_proxy.figures import Figures
from provlog.server.scim_proxy.recording import LogRecorder
from provlog.server.scim_proxy.settings import ProxySettings
from provlog.server.storage.base import StorageError
from support.fake_scim import (
    NOW_MS,
    UNAVAILABLE,
    Book,
    FakeScim,
    Proxied,
    fake_scim,
    proxied,
)

QUICK = ProxySettings(URL(), upstream_seconds=0.3, log_seconds=0.3)


@pytest.fixture
async def scim() -> AsyncIterator[FakeScim]:
    async with fake_scim() as scim:
        yield scim


@pytest.fixture
async def proxy(scim: FakeScim) -> AsyncIterator[Proxied]:
    async with proxied(scim) as proxy:
        yield proxy


async def until(condition: Any) -> None:  # noqa: ANN401
    """Return once something holds, which has to be soon."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  it is about what others do
            await asyncio.sleep(0.005)


async def test_the_attempt_is_recorded_before_and_the_outcome_after(
    scim: FakeScim,
) -> None:
    order: list[str] = []

    async def answer(_: web.Request) -> web.Response:
        order.append("passed on")
        return web.json_response({"id": "u1"}, status=201)

    scim.handler = answer
    book = Book(before=lambda record: order.append(record["phase"]))
    async with proxied(scim, book=book) as proxy:
        assert await proxy.change() == 201
        order.append("answered")
    assert order == ["attempt", "passed on", "outcome", "answered"]


async def test_a_record_says_what_was_asked_by_whom_and_what_came_of_it(
    proxy: Proxied,
) -> None:
    fields = {"Authorization": "Bearer s3cret-token", "User-Agent": "Entra"}
    assert await proxy.change(path="/v2/Users?access_token=s3cret&x=1", headers=fields)
    attempt, outcome = proxy.book.records
    common = {
        "id": attempt["id"],
        "time": "2026-11-21T17:53:56.001Z",
        "method": "POST",
        "path": "/v2/Users",
        "query": "access_token=[redacted]&x=1",
        "caller": attempt["caller"],
        "ip": "127.0.0.1",
        "user_agent": "Entra",
        "upstream": proxy.scim.url,
        "request": {"userName": "ann"},
    }
    assert NOW_MS == 1_795_283_636_001
    assert attempt == {"phase": "attempt", **common}
    assert outcome == {
        "phase": "outcome",
        **common,
        "response": {"id": "u1", "userName": "ann"},
        "status": 201,
        "location": "https://scim.example/v2/Users/u1",
        "etag": 'W/"1"',
    }
    assert proxy.scim.seen[0].field("Provlog-Request-Id") == attempt["id"]
    assert attempt["caller"]["type"] == "credential"
    assert "s3cret" not in json.dumps(proxy.book.records)


async def test_each_request_has_an_id_of_its_own_also_when_it_is_repeated(
    proxy: Proxied,
) -> None:
    told = []
    for _ in range(2):
        _, _, headers = await proxy.ask("POST", "/Users", json={})
        told.append(headers["Provlog-Request-Id"])
    assert told == [each["id"] for each in proxy.book.records[::2]]
    assert len({*told}) == 2


@pytest.mark.parametrize(
    "fault",
    [
        UNAVAILABLE,
        StorageError("gone"),
        OSError(28, "No space left"),
        ValueError("bug"),
    ],
)
async def test_what_cannot_be_recorded_is_refused_and_not_passed_on(
    scim: FakeScim, fault: Exception
) -> None:
    async with proxied(scim, book=Book(faults=[fault])) as proxy:
        status, body, headers = await proxy.ask("POST", "/Users", json={})
        error = json.loads(body)
        assert (status, error["status"], error["schemas"]) == (503, "503", [SCHEMA])
        assert headers["Content-Type"].startswith("application/scim+json")
        assert headers["Retry-After"]
        assert proxy.count("refused_total", reason="not_recorded") == 1
        assert scim.seen == []
        assert (await proxy.ask("GET", "/Users"))[0] == 200
        # The attempt might have become durable: what follows says that none was made.
        await until(lambda: len(proxy.book.records) == 2)
        assert proxy.book.phases == ["attempt", "outcome"]
        assert proxy.book.last["error"] == "not_sent"
        assert proxy.book.records[0]["id"] == proxy.book.last["id"]


async def test_a_log_that_does_not_answer_is_waited_for_and_then_refused(
    scim: FakeScim,
) -> None:
    book = Book(held=asyncio.Event())
    async with proxied(scim, QUICK, book) as proxy:
        assert await proxy.change() == 503
        assert scim.seen == []
        assert book.held is not None
        book.held.set()
        # Both became durable late: the attempt, perhaps twice, and what came of it.
        await until(lambda: book.records and book.last.get("error") == "not_sent")
        assert {each["phase"] for each in book.records[:-1]} == {"attempt"}


async def test_refusals_leave_room_for_outcomes_and_are_counted(
    scim: FakeScim,
) -> None:
    figures = Figures(registry := CollectorRegistry())
    book = Book(held=asyncio.Event())
    recorder = LogRecorder(book.write, figures, lambda: None, 0.01, most=4)
    for number in range(3):
        recorder.refused(b'{"phase":"attempt"}', b'{"phase":"outcome"}')
        assert len(recorder._waiting) == 2
        name = "provlog_scim_proxy_unrecorded_total"
        lost = registry.get_sample_value(name, {"reason": "refusal"})
        assert lost == number
    for _ in range(2):
        await recorder.outcome(b'{"phase":"outcome"}')
    assert book.held is not None
    book.held.set()
    await until(lambda: recorder.trouble() is None)
    await recorder.close()


async def test_an_outcome_the_log_does_not_take_is_answered_and_tried_again(
    scim: FakeScim,
) -> None:
    book = Book(faults=[None, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE])
    async with proxied(scim, book=book) as proxy:
        assert await proxy.change() == 201
        assert book.phases == ["attempt"]
        assert "1 records" in (proxy.recorder.trouble() or "")
        assert proxy.count("waiting") == 1
        await until(lambda: len(book.records) == 2)
        assert book.last["status"] == 201
        await until(lambda: proxy.recorder.trouble() is None)
        assert proxy.count("waiting") == 0


async def test_outcomes_that_are_never_taken_are_counted_at_the_end(
    scim: FakeScim, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("provlog.server.scim_proxy.recording.CLOSING_SECONDS", 0.05)
    book = Book(faults=[None, *[UNAVAILABLE] * 1000])
    async with proxied(scim, book=book) as proxy:
        assert await proxy.change() == 201
    assert proxy.count("unrecorded_total", reason="stopped") == 1
    assert "1 records that are not in the log" in caplog.text


async def test_a_server_that_cannot_be_reached_is_a_failure(scim: FakeScim) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        scim.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with proxied(scim) as proxy:
            assert await proxy.change() == 502
    assert proxy.book.last["error"] == "unreachable"
    assert "status" not in proxy.book.last


async def test_a_server_that_does_not_answer_in_time_leaves_it_unknown(
    scim: FakeScim,
) -> None:
    never = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    scim.handler = answer
    async with proxied(scim, QUICK) as proxy:
        status, body, _ = await proxy.ask("PATCH", "/Users/u1", json={})
        never.set()
    assert (status, json.loads(body)["status"]) == (504, "504")
    assert proxy.book.last["error"] == "timed_out"
    assert proxy.count("upstream_failures_total", kind="timed_out") == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_connection_that_breaks_is_unknown_and_nothing_is_sent_twice(
    scim: FakeScim, method: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    scim.handler = answer
    async with proxied(scim) as proxy:
        assert await proxy.change(method, "/Users/u1") == 502
    assert proxy.book.last["error"] == "connection_lost"
    assert len(scim.seen) == 1


async def test_an_answer_that_breaks_off_has_its_status_recorded(
    scim: FakeScim,
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201, headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b'{"id":')
        assert request.transport is not None
        request.transport.close()
        return response

    scim.handler = answer
    async with proxied(scim) as proxy:
        assert await proxy.change() == 502
    assert proxy.book.last["status"] == 201
    assert proxy.book.last["error"] == "connection_lost"


async def test_a_caller_that_goes_away_changes_nothing_about_the_outcome(
    scim: FakeScim,
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.json_response({"id": "u1"}, status=201)

    scim.handler = answer
    async with proxied(scim) as proxy:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.post(f"{proxy.url}/Users", json={}))
            await arrived.wait()
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
        go_on.set()
        await until(lambda: proxy.book.phases == ["attempt", "outcome"])
    assert proxy.book.last["status"] == 201


async def test_a_long_body_passes_in_pieces_and_leaves_size_and_digest(
    scim: FakeScim,
) -> None:
    small = ProxySettings(URL(), request_bytes=1000, response_bytes=1000)
    sent = b"[" + b"1," * 400_000 + b"1]"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=201, body=b"x" * 300_000)

    scim.handler = answer
    async with proxied(scim, small) as proxy:
        for data in (sent, _pieces(sent)):
            status, body, _ = await proxy.ask("POST", "/Bulk", data=data)
            assert (status, body) == (201, b"x" * 300_000)
            assert scim.seen[-1].body == sent
    first, outcome = proxy.book.records[:2]
    assert "request" not in first
    assert first["flags"] == ["request_not_kept"]
    assert outcome["request_size"] == len(sent)
    assert outcome["request_digest"].startswith("hmac-sha256:")
    assert set(outcome["flags"]) == {"request_not_kept", "response_not_kept"}
    assert proxy.book.last["request_digest"] == outcome["request_digest"]
    assert scim.seen[0].field("Content-Length") == str(len(sent))
    assert scim.seen[1].field("Transfer-Encoding") == "chunked"


async def test_a_record_always_fits_an_event(scim: FakeScim) -> None:
    body = b"[" + b"1e15," * 26_000 + b"1]"
    async with proxied(scim) as proxy:
        assert (await proxy.ask("POST", "/Users", data=body))[0] == 201
    assert len(json.dumps(proxy.book.last)) < 2000
    assert proxy.book.last["flags"] == ["bodies_not_kept"]


async def test_an_answer_may_go_on_for_longer_than_the_server_may_be_silent(
    scim: FakeScim,
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        # Each piece is there long before the server would count as silent.
        for _ in range(60):
            await asyncio.sleep(0.02)
            await response.write(b"x")
        return response

    scim.handler = answer
    async with proxied(scim, ProxySettings(URL(), upstream_seconds=1.0)) as proxy:
        assert (await proxy.ask("GET", "/Users"))[1] == b"x" * 60
        assert (await proxy.ask("PUT", "/Users/u1", json={}))[0] == 504
    assert proxy.book.last["status"] == 200


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


async def test_a_body_that_does_not_come_is_not_waited_for(scim: FakeScim) -> None:
    async with proxied(scim, ProxySettings(URL(), body_seconds=0.05)) as proxy:
        port = URL(proxy.url).port
        assert port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /Users HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        line = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
    assert b" 408 " in line
    assert proxy.book.records == []
    assert scim.seen == []


async def test_the_state_before_is_asked_for_in_the_caller_s_name(
    scim: FakeScim,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"id": "u1", "password": "s3cret", "active": True})
        return web.Response(status=204)

    scim.handler = answer
    fields = {"Authorization": "Bearer t", "If-Match": 'W/"1"'}
    async with proxied(scim, ProxySettings(URL(), before=True)) as proxy:
        assert await proxy.change("DELETE", "/v2/Users/u1?x=y", headers=fields) == 204
        assert await proxy.change("POST", "/v2/Users") == 204
    asked, deleted, created = scim.seen
    assert (asked.method, asked.path) == ("GET", "/v2/Users/u1")
    assert asked.field("Authorization") == "Bearer t"
    assert asked.field("If-Match") is None
    assert deleted.field("If-Match") == 'W/"1"'
    assert created.method == "POST"
    attempt = proxy.book.records[0]
    assert attempt["before"] == {"id": "u1", "password": "[redacted]", "active": True}


@pytest.mark.parametrize("status", [404, 500])
async def test_without_the_state_before_the_change_is_made_and_it_is_said(
    scim: FakeScim, status: int
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status if request.method == "GET" else 200)

    scim.handler = answer
    async with proxied(scim, ProxySettings(URL(), before=True)) as proxy:
        assert await proxy.change("PUT", "/Users/u1") == 200
    assert proxy.book.last["flags"] == ["before_unknown"]


async def test_a_refusal_tells_the_log_s_trouble_to_nobody(scim: FakeScim) -> None:
    error = UnavailableError("secret place /srv/log")
    async with proxied(scim, book=Book(faults=[error])) as proxy:
        _, body, _ = await proxy.ask("POST", "/Users", json={})
    assert b"/srv/log" not in body
