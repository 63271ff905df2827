"""HTTP, the only module that knows aiohttp: bounded answers, no redirects, retries.

A request is sent again only where that is safe and may help: the connection failed or
timed out, the server answered 503 with `Retry-After`, or 429. Every request of this
client can be sent twice: an event carries its id from the first attempt on, and a log
has room for one entry of that id.
"""

import asyncio
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from typing import Final

import aiohttp
from yarl import URL

from provlog.client.addresses import is_loopback
from provlog.client.answers import read_detail, read_refusal
from provlog.client.errors import UnavailableError, UsageError
from provlog.merkle.errors import MalformedError

MAX_PROBLEM: Final = 64 << 10
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
CONNECT_SECONDS: Final = 10.0
LONGEST_WAIT: Final = 300.0
"""What a server that asks to come back later gets at most, in seconds: whoever follows
a log would else be silenced by it for years."""

_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """One request below the log's URL; `most` is the largest answer in bytes.

    `timeout` is what one attempt may take, in seconds.
    """

    method: str
    path: str
    most: int
    timeout: float
    query: Mapping[str, str] | None = None
    body: bytes | None = None
    content_type: str | None = None
    accept: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: 200 or 201, and its body."""

    status: int
    body: bytes


class _TryAgain(Exception):  # noqa: N818  not an error but an instruction
    """The attempt failed in a way that another attempt may mend."""

    def __init__(self, detail: str, pause: float | None = None) -> None:
        super().__init__(detail)
        self.pause = pause


class Transport:
    """Connections to one log of one server, or where `log` is None to what is at `url`.

    `patience` is how long a request is tried, in seconds; the last attempt may outlast
    it. Raises `UsageError` for a URL that cannot be, and for a token that would cross a
    network in the clear.
    """

    def __init__(
        self,
        url: str,
        log: str | None,
        token: str | None,
        patience: float,
        *,
        insecure: bool,
    ) -> None:
        base = _parse_url(url)
        if token is not None and not insecure and not _is_private(base):
            raise UsageError(
                "the token would travel unencrypted: use an https URL, or allow it "
                "with --insecure (insecure=True) on a network you trust"
            )
        if log is not None and (not log or "/" in log or log in (".", "..")):
            raise UsageError("the name of a log is not empty and has no slash")
        self._base = base if log is None else base / "logs" / log
        self._name = f"{base.host}:{base.port}"
        self._headers = _headers(token)
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Answer:
        """Return the answer, or raise.

        `RefusedError` for 4xx, `UnavailableError` when patience is at its end or the
        server cannot answer, `UsageError` for redirects (the URL is not the log's), and
        `MalformedError` for an answer that is too large or compressed unasked.
        """
        started = time.monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._attempt(request)
            except _TryAgain as failure:
                # Half of it is chance, so that a crowd of clients does not come back
                # as one.
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
                if failure.pause is not None:
                    wait += failure.pause
                if time.monotonic() - started + wait >= self._patience:
                    raise UnavailableError(
                        str(failure), retry_after=failure.pause
                    ) from None
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _attempt(self, request: Request) -> Answer:
        try:
            async with self._open().request(
                request.method,
                self._base.joinpath(*request.path.split("/")),
                params=request.query,
                # As a stream, which is written in parts; and a new one each time.
                data=None if request.body is None else BytesIO(request.body),
                headers=_request_headers(request),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=request.timeout, sock_connect=CONNECT_SECONDS
                ),
            ) as response:
                return await _receive(response, request)
        except aiohttp.ClientConnectorCertificateError:
            raise UnavailableError(
                f"{self._name}: its TLS certificate is not trusted (to trust a private "
                "authority, point SSL_CERT_FILE at its certificate)"
            ) from None
        except TimeoutError:
            raise _TryAgain(f"{self._name}: no answer in time") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise _TryAgain(f"{self._name}: {_reason(error)}") from None
        except aiohttp.ClientError:
            raise UnavailableError(f"{self._name}: not an answer in HTTP") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def _receive(response: aiohttp.ClientResponse, request: Request) -> Answer:
    status = response.status
    if status in (200, 201):
        return Answer(status, await _read(response, request.most))
    if 300 <= status < 400:
        raise UsageError(
            f"the server redirects (HTTP status {status}) and redirects are not "
            "followed: give the URL under which the log answers itself"
        )
    pause = _retry_after(response)
    if status == 429 or (status == 503 and pause is not None):
        later = f"the server asks to come back later (HTTP {status})"
        why = await _read_why(response)
        raise _TryAgain(f"{later}: {why}" if why else later, pause)
    if status >= 500 or status < 400 or status == 408:
        raise UnavailableError(
            f"the server failed to answer (HTTP {status})", status=status
        )
    try:
        problem = await _read(response, MAX_PROBLEM)
    except MalformedError:
        problem = b""
    raise read_refusal(status, problem)


async def _read_why(response: aiohttp.ClientResponse) -> str | None:
    """Return what the server says is the matter, None where it says nothing."""
    try:
        return read_detail(await _read(response, MAX_PROBLEM))
    except (MalformedError, aiohttp.ClientError, TimeoutError):
        # Whatever becomes of the words, when to come back was said.
        return None


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    # Nothing else was asked for, and what is not unpacked cannot explode.
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MalformedError("answer: compressed, which was not asked for")
    if (response.content_length or 0) > most:
        raise MalformedError(f"answer: larger than {most} bytes")
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > most:
            raise MalformedError(f"answer: larger than {most} bytes")
    return bytes(data)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Return the seconds of a `Retry-After`, within bounds; with a date it is 1 s."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:10]), LONGEST_WAIT)
    return 1.0


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        # The event loop's own text repeats the address.
        code = error.os_error.errno
        return f"no connection ({os.strerror(code) if code else 'not set up'})"
    return "the connection broke"


def _parse_url(url: str) -> URL:
    try:
        parsed = URL(url)
    except ValueError:
        raise UsageError("the URL of the server is not a URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError("the URL of the server starts with https:// (or http://)")
    if parsed.user is not None or parsed.password is not None:
        raise UsageError("the URL of the server holds a name or password: use a token")
    if parsed.query_string or parsed.fragment:
        raise UsageError("the URL of the server has a query or fragment")
    return parsed


def _is_private(url: URL) -> bool:
    return url.scheme == "https" or is_loopback(url.host or "")


def _headers(token: str | None) -> dict[str, str]:
    headers = {
        "User-Agent": f"provlog-client/{version('provlog-client')}",
        "Accept-Encoding": "identity",
    }
    if token is not None:
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise UsageError("the token is not one: plt_<id>_<secret>")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _request_headers(request: Request) -> dict[str, str]:
    headers = {"Accept": request.accept}
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    return headers
