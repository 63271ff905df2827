"""The witness on HTTP: what logs ask it, and what anybody may read."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from aiohttp import hdrs, web

from provlog.merkle.witness_messages import SIZE_MEDIA_TYPE
from provlog.server.errors import (
    ConfigurationError,
    OverloadedError,
    UnavailableError,
    describe,
)
from provlog.server.http.connections import ConnectionRunner, protocol_logger
from provlog.server.http.context import SETTINGS, HttpSettings
from provlog.server.http.gate import make_gate, set_headers
from provlog.server.http.problems import Problem
from provlog.server.http.requests import read_body
from provlog.server.http.responses import json_response
from provlog.server.http.unmatched import add_routes
from provlog.server.metrics import Metrics
from provlog.server.storage.base import StorageError
from provlog.server.witness.cosigning import Witness
from provlog.server.witness.figures import CALLS, MOST_LABELS
from provlog.server.witness.judging import Refusal
from provlog.server.witness.subtrees import Answer

logger = logging.getLogger(__name__)

WITNESS: Final = web.AppKey("witness", Witness)
TEXT: Final = "text/plain; charset=utf-8"
MOST_BODY: Final = 512 * 1024
"""Bytes of a request: a checkpoint with a hundred signatures of ML-DSA-44 has fewer."""
MOST_BODIES: Final = 256 * MOST_BODY
BODY_SECONDS: Final = 10.0
TEND_SECONDS: Final = 1.0

_SLUGS: Final[Mapping[int, str]] = {
    400: "malformed",
    403: "forbidden",
    404: "not-found",
    422: "invalid-request",
    429: "rate-limited",
}


class _Room:
    """How many bytes of bodies there is room for at a time.

    What a request says it sends counts from its beginning: whoever sends much slowly
    takes no more room than that, and whoever sends little takes little.
    """

    def __init__(self, free: int) -> None:
        self._free = free

    @contextlib.contextmanager
    def taken(self, length: int | None) -> Iterator[None]:
        """Hold room for a body; `OverloadedError` where there is none."""
        size = MOST_BODY if length is None else min(length, MOST_BODY)
        if size > self._free:
            raise OverloadedError("too many requests are in hand")
        self._free -= size
        try:
            yield
        finally:
            self._free += size


_ROOM: Final = web.AppKey("room", _Room)


def create_witness_app(
    witness: Witness, metrics: Metrics, settings: HttpSettings | None = None
) -> web.Application:
    """Return the application of a witness, which the caller keeps open."""
    chosen = replace(settings or HttpSettings(), body_seconds=BODY_SECONDS)
    app = web.Application(middlewares=[make_gate(metrics, chosen)])
    app[WITNESS] = witness
    app[SETTINGS] = chosen
    app[_ROOM] = _Room(MOST_BODIES)
    app.on_response_prepare.append(set_headers)
    add_routes(
        app,
        [
            web.post("/add-checkpoint", _add_checkpoint),
            web.post("/sign-subtree", _sign_subtree),
            web.get("/{hash:[0-9a-f]{64}}/checkpoint", _get_checkpoint),
            web.get("/logs", _get_logs),
            web.get("/healthz", _get_health),
            web.get("/", _get_page),
        ],
    )
    return app


def create_witness_runner(
    app: web.Application, metrics: Metrics, *, shutdown_timeout: float
) -> ConnectionRunner:
    """Return a runner that logs nothing of what was sent."""
    return ConnectionRunner(
        app,
        app[SETTINGS].connections,
        metrics,
        "witness",
        shutdown_timeout=shutdown_timeout,
        access_log=None,
        auto_decompress=False,
        logger=protocol_logger(),
    )


async def tend(witness: Witness) -> None:
    """Take up changed lists and keys each second, for ever.

    What stands in the way is written to the log once.
    """
    said = ""
    while True:
        wrong = ""
        try:
            await witness.refresh()
            witness.figures.logs.set(len(witness.roll.known()))
            witness.figures.lists_broken.set(witness.roll.broken)
        except (ConfigurationError, StorageError) as error:
            wrong = str(error)
        except Exception as error:
            wrong = f"lists and keys are not looked at: {describe(error)}"
        if wrong and wrong != said:
            logger.error("%s; what was known before holds", wrong)
        said = wrong
        await asyncio.sleep(TEND_SECONDS)


def shown_heads(witness: Witness) -> dict[str, tuple[int, int]]:
    """Return size and time of heads by origin, for the metrics: none if unreadable."""
    try:
        rows = witness.store.sizes(MOST_LABELS)
    except StorageError:
        return {}
    return {origin: (size, time) for origin, size, time in rows}


async def _add_checkpoint(request: web.Request) -> web.Response:
    return await _cosign(request, CALLS[0], request.app[WITNESS].add_checkpoint)


async def _sign_subtree(request: web.Request) -> web.Response:
    return await _cosign(request, CALLS[1], request.app[WITNESS].sign_subtree)


async def _cosign(
    request: web.Request, call: str, ask: Callable[[bytes], Awaitable[Answer]]
) -> web.Response:
    figures = request.app[WITNESS].figures
    try:
        with request.app[_ROOM].taken(request.content_length):
            answer = await ask(await read_body(request, MOST_BODY))
        response = _response(answer)
    except Problem as problem:
        figures.answered(call, problem.status)
        raise
    except (UnavailableError, StorageError):
        figures.answered(call, 503)
        raise
    figures.answered(call, response.status)
    return response


def _response(answer: Answer) -> web.Response:
    """Return what tlog-witness says for an answer; other refusals are problems."""
    if not isinstance(answer, Refusal):
        return _text(answer)
    if answer.status == 409:
        body = f"{answer.size}\n".encode()
        return web.Response(
            status=409, body=body, headers={hdrs.CONTENT_TYPE: SIZE_MEDIA_TYPE}
        )
    headers: dict[str, str] = {}
    if answer.status == 429:
        headers[hdrs.RETRY_AFTER] = str(math.ceil(answer.seconds))
    raise Problem(_SLUGS[answer.status], answer.detail, headers=headers)


async def _get_checkpoint(request: web.Request) -> web.Response:
    """Return the newest cosigned checkpoint (tlog-witness, monitor retrieval)."""
    head = request.app[WITNESS].store.head_by_hash(request.match_info["hash"])
    if head is None:
        raise Problem("not-found", "no checkpoint of such a log was cosigned here")
    return _text(head.cosigned.decode())


async def _get_logs(request: web.Request) -> web.Response:
    """Return the logs that are known, as a tlog-list."""
    return _text(request.app[WITNESS].roll.listing())


async def _get_health(_: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def _get_page(request: web.Request) -> web.Response:
    """Return a page for people who want to know what this is."""
    witness = request.app[WITNESS]
    lines = [
        f"{witness.name} is a witness of transparency logs (c2sp.org/tlog-witness).",
        "",
        "Verifier keys:",
        *(f"  {vkey}" for vkey in witness.vkeys()),
        "",
        "POST /add-checkpoint  cosigns what extends what it knows; for logs",
        "POST /sign-subtree  cosigns parts of what it cosigned",
        "GET /<SHA-256 of the origin>/checkpoint  the newest that it cosigned",
        "GET /logs  the logs it knows (c2sp.org/tlog-list)",
        "",
    ]
    return _text("\n".join(lines))


def _text(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers={hdrs.CONTENT_TYPE: TEXT})
