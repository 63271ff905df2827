"""HTTP requests byte for byte, as no client library sends them, and their answers."""

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from yarl import URL

SECONDS = 20.0
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer that has been read whole."""

    status: int
    media_type: str
    body: bytes

    @property
    def problem(self) -> dict[str, Any] | None:
        """The problem that the answer is, None if it is none."""
        if self.media_type != "application/problem+json":
            return None
        problem: dict[str, Any] = json.loads(self.body)
        return problem


def request_bytes(
    method: bytes, target: bytes, headers: Iterable[Header] = (), body: bytes = b""
) -> bytes:
    """Return a request as it goes over the wire; the connection is for it alone."""
    lines = [
        method + b" " + target + b" HTTP/1.1",
        b"Host: localhost",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(url: str, request: bytes) -> RawAnswer:
    """Send bytes to a server and return its answer; it has to be one, and in time."""
    address = URL(url)
    assert address.host is not None
    assert address.port is not None
    with socket.create_connection((address.host, address.port), SECONDS) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            media_type = response.headers.get_content_type()
            return RawAnswer(response.status, media_type, response.read())
        finally:
            response.close()
