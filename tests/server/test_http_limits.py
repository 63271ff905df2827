"""How much a request may send, in what time, and in which encoding."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.server.http.app import HttpSettings
from support.events import event_json
from support.instances import Served, served

EVENTS = "/logs/main/events"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, settings=HttpSettings(body_seconds=0.3)) as running:
        yield running


async def _raw(
    log: Served, *parts: bytes, token: bool = True, pause: float = 0.0
) -> bytes:
    """Send bytes on a connection of their own; return the answer up to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", log.client.port)
    head = [b"POST /logs/main/events HTTP/1.1", b"Host: localhost"]
    if token:
        head.append(
            f"Authorization: {log.bearer('submitter')['Authorization']}".encode()
        )
    writer.write(b"\r\n".join([*head, b"Content-Type: application/json", b""]))
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    answer = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    return answer


async def test_a_body_over_the_limit_is_refused_before_it_is_read(log: Served) -> None:
    answer = await _raw(log, b"Content-Length: 999999999999\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:provlog:problem:too-large" in answer


async def test_a_chunked_body_over_the_limit_is_refused(log: Served) -> None:
    # Its end never comes: the answer does not wait for it.
    chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"
    answer = await _raw(log, b"Transfer-Encoding: chunked\r\n\r\n", chunk, chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_event_up_to_the_limit_is_taken(log: Served) -> None:
    event = event_json()
    event["data"]["context"]["reason"] = ""
    room = 262_144 - len(str(event)) - 200
    event["data"] = {**event["data"], "context": {"reason": "x" * room}}
    assert (await log.post(event)).status == 201
    event["data"]["context"]["reason"] += "x" * 400
    reply = await log.post(event)
    assert (reply.status, reply.slug) == (413, "too-large")


async def test_a_compressed_body_is_not_inflated(log: Served) -> None:
    body = zlib.compress(b" " * 10_000_000)
    for encoding in ("deflate", "gzip", "br", "zstd", "deflate, gzip"):
        headers = {**log.bearer("submitter"), "Content-Encoding": encoding}
        async with log.client.post(EVENTS, data=body, headers=headers) as answer:
            assert (encoding, answer.status) == (encoding, 415)
            assert "compression" in (await answer.json())["detail"]
    headers = {**log.bearer("submitter"), "Content-Encoding": "identity"}
    async with log.client.post(EVENTS, json=event_json(), headers=headers) as answer:
        assert answer.status == 201


async def test_a_body_that_trickles_is_given_up(log: Served) -> None:
    answer = await _raw(log, b"Content-Length: 500\r\n\r\n", b'{"specversion"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:provlog:problem:timeout" in answer


@pytest.mark.parametrize("pause", [0.0, 0.1])
async def test_a_body_in_broken_chunks_comes_to_nothing(
    log: Served, pause: float
) -> None:
    head = b"Transfer-Encoding: chunked\r\n\r\n"
    answer = await _raw(log, head, b"5\r\nabcde", b"ZZ", pause=pause)
    assert answer.split()[1] in (b"400", b"408")
    assert log.log.released.size == 1


async def test_the_token_is_looked_at_before_the_body(log: Served) -> None:
    answer = await _raw(log, b"Content-Length: 999999999999\r\n\r\n{", token=False)
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_management_body_has_a_limit_of_its_own(log: Served) -> None:
    reply = await log.post(
        {"uri": "x" * 70_000},
        role="admin",
        media_type="application/json",
        path="/logs/main/sources",
    )
    assert (reply.status, reply.slug) == (413, "too-large")


async def test_a_sender_that_goes_away_leaves_no_trace(
    log: Served, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", log.client.port)
    token = log.made.tokens["submitter"]
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Length: 500\r\n\r\n{{".encode())
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert (await log.get("checkpoint")).status == 200
    assert caplog.messages == []
