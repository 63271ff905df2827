"""The loads that are measured: whole requests, each with events of its own."""

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from support.servers import Server

SOURCE = "urn:okta:bench"
BATCH = 1000
# Apart for each process that sends.
_ids = itertools.count(os.getpid() * 10**6)

EVENT = json.dumps(
    {
        "specversion": "1.0",
        "id": "%d",
        "source": SOURCE,
        "type": "role.assign",
        "time": "2026-11-21T17:53:55.516Z",
        "data": {
            "actor": {"id": "00u1a2b3c4", "type": "user", "name": "bob@example.com"},
            "target": {
                "id": "00u9z8y7x6",
                "type": "user",
                "name": "alice@example.com",
                "external_id": "E-1001",
            },
            "resource": {"type": "role", "id": "r-12", "name": "Billing Admin"},
            "changes": [{"op": "add", "path": "roles", "value": "Billing Admin"}],
            "outcome": {"result": "success"},
            "context": {"ticket": "CHG-1", "request_id": "a1b2c3", "reason": "joiner"},
        },
    }
)


@dataclass(frozen=True)
class Scenario:
    """One kind of load; `weight` is how many units one answer counts."""

    name: str
    unit: str
    connections: int
    weight: int
    expected: str
    request: Callable[[Server], Callable[[], bytes]]


def request_text(
    server: Server,
    method: str,
    path: str,
    role: str,
    body: bytes = b"",
    kind: str = "",
    log: str = "main",
) -> bytes:
    """Return a whole HTTP/1.1 request."""
    head = (
        f"{method} /logs/{log}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {server.tokens[role]}\r\n"
    )
    if body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def single(
    server: Server, log: str = "main", role: str = "submitter"
) -> Callable[[], bytes]:
    """Return a maker of requests with one new event each."""
    width, kind = 12, "application/cloudevents+json"
    body = (EVENT % 0).replace('"0"', f'"{"0" * width}"').encode()
    whole = request_text(server, "POST", "events", role, body, kind, log)
    before, after = whole.split(b"0" * width, 1)
    return lambda: b"%s%0*d%s" % (before, width, next(_ids), after)


def batch(
    server: Server, log: str = "main", role: str = "submitter"
) -> Callable[[], bytes]:
    """Return a maker of requests with a batch of new events each."""

    def make() -> bytes:
        body = "\n".join(EVENT % next(_ids) for _ in range(BATCH)).encode()
        kind = "application/x-ndjson"
        return request_text(server, "POST", "events", role, body, kind, log)

    return make


def proof(server: Server) -> Callable[[], bytes]:
    """Return a maker of requests for inclusion proofs all over the log."""
    size = int(server.metrics()['provlog_log_size{log="main"}'])
    places = itertools.count()
    return lambda: request_text(
        server,
        "GET",
        f"proofs/inclusion?index={next(places) * 7919 % size}",
        "monitor",
    )


SCENARIOS = (
    Scenario("single events", "receipts", 1, 1, "201", single),
    Scenario("single events", "receipts", 64, 1, "201", single),
    Scenario("single events", "receipts", 256, 1, "201", single),
    Scenario("batches of 1,000", "events", 2, BATCH, "200", batch),
    Scenario("inclusion proofs", "proofs", 16, 1, "200", proof),
)
