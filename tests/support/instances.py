"""A whole instance in a temporary folder: one log, tokens for all roles, HTTP."""

import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import apsw
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient
from yarl import URL

from provlog.merkle.trust import Trust
from provlog.server.clock import Clock
from provlog.server.http.app import HttpSettings, create_app, create_runner
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance
from provlog.server.intake.cloudevents import BATCH
from provlog.server.log import Log
from provlog.server.queueing import QueueLimits
from provlog.server.registry import store_tokens
from provlog.server.service import Service
from provlog.server.storage.base import LogRecord
from provlog.server.storage.sqlite import SqliteStorage
from provlog.server.tokens import MintedToken, mint_token
from support.api_contract import ApiContract
from support.events import event_json

ORIGIN = "log.example.com/main"
SOURCE = "urn:okta:acme"
Client: TypeAlias = "TestClient[web.Request, None]"


@dataclass(frozen=True, slots=True)
class Made:
    """An initialised folder, its first log `main`, and the tokens' texts by role.

    There is a token for each role, and one for `submitter+auditor`; the admin's reaches
    all logs, the others `main`. The submitters may write the sources given.
    """

    instance: Instance
    record: LogRecord
    tokens: Mapping[str, str]

    @property
    def trust(self) -> Trust:
        """What a client was told about the log."""
        return Trust.from_log_key(self.record.log_key)


async def make_instance(
    folder: Path, *, public: bool = False, sources: Iterable[str] = (SOURCE,)
) -> Made:
    """Return a new instance below `folder`, guard and all."""
    now = Clock().now()
    allowed = tuple(sources)
    made = await initialise(
        Place(folder / "instance", folder / "guard"),
        origin=ORIGIN,
        sources=allowed,
        now=now,
        public=public,
    )
    minted = _mint(made.log.id, allowed, now)
    storage = SqliteStorage(made.instance.database)
    await store_tokens(
        storage, made.log.id, tuple(token.record for token in minted.values())
    )
    await storage.close()
    texts = {name: token.text for name, token in minted.items()}
    return Made(made.instance, made.log, texts)


def _mint(log: int, sources: tuple[str, ...], now: int) -> dict[str, MintedToken]:
    minted = {
        role: mint_token(logs=[log], roles=[role], now=now)
        for role in ("monitor", "auditor", "privacy")
    }
    minted["admin"] = mint_token(logs=None, roles=["admin"], now=now)
    for roles in ("submitter", "submitter+auditor"):
        minted[roles] = mint_token(
            logs=[log], roles=roles.split("+"), sources=sources, now=now
        )
    return minted


class RunnerServer(BaseTestServer):
    """A test server that runs an application as `serve` does."""

    def __init__(self, app: web.Application) -> None:
        super().__init__()
        self.app = app

    async def _make_runner(self, **_: object) -> web.AppRunner:
        return create_runner(self.app, shutdown_timeout=5.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that has been read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401
        """Return the body's JSON."""
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """Return the slug of the problem that the answer is."""
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = self.json()
        assert problem["status"] == self.status
        return str(problem["type"]).removeprefix("urn:provlog:problem:")


@dataclass(frozen=True, slots=True)
class Served:
    """An instance that is served, and a client of it."""

    made: Made
    service: Service
    log: Log
    app: web.Application
    client: Client

    def bearer(self, role: str) -> dict[str, str]:
        """Return the headers that present a role's token."""
        return {"Authorization": f"Bearer {self.made.tokens[role]}"}

    async def post(
        self,
        body: object,
        *,
        role: str = "submitter",
        media_type: str = "application/cloudevents+json",
        query: str = "",
        path: str = "/logs/main/events",
    ) -> Reply:
        """Return the reply to a POST: of bytes as they are, or of a value as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**self.bearer(role), "Content-Type": media_type}
        sent = io.BytesIO(data)  # aiohttp warns of long bodies that are bytes
        async with self.client.post(path + query, data=sent, headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def batch(self, events: Sequence[object], **options: str) -> Reply:
        """Return the reply to a batch of events."""
        return await self.post(events, media_type=BATCH, **options)

    async def get(
        self, path: str, *, role: str | None = "monitor", accept: str = "*/*"
    ) -> Reply:
        """Return the reply to a GET below the log `main`, or of an absolute path."""
        headers = {"Accept": accept, **(self.bearer(role) if role else {})}
        url = path if path.startswith("/") else f"/logs/main/{path}"
        async with self.client.get(URL(url, encoded=True), headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def fill(self, size: int) -> None:
        """Append events until the log has `size` entries."""
        while (missing := size - self.log.released.size) > 0:
            first = self.log.released.size
            ids = range(first, first + min(missing, 1000))
            reply = await self.batch([event_json(id=f"filler-{each}") for each in ids])
            assert reply.status == 200

    def execute(self, statement: str, *values: int) -> None:
        """Run a statement on the database, behind the service's back."""
        connection = apsw.Connection(str(self.made.instance.database))
        connection.execute(statement, values)
        connection.close()


@asynccontextmanager
async def served(
    folder: Path,
    *,
    public: bool = False,
    sources: Iterable[str] = (SOURCE,),
    settings: HttpSettings | None = None,
    limits: QueueLimits | None = None,
) -> AsyncIterator[Served]:
    """Make an instance and serve it on a free port of the loopback.

    Every answer has to be one that the API's description announces.
    """
    made = await make_instance(folder, public=public, sources=sources)
    async with serving(made, settings, limits) as running:
        yield running


@asynccontextmanager
async def serving(
    made: Made,
    settings: HttpSettings | None = None,
    limits: QueueLimits | None = None,
) -> AsyncIterator[Served]:
    """Serve an instance that is there, as `served` does."""
    async with Service.of(made.instance, limits) as service:
        log = await service.log("main")
        assert log is not None
        app, contract = create_app(service, settings), ApiContract()
        app.middlewares.insert(0, contract.middleware())
        client: Client
        async with TestClient(RunnerServer(app)) as client:
            yield Served(made, service, log, app, client)
        assert contract.violations == []
