"""Fields of headers that are not UTF-8: what passes is recorded all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from support.fake_scim import FakeScim, fake_scim, proxied


async def exchanged(url: str, request: bytes) -> bytes:
    """Return all that comes back for bytes that are sent, until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[FakeScim]:
    """Serve a SCIM server that answers with these bytes, whatever it is asked."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield FakeScim(url=f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("field", [b"Location: /Users/caf\xe9", b'ETag: "\xff"'])
async def test_an_answer_has_its_outcome_recorded(field: bytes) -> None:
    answer = b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\n" + field + b"\r\n\r\n{}"
    request = b"DELETE /Users/u1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with answering(answer) as scim, proxied(scim) as proxy:
        said = await exchanged(proxy.url, request)
        assert said.startswith(b"HTTP/1.1 201 ")
        assert proxy.book.phases == ["attempt", "outcome"]
        assert proxy.book.last["status"] == 201


async def test_a_request_has_its_attempt_recorded() -> None:
    request = (
        b"DELETE /Users/u1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"User-Agent: caf\xe9\r\nAuthorization: Basic \xe9\r\n\r\n"
    )
    async with fake_scim() as scim, proxied(scim) as proxy:
        assert b" 204 " in (await exchanged(proxy.url, request))[:20]
        assert proxy.book.last["user_agent"] == "caf?"
