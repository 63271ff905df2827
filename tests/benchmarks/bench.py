"""First figures of the service: `make bench`.

A real server in its own process for each engine, full flush, load generator and, where
there is one, PostgreSQL on the same machine. The scenarios are interleaved, the engines
within them, `--rounds` times, and the median of the rounds is printed; sampled receipts
are verified. Figures of different machines or days do not compare.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import apsw
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figures, profile, show, summarise
from benchmarks.load import Load, run_load
from benchmarks.scenarios import SCENARIOS, Scenario, single
from provlog.merkle.receipts import verify_receipt
from support.postgres import Cluster
from support.postgres_binaries import server_binaries
from support.servers import Server

ENGINES = ("sqlite", "postgres")
POSTGRES_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB"}


def check_samples(server: Server, scenario: Scenario, load: Load) -> int:
    """Verify sampled receipts and return how many."""
    if load.failures:
        raise SystemExit(f"{load.failures} answers with another status")
    if scenario.request is not single:
        return 0
    for body in load.samples:
        verify_receipt(body, server.trust)
    return len(load.samples)


async def measure(
    engine: str, server: Server, scenario: Scenario, seconds: float
) -> Figures:
    """Run one scenario once, on one engine."""
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
        engine,
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


async def run_all(
    servers: Mapping[str, Server], rounds: int, seconds: float
) -> list[Figures]:
    """Run every scenario `rounds` times, interleaved, and return the medians."""
    for server in servers.values():
        # The released size is read from a gauge that is set once a second.
        await run_load(server.address, 4, max(seconds / 4, 1.2), single(server))
    runs: dict[tuple[str, str, int], list[Figures]] = {}
    for number in range(rounds):
        for scenario in SCENARIOS:
            for engine, server in servers.items():
                title = f"{scenario.name}, {scenario.connections} connections, {engine}"
                print(f"round {number + 1} of {rounds}: {title}", file=sys.stderr)
                place = engine, scenario.name, scenario.connections
                figures = await measure(engine, server, scenario, seconds)
                runs.setdefault(place, []).append(figures)
    return [summarise(each) for each in runs.values()]


@contextlib.contextmanager
def serving(engines: Sequence[str]) -> Iterator[dict[str, Server]]:
    """Yield a running server for each engine."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for engine in engines:
            options = ["--dev", "--source", "*"]
            if engine == "postgres":
                cluster = Cluster.create(POSTGRES_SETTINGS, disk=True)
                stack.enter_context(cluster)
                database = cluster.create_database()
                options += ["--database", cluster.dsn(database)]
            base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers[engine] = stack.enter_context(Server.init(base, *options))
        yield servers


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "sqlite": apsw.sqlite_lib_version(),
        "durability": "flushed before every answer: SQLite in WAL mode with"
        " synchronous=FULL, PostgreSQL with fsync=on and synchronous_commit=on",
    }


def available(chosen: str | None) -> list[str]:
    """Return the engines to measure: the one chosen, or all that this machine has."""
    if chosen is not None:
        return [chosen]
    if server_binaries() is None:
        print("no PostgreSQL was found: SQLite alone", file=sys.stderr)
        return ["sqlite"]
    return [*ENGINES]


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--engine", choices=ENGINES, help="by default all there are")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with (
        serving(available(options.engine)) as servers,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        results = runner.run(run_all(servers, options.rounds, options.seconds))
    print("\nevery sampled receipt verified\n")
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
