"""A small log on loopback that answers truly, or with one lie told on purpose.

It is built from `provlog.merkle` and from the server's own connectors and split of
events, so that what the client accepts is what the server makes. `fault` replaces whole
answers before anything happens, `rewrite` changes an answer in JSON, `served_size`
serves an old head, and `tampered` holds tiles and bundles that are served in place of
the true ones, or not at all; a `fork` shares the first entries and the key and then
goes its own way.
"""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.consistency import build_consistency
from provlog.merkle.disclosures import disclosure_digest, make_disclosure
from provlog.merkle.edge import Growth, RightEdge
from provlog.merkle.encoding import (
    JsonValue,
    encode_base64,
    encode_base64url,
    loads_json,
)
from provlog.merkle.entries import build_entry, event_template
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import build_inclusion
from provlog.merkle.keys import SigningKey
from provlog.merkle.labels import entry_id, epoch_key_commitment, id_key_commitment
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof
from provlog.merkle.receipts import receipt_json
from provlog.merkle.tiles import parse_path
from provlog.merkle.trust import Trust
from provlog.server.intake.connectors import CONNECTORS, events_of
from provlog.server.intake.draft import variant_id
from provlog.server.intake.event import Event, EventError, parse_event
from provlog.server.intake.members import split_members
from support.tiled_logs import part_data

ORIGIN = "log.example/main"
SEED = bytes(range(32))
NOW = "2026-11-21T17:53:56.001Z"
NS = "urn:ns:acme"

Json = dict[str, JsonValue]
Answer = web.Response | None
Fault = Callable[[web.Request], Answer | Awaitable[Answer]]


def suites() -> Json:
    """Return the suites of a log with HMAC labels."""
    return {"1": 1, "2": 1, "7": 1}


class LyingLog:
    """One log: its entries in memory, and the lies it tells."""

    def __init__(self, *, seed: bytes = SEED, origin: str = ORIGIN) -> None:
        self.key = SigningKey.from_seed(origin, seed)
        self.origin = origin
        self.leaves: list[bytes] = []
        self.disclosures: list[list[str]] = []
        self.ids: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.faults: deque[Fault] = deque()
        self.rewrite: Callable[[str, Json], None] = lambda path, body: None
        self.served_size: int | None = None
        self.tampered: dict[str, bytes | None] = {}
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self._add(self._params(), [])

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return self.key.verifier().vkey()

    @property
    def trust(self) -> Trust:
        """What a client of this log believes in."""
        return Trust.from_log_key(self.vkey)

    def paths(self) -> list[str]:
        """Return method and last parts of each request's path, in their order."""
        return [
            f"{each.method} {each.path.removeprefix('/logs/main/')}"
            for each in self.requests
        ]

    def fork(self) -> "LyingLog":
        """Return a log that has all entries of this one and its key."""
        twin = LyingLog(origin=self.origin)
        twin.key = self.key
        twin.leaves = list(self.leaves)
        twin.disclosures = list(self.disclosures)
        twin.ids = dict(self.ids)
        return twin

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves."""
        return self.tree(size).root

    def tree(self, size: int) -> Growth:
        """Return the tree of the first `size` leaves with all its nodes."""
        return RightEdge.empty().grow([leaf_hash(each) for each in self.leaves[:size]])

    def note(self, size: int | None = None) -> bytes:
        """Return the signed checkpoint of the first `size` leaves."""
        size = len(self.leaves) if size is None else size
        text = Checkpoint(self.origin, size, self.root(size)).text()
        return sign_note(text, [self.key])

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of a leaf."""
        return build_inclusion(index, size, self.tree(size).nodes)

    def receipt(self, index: int, size: int | None = None) -> Json:
        """Return the receipt of an entry."""
        size = len(self.leaves) if size is None else size
        proof = format_proof(index, self.inclusion(index, size), self.note(size))
        return receipt_json(
            self.origin, index, self.leaves[index], self.disclosures[index], proof
        )

    def append(self, value: JsonValue, ns: str = NS) -> tuple[int, int]:
        """Log one event; return the HTTP status and its index."""
        return self.append_event(parse_event(value, now_ms=0), ns)

    def append_event(self, event: Event, ns: str = NS) -> tuple[int, int]:
        """Log a parsed event; a record under a taken id gets one of its own."""
        known = self.ids.get((event.source, event.id))
        if known is not None:
            index, comparison = known
            if comparison == event.comparison():
                return 200, index
            if event.raw_digest is None or "~" in event.id:
                raise EventError(409, "the id is taken by another event")
            variant = variant_id(event.id, event.raw_digest[:8])
            return self.append_event(replace(event, id=variant), ns)
        members = split_members(event, ns, {"token": "t1"})
        index = self.append_members(event, members)
        self.ids[event.source, event.id] = index, event.comparison()
        return 201, index

    def append_members(self, event: Any, members: Json) -> int:  # noqa: ANN401
        """Log an entry of these members, be they the event's or not."""
        texts = [
            make_disclosure(f"{len(self.leaves):08}{name:>8}".encode(), name, value)
            for name, value in members.items()
        ]
        digests = dict(zip(members, map(disclosure_digest, texts), strict=True))
        template = event_template(
            entry_id=encode_base64url(entry_id(SEED, event.source, event.id)),
            members=digests,
            source=event.source,
            tags=[],
            time=event.time,
            type=event.type,
            seq=event.seq,
        )
        return self._add(template.finish(1, self._count(), NOW), texts)

    def _count(self) -> int:
        """Return the number of events: all entries but the first."""
        return len(self.leaves) - 1

    def _add(self, leaf: bytes, disclosures: list[str]) -> int:
        self.leaves.append(leaf)
        self.disclosures.append(disclosures)
        return len(self.leaves) - 1

    def _params(self) -> bytes:
        return build_entry(
            "params",
            epoch=1,
            n=0,
            recorded=NOW,
            body={
                "origin": self.origin,
                "log_key": self.vkey,
                "leaf_versions": [1],
                "map_version": 1,
                "lateness_ms": 0,
                "suites": suites(),
                "commit_e": encode_base64url(epoch_key_commitment(1, SEED)),
                "commit_id": encode_base64url(id_key_commitment(SEED)),
            },
        )

    def app(self) -> web.Application:
        """Return the log as a web application."""
        app = web.Application(middlewares=[self._meddle], client_max_size=64 << 20)
        base = "/logs/main"
        app.router.add_post(f"{base}/events", self._post)
        app.router.add_get(f"{base}/checkpoint", self._checkpoint)
        app.router.add_get(f"{base}/entries/{{index}}", self._entry)
        app.router.add_get(f"{base}/entries", self._lookup)
        app.router.add_get(f"{base}/{{path:tile/.+}}", self._tile)
        app.router.add_get(f"{base}/proofs/inclusion", self._inclusion)
        app.router.add_get(f"{base}/proofs/consistency", self._consistency)
        return app

    @web.middleware
    async def _meddle(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self.faults:
            answer = self.faults.popleft()(request)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is not None:
                return answer
        result: web.StreamResponse = await handler(request)
        return result

    def _json(self, path: str, body: Json, status: int = 200) -> web.Response:
        self.rewrite(path, body)
        return web.json_response(body, status=status)

    async def _post(self, request: web.Request) -> web.Response:
        data = await request.read()
        if "format" in request.query:
            try:
                events = connect(data, request.query["source"], request.query["format"])
                return self._batch(events)
            except EventError as error:
                return web.json_response(_problem(error), status=error.status)
        value = loads_json(data)
        if isinstance(value, list):
            return self._batch(value)
        try:
            status, index = self.append(value)
        except EventError as error:
            return web.json_response(_problem(error), status=error.status)
        body = self.receipt(index, self._size())
        return self._json("events", body, status)

    def _batch(
        self, events: Sequence["JsonValue | Event | EventError"]
    ) -> web.Response:
        outcomes: list[tuple[int, int] | EventError] = []
        for event in events:
            try:
                if isinstance(event, EventError):
                    raise event
                if isinstance(event, Event):
                    outcomes.append(self.append_event(event))
                else:
                    outcomes.append(self.append(event))
            except EventError as error:
                outcomes.append(error)
        size = len(self.leaves)
        results = [self._result(outcome, size) for outcome in outcomes]
        body: Json = {
            "checkpoint": self.note().decode(),
            "origin": self.origin,
            "results": list(results),
        }
        return self._json("batch", body)

    def _result(self, outcome: tuple[int, int] | EventError, size: int) -> Json:
        if isinstance(outcome, EventError):
            return {"status": outcome.status, "problem": _problem(outcome)}
        status, index = outcome
        return {
            "status": status,
            "index": index,
            "leaf": encode_base64(self.leaves[index]),
            "disclosures": list(self.disclosures[index]),
            "hashes": [encode_base64(each) for each in self.inclusion(index, size)],
        }

    def _size(self) -> int:
        return len(self.leaves) if self.served_size is None else self.served_size

    async def _checkpoint(self, request: web.Request) -> web.Response:
        return web.Response(body=self.note(self._size()), content_type="text/plain")

    async def _entry(self, request: web.Request) -> web.Response:
        index = int(request.match_info["index"])
        if index >= len(self.leaves):
            return web.json_response({"detail": "no such entry"}, status=404)
        return self._json("entry", self.receipt(index))

    async def _lookup(self, request: web.Request) -> web.Response:
        index, _ = self.ids[request.query["source"], request.query["id"]]
        return self._json("entry", self.receipt(index))

    async def _tile(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        data = self.tampered.get(path)
        if path not in self.tampered:
            data = part_data(self.leaves[: self._size()], parse_path(path))
        if data is None:
            return web.json_response({"detail": "no such tile"}, status=404)
        return web.Response(body=data, content_type="application/octet-stream")

    async def _inclusion(self, request: web.Request) -> web.Response:
        index = int(request.query["index"])
        size = int(request.query.get("size", len(self.leaves)))
        body: Json = {
            "index": index,
            "size": size,
            "leaf_hash": encode_base64(leaf_hash(self.leaves[index])),
            "hashes": [encode_base64(each) for each in self.inclusion(index, size)],
        }
        if size == len(self.leaves):
            body["checkpoint"] = self.note().decode()
        return self._json("inclusion", body)

    async def _consistency(self, request: web.Request) -> web.Response:
        older, newer = int(request.query["from"]), int(request.query["to"])
        if newer > len(self.leaves):
            return web.json_response({"detail": "no such size"}, status=404)
        hashes = build_consistency(older, newer, self.tree(newer).nodes)
        body: Json = {
            "from": older,
            "to": newer,
            "hashes": [encode_base64(each) for each in hashes],
        }
        return self._json("consistency", body)


def cut_as_server(body: bytes, name: str = "okta") -> list[bytes]:
    """Return the records that a connector finds in a body, or raise `EventError`."""
    found: Any = CONNECTORS[name].parse(body)
    records: list[bytes] = []
    for each in found:
        records += [each] if isinstance(each, bytes) else each
    return records


def connect(body: bytes, source: str, name: str = "okta") -> list[Event]:
    """Return the events that a connector makes of a body, or raise `EventError`."""
    records = cut_as_server(body, name)
    return [
        event
        for record in records
        for event in events_of(CONNECTORS[name], record, source, 0)
    ]


def _problem(error: EventError) -> Json:
    problem: Json = {
        "type": "urn:provlog:problem:invalid-event",
        "title": "Invalid event",
        "status": error.status,
        "detail": error.detail,
    }
    if error.member is not None:
        problem["pointer"] = error.member
    return problem


class Served:
    """A running log: where it is, and which log it is at the moment."""

    def __init__(self, log: LyingLog) -> None:
        self.log = log
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: TestServer | None = None

    def start(self, port: int = 0) -> Self:
        """Start to answer."""
        if not self._thread.is_alive():
            self._thread.start()
        self._server = TestServer(self.log.app(), port=port or None)
        self._wait(self._server.start_server())
        return self

    @property
    def url(self) -> str:
        """The server's URL."""
        assert self._server is not None
        return str(self._server.make_url("/"))

    def switch(self, log: LyingLog) -> None:
        """Answer from another log, under the same URL."""
        assert self._server is not None
        port = self._server.port
        self._wait(self._server.close())
        self.log = log
        self.start(port or 0)

    def close(self) -> None:
        """Stop for good."""
        if self._server is not None:
            self._wait(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Any) -> None:  # noqa: ANN401
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def serving(log: LyingLog) -> Iterator[Served]:
    """Serve a log on loopback, in a thread of its own."""
    served = Served(log).start()
    try:
        yield served
    finally:
        served.close()


def event(**changes: JsonValue) -> Json:
    """Return an event with a person in every place."""
    whole: Json = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "urn:okta:acme",
        "type": "role.assign",
        "time": "2026-11-21T18:53:55.5169+01:00",
        "sequence": "17",
        "traceparent": "00-ab",
        "data": {
            "actor": {"id": "00u1", "type": "user", "name": "bob@example.com"},
            "target": {"id": "00u9", "ns": "urn:ns:other", "external_id": "E-1001"},
            "resource": {"type": "role", "id": "r-12", "expires": None},
            "changes": [{"op": "add", "path": "roles", "value": True}],
            "outcome": {"result": "success", "reason": None},
            "context": {"ticket": "CHG-1", "ip": "192.0.2.7"},
            "original": {"media_type": "application/json", "body": "{}"},
        },
    }
    return {**whole, **changes}
