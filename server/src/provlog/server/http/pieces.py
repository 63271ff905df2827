"""Long answers, sent piece by piece.

TLS takes whatever it is given at once and hands it on: a long answer in one piece would
be out of sight while it waits to be taken, and its client would be taken for idle.
"""

from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

PIECE: Final = 64 * 1024
LONG: Final = 4 * PIECE
"""From what length on an answer is sent in pieces."""


class Pieces(Payload):
    """Bytes that are written as the client takes them."""

    _value: bytes

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the bytes as text."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it, and wait between the pieces while the client is slow."""
        view = memoryview(self._value)
        for start in range(0, len(view), PIECE):
            await writer.write(view[start : start + PIECE])
            await writer.drain()


def cut_long(response: web.StreamResponse) -> None:
    """Have a long answer sent in pieces; it has not been begun."""
    if not isinstance(response, web.Response):
        return
    body = response.body
    if isinstance(body, bytes) and len(body) >= LONG:
        response.body = Pieces(body)


def length_of(response: web.StreamResponse) -> int:
    """Return how many bytes an answer holds."""
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, Payload):
        return body.size or 0
    return len(body or b"")
