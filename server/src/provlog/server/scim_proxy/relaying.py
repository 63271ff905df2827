"""The SCIM server's answer on its way to the caller, as it came."""

from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from provlog.server.scim_proxy.bodies import Body
from provlog.server.scim_proxy.headers import response_fields
from provlog.server.scim_proxy.upstream import UpstreamError, translated

UPSTREAM_SERVER: Final = web.ResponseKey("upstream_server", str)
"""What the SCIM server says of itself, "" where it says nothing."""
_EMPTY = frozenset({204, 304})


async def relay(
    request: web.Request, answer: aiohttp.ClientResponse, start: Body | None
) -> web.StreamResponse:
    """Send an answer and return it; `start` is what was read of it already.

    A caller that has gone is no error, and an answer that breaks off is cut where it
    broke: nothing can be said any more.
    """
    fields = response_fields(answer.headers)
    if start is not None and start.whole:
        return _whole(request, answer, fields, start.start)
    response = _begin(answer, fields)
    try:
        await response.prepare(request)
        if request.method != "HEAD" and answer.status not in _EMPTY:
            await _pump(answer, response, b"" if start is None else start.start)
        await response.write_eof()
    except UpstreamError:
        if request.transport is not None:
            request.transport.abort()
    except OSError:  # the caller has gone
        pass
    return response


def _whole(
    request: web.Request,
    answer: aiohttp.ClientResponse,
    fields: CIMultiDict[str],
    body: bytes,
) -> web.StreamResponse:
    if request.method == "HEAD" or answer.status in _EMPTY:
        return _begin(answer, fields)
    fields.popall("Content-Length", None)
    response = web.Response(
        status=answer.status, reason=answer.reason, headers=fields, body=body
    )
    response[UPSTREAM_SERVER] = fields.get("Server", "")
    return response


def _begin(
    answer: aiohttp.ClientResponse, fields: CIMultiDict[str]
) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=fields
    )
    response[UPSTREAM_SERVER] = fields.get("Server", "")
    return response


async def _pump(
    answer: aiohttp.ClientResponse, response: web.StreamResponse, start: bytes
) -> None:
    if start:
        await response.write(start)
    while True:
        with translated():
            piece = await answer.content.readany()
        if not piece and answer.content.at_eof():
            return
        await response.write(piece)
