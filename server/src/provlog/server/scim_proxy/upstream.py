"""The connection to the SCIM server: each request is sent once, and never elsewhere."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
from aiohttp.client_exceptions import ConnectionTimeoutError
from multidict import CIMultiDict
from yarl import URL

from provlog.server.scim_proxy.bodies import Body

CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 1.0
"""How long a connection is kept for the next request: shorter than servers keep one,
or they would close it while a change is on its way, and nobody would know."""
CONNECTIONS: Final = 512

_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class UpstreamError(Exception):
    """No answer. `kind` is `unreachable`, `timed_out` or `connection_lost`.

    With `unreachable` nothing was sent; with the others nobody knows what became of it.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@asynccontextmanager
async def bounded(seconds: float | None) -> AsyncIterator[None]:
    """Raise `UpstreamError` if what is done within takes longer, unless it is None."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UpstreamError("timed_out") from None


class _LostError(Exception):
    """A connection that ended: of a kind that aiohttp does not send anew after."""


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a PUT or DELETE again, which it does by itself."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error


class Upstream:
    """Sends requests to the SCIM server. Use it inside a running loop, and close it.

    Redirects are not followed, cookies not kept, bodies not unpacked.
    """

    def __init__(self, seconds: float, tls: ssl.SSLContext | None = None) -> None:
        self._seconds = seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS,
                keepalive_timeout=IDLE_SECONDS,
                ssl=True if tls is None else tls,
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=_AUTOMATIC,
            middlewares=(_once,),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: URL,
        fields: CIMultiDict[str],
        body: Body | None,
        *,
        length: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer to a request; raise `UpstreamError` where there is none.

        `length` is the Content-Length of a body that is not whole. The server may be
        silent for the seconds this was made with, and an answer take as long as it
        goes on.
        """
        whole = body is None or body.whole
        if length is not None and not whole:
            fields["Content-Length"] = length
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=min(CONNECT_SECONDS, self._seconds),
            sock_read=self._seconds,
        )
        data = None if body is None else body.start if whole else body.pieces()
        with translated():
            answer = await self._session.request(
                method,
                url,
                headers=fields,
                data=data,
                timeout=timeout,
                allow_redirects=False,
            )
        try:
            yield answer
        finally:
            answer.release()


@contextmanager
def translated() -> Iterator[None]:
    """Turn what aiohttp raises into `UpstreamError`."""
    try:
        yield
    except Exception as error:
        kind = _kind(error)
        if kind is None:
            raise
        raise UpstreamError(kind) from None


def _kind(error: Exception) -> str | None:
    if isinstance(error, (aiohttp.ClientConnectorError, ConnectionTimeoutError)):
        return "unreachable"
    if isinstance(error, asyncio.TimeoutError):
        return "timed_out"
    if isinstance(error, (_LostError, aiohttp.ClientError, OSError, ValueError)):
        return "connection_lost"
    return None
