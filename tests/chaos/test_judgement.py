"""The rig finds what it is there for: a judge that never convicts proves nothing."""

import asyncio
import shutil
from pathlib import Path

import apsw

from chaos.campaigns import Campaign, run
from chaos.engines import SqliteEngine
from chaos.reports import write_report
from chaos.rigs import Rig
from chaos.tallies import Tally
from chaos.waiting import require_writing


async def load(rig: Rig) -> None:
    await rig.start()
    async with rig.crowd.busy():
        await require_writing(rig)
        assert await rig.kill(rig.server)
    rig.tally.fault(True)


class Forgetful(Campaign):
    """Somebody puts yesterday's folders back, and much is written from there on."""

    name = "forgetful"
    rounds = 1

    async def round(self, rig: Rig) -> None:
        await load(rig)
        kept = rig.folder / "kept"
        for each in (rig.server.folder, rig.server.guard):
            shutil.copytree(each, kept / each.name)
        await load(rig)
        for each in (rig.server.folder, rig.server.guard):
            shutil.rmtree(each)
            shutil.copytree(kept / each.name, each)


class Damaging(Campaign):
    """A leaf is changed in the database."""

    name = "damaging"
    rounds = 1

    async def round(self, rig: Rig) -> None:
        await load(rig)
        database = apsw.Connection(str(rig.server.folder / "provlog.db"))
        database.execute("DROP TRIGGER entries_keep")
        database.execute("UPDATE entries SET leaf = x'7b7d' WHERE idx = 3")
        database.close()


async def judged(campaign: Campaign) -> Tally:
    tally = await run(campaign, SqliteEngine(), 1, 1)
    for failure in tally.failures:  # which names the folder that was kept
        folder = Path(failure.rpartition("(")[2].rstrip(")"))
        await asyncio.to_thread(shutil.rmtree, folder)
    assert not tally.is_clean
    return tally


async def test_a_log_that_forgot_has_forked_or_lost() -> None:
    tally = await judged(Forgetful())
    assert tally.forks + tally.lost, tally.failures


async def test_what_fsck_finds_is_a_failure() -> None:
    tally = await judged(Damaging())
    assert any("fsck" in each for each in tally.failures)


def test_a_fault_that_did_not_happen_is_no_success() -> None:
    tally = Tally("kill", "sqlite", 7)
    tally.fault(True)
    assert tally.is_clean
    tally.fault(False)
    assert not tally.is_clean


def test_a_report_has_a_row_for_each_campaign_and_says_what_failed(
    tmp_path: Path,
) -> None:
    report = tmp_path / "report.md"
    bad = Tally("kill", "sqlite", 7, rounds=3, injected=3, fired=2, lost=2, forks=1)
    bad.failures.append("two roots")
    absent = Tally("kill", "postgres", 7, skipped="postgres: no server binaries found")
    write_report(report, [bad, absent])
    text = report.read_text()
    assert "**2 lost, 1 forks**,\n1 failures of any kind" in text
    assert "| kill | sqlite | 3 | 3 | 2 | 0 | 0 | 2 | 1 | 0 | 7 |" in text
    assert "not run: postgres: no server binaries found" in text
    assert "**failure**: two roots" in text
