"""Fields that are no text: they come from outside, and cost no change its records."""

import asyncio

import pytest
from yarl import URL

from support.fake_scim import fake_scim, proxied


@pytest.mark.parametrize("field", [b'ETag: "\xff"', b"Location: /Users/\xe9"])
async def test_what_a_server_says_in_another_encoding_does_not_cost_the_outcome(
    field: bytes,
) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        start = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n"
        writer.write(start + field + b"\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, fake_scim() as scim:
        scim.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with proxied(scim) as proxy:
            assert await proxy.change() == 201
            assert proxy.book.phases == ["attempt", "outcome"]
            assert proxy.book.last["status"] == 201


async def test_what_a_caller_says_in_another_encoding_does_not_keep_it_out() -> None:
    async with fake_scim() as scim, proxied(scim) as proxy:
        address = URL(proxy.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
        fields = b"Host: x\r\nUser-Agent: \xe9\xff\r\nConnection: close\r\n\r\n"
        writer.write(b"DELETE /Users/u1 HTTP/1.1\r\n" + fields)
        assert b" 204 " in await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert proxy.book.phases == ["attempt", "outcome"]
        assert proxy.book.last["user_agent"] == "??"
