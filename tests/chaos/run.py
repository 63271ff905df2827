"""Things are broken on purpose: `make chaos`.

Every campaign on every engine, or those that are named; a report is written, and the
exit code is 1 if anything was lost, forked or otherwise wrong, or if a fault did not
happen. Rounds are repeated from a seed as far as the machine's timing allows.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos.campaigns import Campaign, run
from chaos.clocks import Clocks, DatabaseClocks
from chaos.cuts import Cuts, DatabaseCuts
from chaos.databases import DatabaseKills
from chaos.disks import Disks
from chaos.engines import Engine, SqliteEngine
from chaos.freezes import Freezes
from chaos.kills import Kills, SharedKills
from chaos.outboxes import OutboxKills
from chaos.postgres import PostgresEngine
from chaos.reports import write_report
from chaos.syscalls import Syscalls
from chaos.tallies import Tally

CAMPAIGNS: Sequence[type[Campaign]] = (
    Kills,
    SharedKills,
    DatabaseKills,
    Freezes,
    Cuts,
    DatabaseCuts,
    Clocks,
    DatabaseClocks,
    Disks,
    Syscalls,
    OutboxKills,
)
NAMES = [each.name for each in CAMPAIGNS]
ENGINES: dict[str, type[SqliteEngine] | type[PostgresEngine]] = {
    "sqlite": SqliteEngine,
    "postgres": PostgresEngine,
}


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    tallies = asyncio.run(_run_all(arguments))
    print(f"report: {arguments.report}")
    clean = all(each.is_clean for each in tallies)
    # What was asked for by its name has to run.
    named = arguments.campaign or arguments.engine
    complete = not (named and any(each.skipped for each in tallies))
    raise SystemExit(0 if clean and complete else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos CHAOS=…", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument(
        "--campaign",
        action="append",
        choices=NAMES,
        help="what is broken; may be given several times (default: everything)",
    )
    parser.add_argument(
        "--engine", action="append", choices=[*ENGINES], help="(default: both)"
    )
    parser.add_argument(
        "--rounds", type=int, help="of each campaign (default: its own number)"
    )
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(2**32), help="of all chances"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="campaigns at once (default: 2)"
    )
    parser.add_argument("--report", type=Path, default=Path("chaos-report.md"))
    return parser.parse_args()


async def _run_all(arguments: argparse.Namespace) -> list[Tally]:
    """Run every campaign on every engine it is made for, some at once.

    After each the report is written, so that an hour is not lost with the last of it.
    """
    room = asyncio.Semaphore(arguments.jobs)
    ended: list[Tally] = []
    chosen = [
        each for each in CAMPAIGNS if each.name in (arguments.campaign or [each.name])
    ]

    async def one(kind: type[Campaign], name: str) -> Tally:
        async with room:
            rounds = arguments.rounds or kind.rounds
            tally = await run_on(kind(), name, rounds, arguments.seed)
        print(tally.line(), flush=True)
        for failure in tally.failures:
            print(f"  {failure}", flush=True)
        ended.append(tally)
        ended.sort(key=lambda each: (NAMES.index(each.campaign), each.engine))
        write_report(arguments.report, ended)
        return tally

    return await asyncio.gather(
        *(one(*pair) for pair in _pairs(chosen, arguments.engine or [*ENGINES]))
    )


def _pairs(
    kinds: Iterable[type[Campaign]], engines: Sequence[str]
) -> Iterable[tuple[type[Campaign], str]]:
    return ((kind, name) for kind in kinds for name in engines if name in kind.engines)


async def run_on(campaign: Campaign, name: str, rounds: int, seed: int) -> Tally:
    """Run a campaign on an engine, with a server of its own where it needs one."""
    kind = ENGINES[name]
    engine: Engine = kind()
    lacks = kind.lacks()
    if lacks is not None:
        return Tally(campaign.name, name, seed, skipped=lacks)
    try:
        return await run(campaign, engine, rounds, seed, _say)
    finally:
        await asyncio.to_thread(engine.close)


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(f"{line:<78}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
