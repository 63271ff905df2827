"""Answers that are to hang a tool, to fill its memory, or to get at its token."""

import asyncio
import gzip
from collections.abc import AsyncIterator

from hostile.liar import Answer, BreakOffError, Telling, Telltale
from hostile.lie import ONLINE, Lie
from hostile.telling import always

_BOMB = gzip.compress(bytes(8 << 20))
_LONG = 30.0
"""For how long an answer is held back, in seconds: nobody here waits for that."""


async def _slow(telling: Telling) -> Answer | None:
    telling.met()
    await asyncio.sleep(_LONG)
    return Answer(200, b"")


async def _endless() -> AsyncIterator[bytes]:
    chunk = bytes(1 << 20)
    while True:
        yield chunk


async def _dripping() -> AsyncIterator[bytes]:
    """Never be silent for long, and never be done."""
    while True:
        yield b" "
        await asyncio.sleep(0.05)


async def _broken() -> AsyncIterator[bytes]:
    yield b'{"v":1,'
    raise BreakOffError


def _bomb() -> Answer:
    return Answer(200, _BOMB, {"Content-Encoding": "gzip"})


async def _redirecting(telling: Telling) -> Answer | None:
    # The same machine under another name: another host, to whom no token may go.
    port = telling.liar.url.rpartition(":")[2]
    return Answer(302, b"", {"Location": f"http://localhost:{port}/elsewhere"})


def _later() -> Answer:
    return Answer(503, b"", {"Retry-After": "999999999"})


TRANSPORT = (
    Lie(
        "slow",
        "answers slowly, or never",
        Telltale(_slow, hurried=True),
        "nobody",
        said={
            f"{ONLINE} compare": "no answer in time",
        },
    ),
    Lie(
        "dripping",
        "sends a byte now and then, for ever",
        Telltale(always(lambda: Answer(200, _dripping())), hurried=True),
        "nobody",
        said={
            f"{ONLINE} compare": "no answer in time",
        },
    ),
    Lie(
        "endless",
        "sends without end",
        Telltale(always(lambda: Answer(200, _endless()))),
        "who answered",
        caught={
            f"{ONLINE} compare": "answer: larger than … bytes",
        },
    ),
    Lie(
        "broken",
        "breaks off in the middle of an answer",
        Telltale(always(lambda: Answer(200, _broken()))),
        "nobody",
        said={
            f"{ONLINE} compare": "the connection broke",
        },
    ),
    Lie(
        "bomb",
        "sends a gzip bomb",
        Telltale(always(_bomb)),
        "who answered",
        caught={
            f"{ONLINE} compare": "answer: compressed, which was not asked for",
        },
    ),
    Lie(
        "redirect",
        "redirects to another host, to get the token",
        Telltale(_redirecting),
        "nobody",
        said={
            f"{ONLINE} compare": "the server redirects (HTTP status 302)",
        },
    ),
    Lie(
        "headers",
        "sends headers that are larger than all else",
        Telltale(always(lambda: Answer(200, b"", {"X-Filler": "x" * 100_000}))),
        "nobody",
        said={
            f"{ONLINE} compare": "not an answer in HTTP",
        },
    ),
    Lie(
        "later",
        "asks to be asked again in thirty years",
        Telltale(always(_later)),
        "nobody",
        said={
            f"{ONLINE} compare": "the server asks to come back later (HTTP 503)",
        },
    ),
    Lie(
        "failing",
        "fails whenever it is asked",
        Telltale(always(lambda: Answer(500, b""))),
        "nobody",
        said={
            f"{ONLINE} compare": "the server failed to answer (HTTP 500)",
        },
    ),
)
