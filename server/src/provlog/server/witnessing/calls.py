"""HTTP to witnesses (C2SP tlog-witness), bounded in bytes and time.

A witness may be anybody: redirects are not followed, nothing is unpacked, no cookie is
kept, and what it sends stands in no error text.
"""

import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Self

import aiohttp
from yarl import URL

from provlog.merkle.witness_messages import origin_hash
from provlog.server.witnessing.settings import Endpoint

MAX_ANSWER: Final = 256 << 10
"""Of a hundred ML-DSA-44 lines, and of a checkpoint with as many."""
LONGEST_PAUSE: Final = 300.0
"""For how many seconds a witness is left alone, whatever it asks for."""
TIMEOUT: Final = "timeout"
"""The outcome of a question that was not answered in time."""
_CHUNK: Final = 16 << 10


class WitnessError(Exception):
    """A witness did not do what it was asked for.

    `outcome` is what the metrics count it as, the text says what happened without
    repeating what was sent; `pause` is how many seconds it asks to be left alone.
    """

    def __init__(self, outcome: str, detail: str, pause: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read whole; `pause` is what it asks to wait, in seconds."""

    status: int
    body: bytes
    pause: float | None


class Calls:
    """Connections to witnesses; each answer has `seconds` to arrive whole."""

    def __init__(self, seconds: float) -> None:
        self._session = aiohttp.ClientSession(
            headers={
                "Accept-Encoding": "identity",
                "User-Agent": f"provlog-server/{version('provlog-server')}",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def add_checkpoint(self, endpoint: Endpoint, body: bytes) -> Reply:
        """Return the answer to `add-checkpoint`, or raise `WitnessError`."""
        return await self._ask("POST", f"{endpoint.submission}/add-checkpoint", body)

    async def newest(self, endpoint: Endpoint, origin: str) -> bytes | None:
        """Return the note that a witness shows as its newest of a log, unverified.

        None where it shows none. Raises `WitnessError`.
        """
        place = f"{endpoint.monitoring}/{origin_hash(origin)}/checkpoint"
        reply = await self._ask("GET", place, None)
        return reply.body if reply.status == 200 else None

    async def _ask(self, method: str, url: str, body: bytes | None) -> Reply:
        try:
            async with self._session.request(
                method, URL(url), data=body, allow_redirects=False
            ) as response:
                pause = _pause(response.headers.get("Retry-After", ""))
                return Reply(response.status, await _read(response), pause)
        except aiohttp.ClientConnectorCertificateError:
            detail = "its TLS certificate is not trusted"
            raise WitnessError("unreachable", detail) from None
        except TimeoutError:
            raise WitnessError(TIMEOUT, "no answer in time") from None
        except aiohttp.ClientError as error:
            raise WitnessError("unreachable", _reason(error)) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise WitnessError("wrong", "it answered compressed, which was not asked for")
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > MAX_ANSWER:
            raise WitnessError("wrong", f"it answered more than {MAX_ANSWER} bytes")
    return bytes(data)


def _pause(text: str) -> float | None:
    # The form with a date is as rare as it is hard to read.
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return None
    return min(float(text), LONGEST_PAUSE)


def _reason(error: aiohttp.ClientError) -> str:
    # The library's own texts may repeat what was received.
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        return f"no connection ({os.strerror(code) if code else 'not set up'})"
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
        return "the connection broke"
    return "not an answer in HTTP"
