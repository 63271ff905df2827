"""A few rounds of everything that `make chaos` does for an hour."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.campaigns import Campaign, run
from chaos.clocks import Clocks, DatabaseClocks
from chaos.cuts import DatabaseCuts
from chaos.databases import DatabaseKills
from chaos.disks import Disks
from chaos.engines import SqliteEngine
from chaos.freezes import Freezes
from chaos.kills import Kills, SharedKills
from chaos.outboxes import OutboxKills
from chaos.postgres import PostgresEngine
from chaos.reports import MEANING
from chaos.run import CAMPAIGNS
from chaos.syscalls import Syscalls

COMMAND = Path(__file__).with_name("run.py")


@pytest.fixture(scope="module")
def postgres_engine() -> Iterator[PostgresEngine]:
    """Yield an engine whose cluster is shared: nobody leaves it dead."""
    lacks = PostgresEngine.lacks()
    if lacks is not None:
        pytest.skip(lacks)
    engine = PostgresEngine()
    yield engine
    engine.close()


async def require_clean(
    campaign: Campaign, engine: SqliteEngine | PostgresEngine, rounds: int
) -> None:
    lacks = campaign.lacks()
    if lacks is not None:
        pytest.skip(lacks)
    tally = await run(campaign, engine, rounds, secrets.randbelow(2**32))
    print(tally.line(), dict(tally.notes))
    assert tally.is_clean, "\n".join([tally.line(), *tally.failures])
    assert tally.rounds == rounds
    assert tally.fired >= rounds
    assert tally.acknowledged


@pytest.mark.parametrize(
    ("kind", "rounds"),
    [
        (Kills, 4),
        (Freezes, 1),
        (Clocks, 1),
        (Disks, 1),
        (Syscalls, 2),
        (OutboxKills, 2),
    ],
)
async def test_on_sqlite_nothing_is_lost_and_nothing_forks(
    kind: type[Campaign], rounds: int
) -> None:
    await require_clean(kind(), SqliteEngine(), rounds)


@pytest.mark.parametrize(
    ("kind", "rounds"),
    [
        (Kills, 3),
        (SharedKills, 1),
        (DatabaseKills, 2),
        (Freezes, 1),
        (DatabaseCuts, 2),
    ],
)
async def test_on_postgres_nothing_is_lost_and_nothing_forks(
    postgres_engine: PostgresEngine, kind: type[Campaign], rounds: int
) -> None:
    await require_clean(kind(), postgres_engine, rounds)


async def test_nothing_is_written_while_the_database_has_another_time() -> None:
    lacks = PostgresEngine.lacks()
    if lacks is not None:
        pytest.skip(lacks)
    engine = PostgresEngine()  # no other test is to have this one's clock
    try:
        await require_clean(DatabaseClocks(), engine, 1)
    finally:
        engine.close()


def test_the_command_writes_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    options = ["--campaign", "cut", "--engine", "sqlite", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, str(COMMAND), *options, "--report", str(report)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = json.loads(report.with_suffix(".json").read_bytes())["campaigns"]
    assert (row["campaign"], row["engine"], row["rounds"]) == ("cut", "sqlite", 1)
    assert (row["injected"], row["fired"]) == (3, 3)
    assert (row["lost"], row["forks"], row["failures"]) == (0, 0, [])
    assert row["acknowledged"] > 0
    assert "**0 lost, 0 forks**" in report.read_text()


def test_a_report_says_of_every_campaign_what_it_does() -> None:
    assert len({each.name for each in CAMPAIGNS}) == len(CAMPAIGNS)
    assert {each.name for each in CAMPAIGNS} == {*MEANING}
