"""A server on the loopback that behaves as Microsoft documents Graph and its login.

Only the documented is believed: each log knows the operators that its page names, is
asked for nothing older than it keeps, and takes a link back exactly as it gave it.
Tokens end.
"""

import itertools
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeAlias

from aiohttp import web

from provlog.merkle.encoding import format_time, parse_time
from provlog.server.intake.times import normalise_time
from support.entra import USER, audited, provisioned
from support.graph_faults import GraphFaults, error, say
from support.services import now_ms

SECRET = "q8Q~the-secret-of-an-application"
CLIENT = "40000000-0000-4000-8000-000000000004"
TENANT = "acme.example"
PROVISIONING = "/v1.0/auditLogs/provisioning"
AUDITS = "/v1.0/auditLogs/directoryAudits"
DAY = 86_400_000
Fault: TypeAlias = Callable[
    [web.Request, web.Response], web.StreamResponse | Awaitable[web.StreamResponse]
]
_OPERATORS = {PROVISIONING: "eq|gt|lt", AUDITS: "eq|ge|le"}
_PARAMETERS = {"$filter", "$orderby", "$top", "$skiptoken"}
_serial = itertools.count(1)


def audit_bytes(time: int | str, **members: Any) -> bytes:  # noqa: ANN401
    """Return a record of the audit log, with an id of its own unless one is given."""
    members.setdefault("id", f"Directory_{next(_serial):06}")
    return json.dumps(audited(USER, activityDateTime=_date(time), **members)).encode()


def provisioning_bytes(time: int | str, **members: Any) -> bytes:  # noqa: ANN401
    """Return a record of the provisioning log, as `audit_bytes` does."""
    members.setdefault("id", f"70000000-0000-4000-8000-{next(_serial):012}")
    return json.dumps(provisioned(activityDateTime=_date(time), **members)).encode()


def _date(time: int | str) -> str:
    # Graph has seven digits of a second.
    return time if isinstance(time, str) else f"{format_time(time)[:-1]}0000Z"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a log that was made, and how it was answered."""

    path: str
    query: dict[str, str]
    authorization: str | None
    status: int


@dataclass
class FakeGraph(GraphFaults):
    """One tenant's logs, and what goes wrong with its next answers.

    `skew` is how far its clock is ahead of ours, `page` the most records it gives at a
    time, `faults` are the names of `fault_*` methods, one for each coming request to a
    log, None for a good answer. `lifetime` is of tokens, in seconds, as it is told.
    """

    page: int = 1000
    skew: int = 0
    keeps: int = 30
    lifetime: int = 3599
    secret: str = SECRET
    logs: dict[str, list[bytes]] = field(
        default_factory=lambda: {PROVISIONING: [], AUDITS: []}
    )
    faults: deque[str | None] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    foreign: list[str | None] = field(default_factory=list)
    on_page: Callable[[int], Awaitable[None]] | None = None

    def now(self) -> int:
        """Return Graph's own time in Unix milliseconds."""
        return now_ms() + self.skew

    @property
    def records(self) -> list[bytes]:
        """Every record there is, of both logs."""
        return [record for log in self.logs.values() for record in log]

    def end_tokens(self) -> None:
        """Take no token any more that was handed out before."""
        self.granted = [f"ended {token}" for token in self.granted]

    async def token(self, request: web.Request) -> web.Response:
        """Answer the request for a token."""
        form = dict(await request.post())
        expected = {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": self.secret,
            "scope": f"{self.url}/.default",
        }
        if form != expected or request.headers.get("Authorization") is not None:
            self.refused.append(401)
            return web.json_response({"error": "invalid_client"}, status=401)
        self.granted.append(f"eyJ0.{next(_serial)}.x")
        return web.json_response(
            {
                "token_type": "Bearer",
                "expires_in": self.lifetime,
                "ext_expires_in": self.lifetime,
                "access_token": self.granted[-1],
            }
        )

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to one of the logs."""
        fault = self.faults.popleft() if self.faults else None
        answer = await self._answer(request, fault)
        authorization = request.headers.get("Authorization")
        self.asked.append(
            Asked(request.path, dict(request.query), authorization, answer.status)
        )
        return answer

    async def anything(self, request: web.Request) -> web.Response:
        """Take what should never arrive: a request for something else."""
        self.foreign.append(request.headers.get("Authorization"))
        return web.Response(text='{"value": []}')

    async def _answer(
        self, request: web.Request, fault: str | None
    ) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.granted:
            return error(401, "InvalidAuthenticationToken")
        try:
            found, after = self._find(request)
        except ValueError:
            return error(400, "BadRequest")
        if self.on_page is not None:
            await self.on_page(len(found))
        answer = self._page(request, found, after)
        if fault is None:
            return answer
        make: Fault = getattr(self, f"fault_{fault}")
        changed = make(request, answer)
        return changed if isinstance(changed, web.StreamResponse) else await changed

    def _find(self, request: web.Request) -> tuple[list[bytes], int | None]:
        """Return a page's records, and where the next one begins."""
        if not set(request.query) <= _PARAMETERS:
            raise ValueError("no such parameter")
        begin = 0
        if "$skiptoken" in request.query:
            path, begin = self.links[request.rel_url.raw_query_string]
            if path != request.path:
                raise ValueError("a link of another log")
        top = int(request.query.get("$top", "1000"))
        if top < 1 or request.query.get("$orderby") != "activityDateTime asc":
            raise ValueError("no such page, or order")
        found = self.filtered(request.path, request.query["$filter"])
        end = begin + min(top, self.page)
        return found[begin:end], end if end < len(found) else None

    def filtered(self, path: str, text: str) -> list[bytes]:
        """Return what a filter leaves of a log; `ValueError` for an unknown one."""
        parts = re.fullmatch(rf"activityDateTime ({_OPERATORS[path]}) (\S+Z)", text)
        if parts is None:
            raise ValueError("no such filter")
        first = parse_time(parts[2])
        if first < (self.now() // DAY - self.keeps) * DAY:
            raise ValueError("asked for what is kept no longer")
        least = first + (parts[1] == "gt")
        dates = [(_time(record), record) for record in self.logs[path]]
        dates.sort(key=lambda each: each[0])
        return [record for time, record in dates if time >= least]

    def _page(
        self, request: web.Request, records: Sequence[bytes], after: int | None
    ) -> web.Response:
        answer = web.Response(content_type="application/json")
        answer.headers["Date"] = formatdate(self.now() / 1000, usegmt=True)
        link = None if after is None else self.link(request, after)
        say(answer, records, link)
        return answer

    def link(self, request: web.Request, after: int) -> str:
        """Return a link to where the next page begins."""
        names = {
            name: value for name, value in request.query.items() if name != "$skiptoken"
        }
        text = "&".join(f"{name}={_quoted(value)}" for name, value in names.items())
        # Signs that have to survive the way back.
        query = f"{text}&$skiptoken=%2b%2F%3d%26_{next(_serial)}"
        self.links[query] = (request.path, after)
        return f"{self.url}{request.path}?{query}"


def _time(record: bytes) -> int:
    text = json.loads(record)["activityDateTime"]
    return parse_time(normalise_time(text))


def _quoted(value: str) -> str:
    return value.replace(" ", "%20")


@asynccontextmanager
async def fake_graph(kind: type[FakeGraph] = FakeGraph) -> AsyncIterator[FakeGraph]:
    """Run a fake Graph on a free port, and another server that nobody should ask."""
    graph = kind()
    app, other = web.Application(), web.Application()
    app.router.add_post(f"/{TENANT}/oauth2/v2.0/token", graph.token)
    for path in graph.logs:
        app.router.add_get(path, graph.log)
    app.router.add_route("*", "/{tail:.*}", graph.anything)
    other.router.add_route("*", "/{tail:.*}", graph.anything)
    runners = [
        web.AppRunner(each, access_log=None, shutdown_timeout=0.2)
        for each in (app, other)
    ]
    try:
        graph.url, graph.elsewhere = [await _start(runner) for runner in runners]
        yield graph
    finally:
        graph.ended.set()
        for runner in runners:
            await runner.cleanup()


async def _start(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
