"""What stands between a tool and a real server, and tells one lie at a time.

It passes every request on to the true server and may say something else instead. It
counts how often it did: a tool that was told nothing false has not met the lie.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import aiohttp
from aiohttp import web
from yarl import URL

from hostile.worlds import COSIGNED_AT, WITNESS, World

INDEX: Final = 5
Body: TypeAlias = bytes | AsyncIterator[bytes]
Note: TypeAlias = Callable[[bytes], bytes]
_PASSED = ("Authorization", "Content-Type", "Accept")


class BreakOffError(Exception):
    """Raised by the body of an answer that is to end before its end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: `path` is what stands below the log's URL, `log` the log's name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    log: str

    @property
    def what(self) -> str:
        """Return the first part of the path: `checkpoint`, `events` and so on."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: the true one, or what is said instead."""

    status: int
    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """The body of an answer that is no stream."""
        assert isinstance(self.body, bytes)
        return self.body

    def json(self) -> Any:  # noqa: ANN401
        """Return the JSON of the body, to be changed at will."""
        return json.loads(self.data)

    def saying(self, value: object) -> "Answer":
        """Return the answer with this JSON, or these bytes, as its body."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return Answer(self.status, body, self.headers)


class Telling:
    """One request that is about to be answered, and whom to ask for the truth."""

    def __init__(self, liar: "Liar", asked: Asked) -> None:
        self.asked = asked
        self.world = liar.world
        self.liar = liar
        self.true: Answer | None = None

    @property
    def lie(self) -> "Telltale":
        """The lie that is told."""
        return self.liar.lie

    def met(self) -> None:
        """Count the true answer as a lie: one stands in what it is about."""
        self.liar.told += 1

    async def truth(self) -> Answer:
        """Return the true server's answer, which is asked for once."""
        if self.true is None:
            self.true = await self.ask(self.asked)
        return self.true

    async def ask(self, asked: Asked, server: str = "truth") -> Answer:
        """Return what a server answers to a request, be it the one at hand or not.

        Where the lie is told to a tool with a policy, its witness has cosigned it.
        """
        answer = await self.liar.pass_on(asked, server)
        cosigned = answer.status in (200, 201) and self.liar.lie.cosigned
        return each_note(answer, asked, witnessed) if cosigned else answer


Tell: TypeAlias = Callable[[Telling], Awaitable[Answer | None]]


@dataclass(frozen=True, slots=True)
class Telltale:
    """How a lie is told: by what answers, of which log, and to whom.

    `tell` returns the answer to a request, None for the true one. `cosigned` gives the
    tool a policy with a witness, who cosigns what the true server says; `fresh` takes
    a tool that remembers nothing of the log, `taught` one that was told the truth once
    before, `hurried` one that waits for an answer no longer than `desk.HURRIED`.
    `index` is the entry that readers ask for, by source and id of its event if it is a
    `lookup`. With `records`, `submit` is given those of a provider. `handed` makes the
    file that `verify` is given instead of the receipt of that entry.
    """

    tell: Tell
    log: str = "main"
    cosigned: bool = False
    fresh: bool = False
    hurried: bool = False
    taught: bool = False
    index: int = INDEX
    lookup: bool = False
    records: bool = False
    handed: Callable[[World], bytes] | None = None


async def nothing(telling: Telling) -> Answer | None:
    return None


HONEST = Telltale(nothing)


class Liar:
    """An application that tells `lie` to whoever asks it.

    `told` counts how often, `sent` the bytes of answers without end, and `stolen` the
    requests that followed a redirect.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.lie = HONEST
        self.told = 0
        self.sent = 0
        self.stolen = 0
        self.url = ""
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Liar"]:
        """Answer on a free port of the loopback."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/logs/{log}/{path:.*}", self._answer)
        app.router.add_route("*", "/elsewhere", self._steal)
        # Nobody waits for the end of what a lie began.
        runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await runner.setup()
        try:
            async with aiohttp.ClientSession(auto_decompress=False) as self._session:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                self.url = f"http://127.0.0.1:{_port(runner)}"
                yield self
        finally:
            await runner.cleanup()

    async def pass_on(self, asked: Asked, server: str) -> Answer:
        """Return what a real server answers."""
        base = self.world.url(server)
        url = URL(f"{base}/logs/{asked.log}/{asked.path}", encoded=True)
        # The liar is the witness where there is one: the server is not to wait for it.
        query = {name: each for name, each in asked.query.items() if name != "wait"}
        assert self._session is not None
        async with self._session.request(
            asked.method,
            url.with_query(query),
            headers=asked.headers,
            data=asked.body or None,
        ) as answer:
            body = await answer.read()
            headers = {"Content-Type": answer.headers.get("Content-Type", "")}
            return Answer(answer.status, body, headers)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await _read(request)
        telling = Telling(self, asked)
        answer = await self.lie.tell(telling)
        if answer is None:
            answer = await telling.truth()
        elif answer != telling.true:
            self.told += 1
        return await self._send(request, answer)

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if isinstance(answer.body, bytes):
            return web.Response(
                status=answer.status, body=answer.body, headers=answer.headers
            )
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        # Whoever is told something endless hangs up at some point.
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            try:
                async for chunk in answer.body:
                    await response.write(chunk)
                    self.sent += len(chunk)
                await response.write_eof()
            except BreakOffError:
                assert request.transport is not None
                request.transport.abort()
        return response

    async def _steal(self, request: web.Request) -> web.StreamResponse:
        self.stolen += 1
        return web.Response()


def _port(runner: web.AppRunner) -> int:
    [(_, port, *_)] = runner.addresses
    return int(port)


async def _read(request: web.Request) -> Asked:
    headers = {
        name: request.headers[name] for name in _PASSED if name in request.headers
    }
    return Asked(
        request.method,
        # As it was sent: sources in paths are escaped.
        request.rel_url.raw_path.split("/", 3)[3],
        dict(request.query),
        headers,
        await request.read(),
        request.match_info["log"],
    )


def each_note(answer: Answer, asked: Asked, change: Note) -> Answer:
    """Return the answer with each checkpoint in it changed; they are what is signed."""
    if asked.what == "checkpoint":
        return answer.saying(change(answer.data))
    if asked.what not in ("events", "entries", "proofs"):
        return answer
    body = answer.json()
    if isinstance(body.get("checkpoint"), str):
        body["checkpoint"] = change(body["checkpoint"].encode()).decode()
    elif isinstance(body.get("proof"), str):
        head, _, note = body["proof"].partition("\n\n")
        body["proof"] = f"{head}\n\n{change(note.encode()).decode()}"
    else:
        return answer
    return answer.saying(body)


def witnessed(note: bytes) -> bytes:
    """Return a note with the witness's cosignature."""
    return WITNESS.cosign(note, COSIGNED_AT)
