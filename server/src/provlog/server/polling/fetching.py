"""HTTP to one provider: a token that goes to one origin, and answers that are bounded.

A request is a path and a query, never a URL: wherever a provider's answers point, the
token cannot leave the origin that the operator named. Redirects are not followed.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from provlog.server.errors import ConfigurationError
from provlog.server.hosts import is_loopback
from provlog.server.polling.feed import FetchError, UnfitError
from provlog.server.polling.limits import asked_pause, clock_of, pause_after

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 120.0
MAX_REFUSAL: Final = 64 << 10
_CHUNK: Final = 64 << 10


class TooLargeError(FetchError):
    """An answer is larger than what can be taken at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `next` are the targets of its links with rel=next.

    `clock` is the server's own time in Unix milliseconds, None where it did not tell;
    `pause` how many seconds to wait before the next request. `headers` are its fields.
    """

    body: bytes
    next: tuple[URL, ...]
    clock: int | None
    pause: float
    headers: Mapping[str, str] = field(default_factory=dict)


class Fetcher:
    """Connections to one origin.

    `authorization` returns the value of `header` for each request, or what it is waited
    for; an empty one is not sent. `seconds` is what an answer may take. Raises
    `ConfigurationError` for a URL that cannot be. `refused` is called where the
    authorization is not taken (401), and another is had for the next attempt. `limited`
    tells from the body of a refusal (403) that it is one of a rate, and passes.
    """

    def __init__(
        self,
        url: str,
        authorization: Callable[[], str | Awaitable[str]],
        seconds: float = ANSWER_SECONDS,
        refused: Callable[[], None] | None = None,
        limited: Callable[[bytes], bool] | None = None,
        header: str = "Authorization",
    ) -> None:
        self.origin = parse_origin(url)
        self._name = f"{self.origin.host}:{self.origin.port}"
        self._authorization = authorization
        self._seconds = seconds
        self._refused = refused
        self._limited = limited
        self._header = header
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, query: str, most: int) -> Answer:
        """Return the answer to a GET, of at most `most` bytes.

        Raises `TooLargeError` for a longer one, `FetchError` for whatever may be over
        later, and `ConfigurationError` where the token is refused.
        """
        url = URL(f"{self.origin}{path}?{query}", encoded=True)
        return await self._ask("GET", url, most)

    async def post(
        self,
        path: str,
        body: bytes,
        content_type: str,
        most: int,
        language: str | None = None,
    ) -> Answer:
        """Return the answer to a POST, as `get` does; `language` is what it speaks."""
        url = URL(f"{self.origin}{path}", encoded=True)
        headers = {"Content-Type": content_type}
        if language is not None:
            headers["Content-Language"] = language
        return await self._ask("POST", url, most, body, headers)

    async def post_form(
        self, path: str, fields: Mapping[str, str], most: int
    ) -> Answer:
        """Return the answer to a form, as `get` does."""
        body = urlencode(fields).encode("ascii")
        return await self.post(path, body, "application/x-www-form-urlencoded", most)

    async def _ask(
        self,
        method: str,
        url: URL,
        most: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        headers = {**(headers or {}), **await self._authorized()}
        try:
            async with self._open().request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                await self._require_success(response)
                return Answer(
                    await self._read(response, most),
                    self._next(response),
                    clock_of(response.headers),
                    pause_after(response.headers, _now()),
                    response.headers,
                )
        except aiohttp.ClientConnectorCertificateError:
            raise self._error(
                "its TLS certificate is not trusted (to trust a private authority,"
                " point SSL_CERT_FILE at its certificate)"
            ) from None
        except TimeoutError:
            raise self._error("no answer in time") from None
        except aiohttp.ClientError as error:
            raise self._error(_reason(error)) from None

    async def _authorized(self) -> dict[str, str]:
        authorization = self._authorization()
        if not isinstance(authorization, str):
            authorization = await authorization
        return {self._header: authorization} if authorization else {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={
                    "Accept": "application/json",
                    # What is not unpacked cannot explode.
                    "Accept-Encoding": "identity",
                    "User-Agent": f"provlog-server/{version('provlog-server')}",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=self._seconds, sock_connect=CONNECT_SECONDS
                ),
            )
        return self._session

    async def _require_success(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 403 and await self._is_limit(response):
            pause = asked_pause(response.headers, _now())
            raise self._error("asks to be asked less often (HTTP 403)", pause)
        if status == 401 and self._refused is not None:
            self._refused()
            raise self._error("no longer takes the access token (HTTP 401)")
        if status in (401, 403):
            raise ConfigurationError(
                f"{self._name} refuses the token (HTTP {status}): look at the file"
                " that is named for it, at the client's id where there is one, and"
                " whether they may read the log"
            )
        if 300 <= status < 400:
            raise self._error(
                f"answered with a redirect (HTTP {status}), which is not followed:"
                " give the URL under which it answers itself"
            )
        if status != 200:
            limited = status in (429, 503, 504)
            pause = asked_pause(response.headers, _now()) if limited else None
            raise self._error(f"answered with HTTP {status}", pause)

    async def _is_limit(self, response: aiohttp.ClientResponse) -> bool:
        if self._limited is None:
            return False
        try:
            return self._limited(await self._read(response, MAX_REFUSAL))
        except TooLargeError:
            return False

    async def _read(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise self._error("answered compressed, which was not asked for")
        if (response.content_length or 0) > most:
            raise self._too_large(most)
        data = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            data += chunk
            if len(data) > most:
                raise self._too_large(most)
        return bytes(data)

    def _next(self, response: aiohttp.ClientResponse) -> tuple[URL, ...]:
        try:
            links = response.links.values()
            return tuple(
                URL(str(link["url"])) for link in links if link.get("rel") == "next"
            )
        except ValueError:
            raise self._error("answered with a link that is no URL") from None

    def _error(self, detail: str, pause: float | None = None) -> FetchError:
        return FetchError(f"{self._name}: {detail}", pause)

    def _too_large(self, most: int) -> TooLargeError:
        return TooLargeError(f"{self._name}: answered with more than {most} bytes")


def parse_origin(url: str) -> URL:
    """Return the origin that a provider's URL is, or raise `UnfitError`.

    https, or http on this machine itself; a host, perhaps a port, and nothing else.
    """
    try:
        parsed = URL(url)
    except ValueError:
        raise UnfitError("url is not a URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UnfitError("url starts with https://, then the host")
    if parsed.user is not None or parsed.password is not None:
        raise UnfitError(
            "url holds a name or password; they go into a file of their own"
        )
    if parsed.raw_path not in ("", "/") or parsed.query_string or parsed.fragment:
        raise UnfitError("url is https:// and a host, without a path")
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise UnfitError(
            "url is plain http: the token could be read on the way; use https"
        )
    return parsed.origin()


def _now() -> int:
    return time.time_ns() // 1_000_000


def _reason(error: aiohttp.ClientError) -> str:
    # The library's own texts may repeat what was received.
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "no TLS could be agreed on"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        return f"no connection ({os.strerror(code) if code else 'not set up'})"
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
        return "the connection broke"
    return "not an answer in HTTP"
