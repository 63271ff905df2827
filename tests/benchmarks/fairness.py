"""What a quiet submitter notices of a busy one: `make fairness`.

A real server in its own process, full flush. One submitter sends one event after the
other, first alone and then beside floods from a process of their own: by another token
to another log, and by another token to its own log, of single events and of batches.
The situations are interleaved, `--rounds` times, and medians are printed; what counts
is their ratio within one run.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench import machine
from benchmarks.load import run_load
from benchmarks.scenarios import BATCH, SOURCE, batch, single
from support.servers import Server, provlog_server

_SETTLED = 0.5


@dataclass(frozen=True)
class Flood:
    """What else the server has to do: another token's events, in which log."""

    name: str
    log: str | None = None
    connections: int = 0
    batches: bool = False


FLOODS = (
    Flood("alone"),
    Flood("beside 64 senders to another log", "busy", 64),
    Flood("beside 512 senders to another log", "busy", 512),
    Flood("beside 512 senders to the same log", "main", 512),
    Flood("beside batches to another log", "busy", 4, batches=True),
    Flood("beside batches to the same log", "main", 4, batches=True),
)


@dataclass(frozen=True)
class Figures:
    """What the quiet submitter saw, in ms, and the flood's events a second."""

    situation: str
    p50_ms: float
    p99_ms: float
    flood_rate: float


def make_server(folder: Path) -> Server:
    """Return an instance with the logs `main` and `busy`, and a submitter of both."""
    server = Server.init(folder)
    options = ("--dir", server.folder, "--guard", server.guard)
    provlog_server("log", "create", "busy", "--origin", "bench.local/busy", *options)
    made = provlog_server(
        *("token", "create", "--role", "submitter", "--source", SOURCE, "--all-logs"),
        *(*options, "--json"),
    )
    server.tokens["flood"] = json.loads(made)["token"]
    return server


def run_flood(server: Server, flood: Flood, seconds: float) -> float:
    """Send what the flood is made of; return its events a second."""
    make = batch if flood.batches else single
    requests = make(server, log=flood.log or "main", role="flood")
    load = uvloop.run(
        run_load(
            server.address,
            flood.connections,
            seconds,
            requests,
            expected="200" if flood.batches else "201",
            sample_every=10**9,
        )
    )
    if load.failures:
        raise SystemExit(f"{load.failures} answers to the flood with another status")
    return load.rate * (BATCH if flood.batches else 1)


async def measure(
    server: Server, flood: Flood, seconds: float, pool: ProcessPoolExecutor
) -> Figures:
    """Return what the quiet submitter sees meanwhile."""
    flooding = None
    if flood.connections:
        loop = asyncio.get_running_loop()
        flooding = loop.run_in_executor(
            pool, run_flood, server, flood, seconds + 2 * _SETTLED
        )
        await asyncio.sleep(_SETTLED)
    load = await run_load(server.address, 1, seconds, single(server))
    if load.failures:
        raise SystemExit(f"{load.failures} answers with another status")
    rate = await flooding if flooding else 0.0
    return Figures(flood.name, load.percentile(0.5), load.percentile(0.99), rate)


async def run_all(
    server: Server, rounds: int, seconds: float, pool: ProcessPoolExecutor
) -> list[Figures]:
    """Run every situation `rounds` times, interleaved, and return the medians."""
    runs: list[list[Figures]] = [[] for _ in FLOODS]
    for number in range(rounds):
        for row, flood in zip(runs, FLOODS, strict=True):
            print(f"round {number + 1} of {rounds}: {flood.name}", file=sys.stderr)
            row.append(await measure(server, flood, seconds, pool))
    return [
        Figures(
            row[0].situation,
            round(statistics.median(run.p50_ms for run in row), 2),
            round(statistics.median(run.p99_ms for run in row), 2),
            round(statistics.median(run.flood_rate for run in row)),
        )
        for row in runs
    ]


def show(results: list[Figures]) -> None:
    """Print the figures, and how many times the lone submitter's they are."""
    alone = results[0].p50_ms
    print(
        f"{'one event after the other':<42}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>8}",
        end="",
    )
    print(f"{'flood/s':>10}")
    for row in results:
        print(
            f"{row.situation:<42}{row.p50_ms:>9}{row.p99_ms:>9}"
            f"{row.p50_ms / alone:>8.1f}{row.flood_rate:>10,}"
        )


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        make_server(Path(folder)) as server,
        ProcessPoolExecutor(1, mp_context=context) as pool,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        # A process is not sent along.
        told = Server(
            server.folder,
            server.guard,
            server.origin,
            server.log_key,
            server.tokens,
            url=server.url,
        )
        results = runner.run(run_all(told, options.rounds, options.seconds, pool))
    show(results)
    if options.json is not None:
        rows = [asdict(row) for row in results]
        text = json.dumps({"machine": machine(), "results": rows}, indent=2)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
