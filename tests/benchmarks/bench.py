"""First figures of the service: `make bench`.

A real server in its own process, full flush, load generator on the same machine. The
scenarios are interleaved, `--rounds` times, and the median of the rounds is printed;
sampled receipts are verified. Figures of different machines or days do not compare.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import Load, run_load
from provlog.merkle.receipts import verify_receipt
from support.servers import Server

SOURCE = "urn:okta:bench"
BATCH = 1000
STAGES = (
    "parse",
    "draft",
    "leaf",
    "tree",
    "store",
    "commit",
    "sign",
    "answer",
    "encode",
)
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


@dataclass
class Figures:
    """What one scenario gave: medians of its rounds, latencies in milliseconds.

    `stages_us` is microseconds per event in each stage, in the round of median rate.
    """

    scenario: str
    connections: int
    unit: str
    rate: float
    slowest: float
    fastest: float
    p50_ms: float
    p99_ms: float
    verified: int
    stages_us: dict[str, float]


def check_samples(server: Server, scenario: Scenario, load: Load) -> int:
    """Verify sampled receipts and return how many."""
    if load.failures:
        raise SystemExit(f"{load.failures} answers with another status")
    if scenario.request is not single:
        return 0
    for body in load.samples:
        verify_receipt(body, server.trust)
    return len(load.samples)


def profile(
    before: dict[str, float], after: dict[str, float], events: int
) -> dict[str, float]:
    """Return microseconds per event (or proof) in each stage."""
    stages = {}
    for stage in STAGES:
        name = f'provlog_stage_seconds_sum{{stage="{stage}"}}'
        spent = after.get(name, 0.0) - before.get(name, 0.0)
        if spent:
            stages[stage] = round(spent / events * 1e6, 1)
    return stages


async def measure(server: Server, scenario: Scenario, seconds: float) -> Figures:
    """Run one scenario once."""
    before = server.metrics()
    load = await run_load(
        server.address,
        scenario.connections,
        seconds,
        scenario.request(server),
        expected=scenario.expected,
        sample_every=50,
    )
    rate = load.rate * scenario.weight
    return Figures(
        scenario.name,
        scenario.connections,
        scenario.unit,
        rate,
        rate,
        rate,
        load.percentile(0.5),
        load.percentile(0.99),
        check_samples(server, scenario, load),
        profile(before, server.metrics(), len(load.latencies) * scenario.weight),
    )


async def run_all(server: Server, rounds: int, seconds: float) -> list[Figures]:
    """Run every scenario `rounds` times, interleaved, and return the medians."""
    # The released size is read from a gauge that is set once a second.
    await run_load(server.address, 4, max(seconds / 4, 1.2), single(server))
    results: list[list[Figures]] = [[] for _ in SCENARIOS]
    for number in range(rounds):
        for runs, scenario in zip(results, SCENARIOS, strict=True):
            title = f"{scenario.name}, {scenario.connections} connections"
            print(f"round {number + 1} of {rounds}: {title}", file=sys.stderr)
            runs.append(await measure(server, scenario, seconds))
    return [summarise(runs) for runs in results]


def summarise(runs: list[Figures]) -> Figures:
    """Return the medians of one scenario's rounds, and the range of its rate."""
    ordered = sorted(runs, key=lambda run: run.rate)
    middle = ordered[len(ordered) // 2]
    return Figures(
        middle.scenario,
        middle.connections,
        middle.unit,
        round(middle.rate),
        round(ordered[0].rate),
        round(ordered[-1].rate),
        round(statistics.median(run.p50_ms for run in runs), 2),
        round(statistics.median(run.p99_ms for run in runs), 2),
        sum(run.verified for run in runs),
        middle.stages_us,
    )


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "sqlite": apsw.sqlite_lib_version(),
        "durability": "WAL, synchronous=FULL: flushed before every answer",
    }


def show(results: list[Figures]) -> None:
    """Print the figures, and what each stage costs in microseconds per event."""
    titles = ("per second", "slowest", "fastest", "p50 ms", "p99 ms")
    print(f"{'load':<18}{'conns':>6}" + "".join(f"{title:>12}" for title in titles))
    for row in results:
        print(
            f"{row.scenario:<18}{row.connections:>6}"
            f"{row.rate:>12,}{row.slowest:>12,}{row.fastest:>12,}"
            f"{row.p50_ms:>12}{row.p99_ms:>12}"
        )
    print("\nmicroseconds per event in each stage ('commit' is waiting for the flush)")
    print(f"{'load':<18}{'conns':>6}" + "".join(f"{stage:>8}" for stage in STAGES))
    for row in results:
        cells = "".join(f"{row.stages_us.get(stage, '-'):>8}" for stage in STAGES)
        print(f"{row.scenario:<18}{row.connections:>6}{cells}")


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server.init(Path(folder))
        with server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results = runner.run(run_all(server, options.rounds, options.seconds))
            entries = int(server.metrics()['provlog_log_size{log="main"}'])
    print(f"\n{entries:,} entries; every sampled receipt verified\n")
    show(results)
    if options.json is not None:
        options.json.write_text(
            json.dumps(
                {"machine": machine(), "results": [asdict(row) for row in results]},
                indent=2,
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
