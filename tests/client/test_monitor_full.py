"""Reading every entry as a log grows, and the copy that comes of it."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from provlog.client.auditing_run import begin_audit, run_audit
from provlog.client.errors import UnavailableError, UsageError
from provlog.client.fetching import LogReader
from provlog.client.memory import FileMemory
from provlog.client.monitoring import full
from provlog.client.monitoring.full import FullReading, Outcome
from provlog.client.monitoring.full_state import FullFile
from provlog.client.monitoring.mirror import Mirror
from provlog.client.rule_evidence import is_rule_evidence, judge_rule_evidence
from provlog.client.transport import Transport
from provlog.client.watching import Watch
from provlog.merkle.errors import ProofError
from provlog.merkle.trust import verify_checkpoint
from support.lying_log import LyingLog, Served, event
from support.monitored import grown
from support.static_sites import static
from support.tiled_logs import event_leaf, flipped, served_parts


@pytest.fixture
async def reader(served: Served, log: LyingLog) -> AsyncIterator[LogReader]:
    reader = LogReader(
        Transport(served.url, "main", None, 0.0, insecure=False), log.trust
    )
    yield reader
    await reader.close()


@pytest.fixture
def mask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


class Reading:
    """A full reading and its copy, begun anew as often as a test likes."""

    def __init__(self, log: LyingLog, reader: LogReader, folder: Path) -> None:
        self.log = log
        self.reader = reader
        self.web = folder / "web"
        self.file = FullFile(folder / "full.json", log.origin)
        self.mirror = Mirror(self.web, "main", log.origin)
        self.full = self.again()

    def again(self) -> FullReading:
        self.full = FullReading(self.reader, self.file, mirror=self.mirror)
        return self.full

    async def catch_up(self) -> Outcome:
        signed = verify_checkpoint(self.log.note(), self.log.trust)
        return await self.full.catch_up(signed)

    async def restarted(self) -> Outcome:
        self.again()
        return await self.catch_up()

    def shown(self) -> int:
        found = self.mirror.published()
        return 0 if found is None else found.size


@pytest.fixture
def reading(log: LyingLog, reader: LogReader, tmp_path: Path) -> Reading:
    return Reading(log, reader, tmp_path)


async def followed(url: str, log: LyingLog, folder: Path) -> tuple[str, int]:
    """Return what a monitor says of a copy, and what an audit finds wrong with it."""
    reader = LogReader(Transport(url, "main", None, 0.0, insecure=False), log.trust)
    memory = FileMemory(folder)
    try:
        report = await Watch(reader, log.trust, memory).look()
        run = await begin_audit(reader, log.trust, memory)
        await run_audit(
            run,
            reader,
            parallel=4,
            on_findings=lambda _: None,
            on_progress=lambda _: None,
        )
    finally:
        await reader.close()
    return report.event, run.auditor.total


async def test_only_what_is_new_is_read_and_the_root_is_recomputed(
    reading: Reading, log: LyingLog
) -> None:
    grown(log, 299)
    assert (await reading.catch_up()).wrong == ()
    assert reading.full.state.size == 300
    log.requests.clear()
    grown(log, 5)
    reading.again()
    await reading.catch_up()
    assert reading.full.state.size == 305
    asked = [each for each in log.paths() if "tile" in each]
    assert sorted(asked) == [
        "GET tile/0/001.p/49",
        "GET tile/1/000.p/1",
        "GET tile/entries/001.p/49",
    ]


async def test_the_copy_can_be_followed_and_audited_at_every_size(
    reading: Reading, log: LyingLog, tmp_path: Path, mask: None
) -> None:
    with static(reading.web) as url:
        for count in (9, 245, 1, 1, 300):
            grown(log, count)
            await reading.catch_up()
            assert await followed(url, log, tmp_path / "another") == ("grown", 0)
    # Others can read all of it, whatever the process's mask is.
    modes = {path.stat().st_mode & 0o777 for path in reading.mirror.path.rglob("*")}
    assert modes == {0o644, 0o755}
    # Partial forms of what is full were taken away, those of the edge are there.
    names = {path.name for path in reading.mirror.path.glob("tile/entries/*")}
    assert names == {"000", "001", "002.p"}


@pytest.mark.parametrize("place", ["tile/entries/001", "tile/0/001", "tile/1/000.p/2"])
async def test_what_is_served_and_not_signed_is_kept_and_not_copied(
    place: str, reading: Reading, log: LyingLog
) -> None:
    grown(log, 299)
    await reading.catch_up()
    grown(log, 300)
    log.tampered[place] = flipped(served_parts(log.leaves)[place], 9)
    outcome = await reading.catch_up()
    assert outcome.wrong
    assert (reading.full.state.size, reading.shown()) == (300, 300)
    kept = json.loads(await outcome.exhibits.to_file("wrong-content", reading.reader))
    assert kept["checkpoint"] == log.note().decode()
    assert place in kept["served"]
    # Once the log serves what it signed, the same is read again, and is well.
    log.tampered.clear()
    reading.again()
    assert (await reading.catch_up()).wrong == ()
    assert reading.shown() == 600


@pytest.mark.parametrize("index", [10, 256])
async def test_signed_entries_that_break_the_rules_are_found_for_good_and_proved(
    index: int, reading: Reading, log: LyingLog
) -> None:
    grown(log, index - 1)
    # Its n is wrong, and it is recorded before its predecessor.
    log.leaves.append(event_leaf(7, at=-(10**11)))
    outcome = await reading.catch_up()
    assert outcome.wrong == ()
    assert {each.index for each in outcome.fresh} == {index}
    assert any("recorded" in each.problem for each in outcome.fresh)
    data = await outcome.exhibits.to_file("broken-rules", reading.reader)
    # The one before it is proved too, be it of another bundle: anybody can judge.
    assert [each["index"] for each in json.loads(data)["leaves"]] == [index - 1, index]
    assert is_rule_evidence(data)
    convicted = judge_rule_evidence(data, log.trust).breaches
    assert [each.index for each in convicted] == [index, index]
    # They are not found a second time, and not forgotten.
    grown(log, 2)
    reading.again()
    assert (await reading.catch_up()).fresh == ()
    assert {each.index for each in reading.full.state.broken} == {index}
    assert reading.shown() == index + 3


async def test_a_pass_that_was_broken_off_goes_on(
    reading: Reading, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "SAVE_SECONDS", 0.0)
    grown(log, 1199)
    down: Any = lambda request: web.Response(status=500)  # noqa: E731
    # Three tiles of the edge and above; then a few bundles with their tiles.
    log.faults += [lambda request: None] * 8 + [down] * 20
    with pytest.raises(UnavailableError):
        await reading.catch_up()
    assert reading.shown() == 0
    log.faults.clear()
    log.requests.clear()
    reading.again()
    grown(log, 300)
    assert (await reading.catch_up()).wrong == ()
    assert "GET tile/entries/000" not in log.paths()
    assert (reading.full.state.size, reading.shown()) == (1500, 1500)
    for part in ("tile/entries/000", "tile/0/000", "tile/entries/004"):
        assert (reading.mirror.path / part).is_file()


async def test_a_pass_that_went_on_from_something_false_is_begun_anew(
    reading: Reading, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "SAVE_SECONDS", 0.0)
    grown(log, 1199)
    true = list(log.leaves)
    # Another tree, whose entries break no rule, until the pass is broken off.
    other = LyingLog()
    for place in range(3):
        other.append(event(id=f"x{place}"))
    log.leaves[3] = other.leaves[3]
    log.faults += [lambda request: None] * 8 + [
        lambda request: web.Response(status=500)
    ] * 20
    with pytest.raises(UnavailableError):
        await reading.catch_up()
    log.faults.clear()
    log.leaves[:] = true
    assert (await reading.catch_up()).wrong
    assert reading.shown() == 0
    assert (await reading.catch_up()).wrong == ()
    assert reading.shown() == 1200
    [bundle] = [reading.mirror.path / "tile/entries/000"]
    assert bundle.read_bytes() == served_parts(log.leaves)["tile/entries/000"]


async def test_killed_at_any_step_a_copy_has_all_that_its_checkpoint_stands_for(
    reading: Reading,
    log: LyingLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class KilledError(BaseException):
        """The process ended here."""

    steps = 0

    def die(real: Any) -> Any:  # noqa: ANN401
        def step(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            nonlocal steps
            steps -= 1
            if steps < 0:
                raise KilledError
            return real(*arguments, **named)

        return step

    grown(log, 250)
    await reading.catch_up()
    monkeypatch.setattr(Path, "replace", die(Path.replace))
    monkeypatch.setattr(shutil, "rmtree", die(shutil.rmtree))
    monkeypatch.setattr(os, "fsync", die(os.fsync))
    survived = 0
    with static(reading.web) as url:
        for allowed in range(0, 60, 5):
            grown(log, 20)
            steps = allowed
            try:
                await reading.restarted()
                survived += 1
            except KilledError:
                pass
            steps = 10**6
            seen, wrong = await followed(url, log, tmp_path / "another")
            assert seen in ("grown", "unchanged")
            assert wrong == 0
    assert 0 < survived < 12
    steps = 10**6
    grown(log, 1)
    await reading.restarted()
    assert reading.shown() == len(log.leaves)


async def test_a_new_folder_is_filled_from_the_beginning(
    reading: Reading, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 299)
    await reading.catch_up()
    reading.mirror = Mirror(tmp_path / "other", "main", log.origin)
    reading.again()
    assert reading.full.due(verify_checkpoint(log.note(), log.trust))
    await reading.catch_up()
    assert reading.shown() == 300
    assert (reading.mirror.path / "tile/entries/000").is_file()


async def test_a_copy_of_another_history_is_not_written_over(
    reading: Reading, log: LyingLog, served: Served
) -> None:
    grown(log, 9)
    await reading.catch_up()
    before = (reading.mirror.path / "checkpoint").read_bytes()
    # The state is lost, and with it all that this monitor knew.
    reading.file = FullFile(reading.web / "elsewhere.json", log.origin)
    fork = LyingLog()
    fork.append(event(id="x"))
    grown(fork, 20)
    served.switch(fork)
    reading.log = fork
    with pytest.raises(ProofError):
        await reading.restarted()
    assert (reading.mirror.path / "checkpoint").read_bytes() == before


def test_a_folder_that_mirrors_another_log_is_refused(
    log: LyingLog, tmp_path: Path
) -> None:
    place = tmp_path / "logs" / "main"
    place.mkdir(parents=True)
    (place / "checkpoint").write_bytes(LyingLog(origin="other.example/main").note())
    with pytest.raises(UsageError, match="mirrors another log"):
        Mirror(tmp_path, "main", log.origin).published()
    (place / "checkpoint").write_bytes(b"?")
    with pytest.raises(UsageError, match="cannot be read"):
        Mirror(tmp_path, "main", log.origin).published()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"v":1}', b"[" * 1000])
async def test_a_damaged_state_costs_time_and_nothing_else(
    data: bytes, reading: Reading, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 9)
    await reading.catch_up()
    (tmp_path / "full.json").write_bytes(data)
    grown(log, 1)
    assert (await reading.restarted()).wrong == ()
    assert reading.full.state.size == 11
