"""Receivers of alerts on loopback: a webhook and a mail server that keep what comes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Hook:
    """A webhook: `statuses` are answered first, one each, and then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Take one alert, or refuse it."""
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        headers = {"Location": self.url}
        return web.Response(
            status=self.statuses.pop(0) if self.statuses else 204, headers=headers
        )


@asynccontextmanager
async def webhook() -> AsyncIterator[Hook]:
    """Serve a webhook on loopback."""
    hook = Hook()
    app = web.Application()
    app.router.add_post("/alerts", hook.take)
    async with TestServer(app) as server:
        hook.url = str(server.make_url("/alerts"))
        yield hook


@dataclass
class Post:
    """A mail server: what was said to it, and the messages it took.

    `refusals` are answered to RCPT first, one each.
    """

    port: int = 0
    context: ssl.SSLContext | None = None
    refusals: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    messages: list[EmailMessage] = field(default_factory=list)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Talk SMTP, as much of it as a client of alerts speaks."""
        writer.write(b"220 sink\r\n")
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            word = line.split()[0].upper()
            if word == "EHLO":
                offers = b"250-STARTTLS\r\n" if self.context else b""
                writer.write(b"250-sink\r\n" + offers + b"250 AUTH PLAIN LOGIN\r\n")
            elif word == "STARTTLS" and self.context is not None:
                writer.write(b"220 go on\r\n")
                await writer.drain()
                await writer.start_tls(self.context)
            elif word == "RCPT" and self.refusals:
                writer.write(self.refusals.pop(0).encode() + b"\r\n")
            elif word == "DATA":
                writer.write(b"354 go on\r\n")
                await self._take(reader)
                writer.write(b"250 taken\r\n")
            elif word == "AUTH":
                writer.write(b"235 welcome\r\n")
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
        writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        data = b""
        while not data.endswith(b"\r\n.\r\n"):
            data += await reader.readline()
        message = message_from_bytes(data[:-3], policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)


@asynccontextmanager
async def mail_server(context: ssl.SSLContext | None = None) -> AsyncIterator[Post]:
    """Serve a mail server on loopback; with a context it offers STARTTLS."""
    post = Post(context=context)
    server = await asyncio.start_server(post.serve, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        await server.wait_closed()
