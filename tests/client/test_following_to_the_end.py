"""A monitor, an audit and an offline verifier follow a log's keys, and to its end."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import Result

from provlog.client import FileMemory, watching
from provlog.client.evidence import judge_evidence
from provlog.client.fetching import LogReader
from provlog.client.freeze_evidence import FreezeConviction
from provlog.client.transport import Transport
from provlog.client.watching import MisbehaviourError, Watch
from provlog.merkle.announcements import format_announcements
from support.lying_log import Served, event, serving
from support.rotating_logs import RotatingLog, filled, run

NEXT = ("log.example/next", "log.example/next+00000000+AQ")


@pytest.fixture(autouse=True)
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ANNOUNCED_SECONDS", 0.0)


@pytest.fixture
def log() -> RotatingLog:
    return filled()


@pytest.fixture
def served(log: RotatingLog) -> Iterator[Served]:
    with serving(log) as running:
        yield running


@pytest.fixture
async def reader(served: Served, log: RotatingLog) -> AsyncIterator[LogReader]:
    transport = Transport(served.url, "main", None, 0.0, insecure=False)
    reader = LogReader(transport, log.trust)
    yield reader
    await reader.close()


@pytest.fixture
def watch(reader: LogReader, log: RotatingLog, tmp_path: Path) -> Watch:
    return Watch(reader, log.trust, FileMemory(tmp_path / "state"))


async def caught(watch: Watch) -> MisbehaviourError:
    with pytest.raises(MisbehaviourError) as info:
        await watch.look()
    return info.value


def judged(error: MisbehaviourError, log: RotatingLog) -> object:
    """Return what the kept file proves to whoever has the first key."""
    assert error.report.evidence is not None
    return judge_evidence(Path(error.report.evidence).read_bytes(), log.trust)


async def test_a_monitor_follows_rotations_and_reports_growth(
    watch: Watch, log: RotatingLog
) -> None:
    assert (await watch.look()).event == "grown"
    for number in (1, 2, 3):
        log.rotate(number, retire=True)
        log.append(event(id=f"r{number}"))
        assert (await watch.look()).event == "grown"
        assert (await watch.look()).event == "unchanged"


async def test_a_monitor_reports_the_end_and_goes_on(
    watch: Watch, log: RotatingLog
) -> None:
    await watch.look()
    index = log.freeze(NEXT)
    for _ in range(2):
        report = await watch.look()
        assert (report.event, report.size) == ("frozen", index + 1)
        assert f"goes on as {NEXT[0]}, key {NEXT[1]}" in report.detail
        named = {"origin": NEXT[0], "log_key": NEXT[1]}
        assert report.to_json()["successor"] == named


async def test_growth_is_reported_though_announcements_cannot_be_had(
    watch: Watch, log: RotatingLog
) -> None:
    await watch.look()
    log.append(event(id="later"))
    unanswered = [lambda _: None, lambda _: None, lambda _: web.Response(status=500)]
    log.faults.extend(unanswered)
    assert (await watch.look()).event == "grown"
    log.freeze()
    assert (await watch.look()).event == "frozen"


async def test_a_monitor_started_behind_the_end_reports_it(
    watch: Watch, log: RotatingLog
) -> None:
    log.rotate(1, retire=True)
    log.freeze()
    report = await watch.look()
    assert (report.event, report.before) == ("frozen", None)
    assert "names no successor" in report.detail


async def test_a_log_that_goes_on_after_its_end_is_convicted_by_its_file(
    watch: Watch, log: RotatingLog
) -> None:
    log.rotate(1, retire=True)
    log.freeze()
    await watch.look()
    log.append(event(id="behind"))
    error = await caught(watch)
    assert error.report.detail.startswith("went on after its end: ")
    found = judged(error, log)
    assert isinstance(found, FreezeConviction)
    assert found.final_size == len(log.leaves) - 1
    assert found.larger.note == log.note()


async def test_an_end_that_is_announced_too_late_convicts_as_well(
    watch: Watch, log: RotatingLog
) -> None:
    log.freeze()
    log.append(event(id="behind"))
    # The monitor saw the larger tree before it heard of the end.
    log.silent = True
    assert (await watch.look()).event == "grown"
    log.silent = False
    log.append(event(id="further"))
    error = await caught(watch)
    assert error.report.detail.startswith("went on after its end: ")
    assert isinstance(judged(error, log), FreezeConviction)


async def test_a_freeze_proved_behind_the_end_is_kept_as_evidence(
    watch: Watch, log: RotatingLog
) -> None:
    index = log.freeze()
    log.append(event(id="behind"))
    last = log.announced(index, [log.key], len(log.leaves))
    log.document = format_announcements(log.origin, [last])
    assert isinstance(judged(await caught(watch), log), FreezeConviction)


async def test_a_head_from_behind_the_end_that_is_remembered_convicts(
    watch: Watch, log: RotatingLog
) -> None:
    index = log.freeze()
    log.append(event(id="behind"))
    log.silent = True
    await watch.look()
    log.silent = False
    log.served_size = index + 1
    assert isinstance(judged(await caught(watch), log), FreezeConviction)


async def test_what_is_remembered_under_a_new_key_binds_a_reader_that_is_used_again(
    watch: Watch, reader: LogReader, log: RotatingLog, served: Served, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    fork = log.fork()
    log.append(event(id="true"))
    await watch.look()
    fork.append(event(id="false"))
    served.switch(fork)
    again = Watch(reader, log.trust, FileMemory(tmp_path / "state"))
    assert (await caught(again)).report.detail.startswith("forked: ")


async def test_a_monitor_refuses_a_stolen_key_and_says_so(
    watch: Watch, log: RotatingLog
) -> None:
    log.rotate(1)
    await watch.look()
    log.retired.add(log.newest().key_id)
    log.append(event(id="forged"))
    error = await caught(watch)
    assert error.report.detail.startswith("not to be believed: ")
    assert "does not speak for the log" in error.report.detail


async def test_a_log_that_takes_an_announcement_back_misbehaves(
    watch: Watch, log: RotatingLog
) -> None:
    log.rotate(1)
    log.append(event(id="behind"))
    await watch.look()
    log.document = format_announcements(log.origin, [])
    log.append(event(id="further"))
    error = await caught(watch)
    assert "missing" in error.report.detail


async def test_an_older_mirror_may_have_fewer_announcements(
    watch: Watch, log: RotatingLog
) -> None:
    await watch.look()
    size = len(log.leaves)
    log.rotate(1)
    await watch.look()
    log.document = format_announcements(log.origin, [])
    log.served_size = size
    assert (await watch.look()).event == "stale"


def findings(result: Result) -> list[str]:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [each["place"] for each in lines if each["event"] == "finding"]


def finished(result: Result) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return value


@pytest.mark.parametrize("command", ["audit", "gaps"])
def test_a_whole_log_is_read_from_its_first_key_to_its_end(
    command: str, served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    log.append(event(id="between"))
    log.rotate(2, retire=True)
    log.freeze(NEXT)
    result = run(served, log, tmp_path, command, "--json")
    assert result.exit_code in (0, 4), result.output
    if command == "audit":
        frozen = {"origin": NEXT[0], "log_key": NEXT[1]}
        expected = {"size": len(log.leaves), "successor": frozen}
        assert finished(result)["frozen"] == expected
        assert NEXT[0] in run(served, log, tmp_path, command).stdout


@pytest.mark.parametrize("command", ["audit", "gaps"])
def test_a_checkpoint_without_the_key_that_the_entries_name_is_found(
    command: str, served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    new = log.rotate(1)
    # The log hides the announcement, and goes on with the key that it replaced.
    log.silent = True
    log.retired.add(new.key_id)
    result = run(served, log, tmp_path, command, "--json")
    assert result.exit_code == 1
    if command == "audit":
        assert findings(result) == ["checkpoint"]
    else:
        assert "the key that the entries name did not sign it" in result.output


@pytest.mark.parametrize("command", ["audit", "gaps"])
def test_a_log_that_goes_on_after_its_end_is_convicted_before_it_is_read(
    command: str, served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.freeze()
    log.append(event(id="behind"))
    result = run(served, log, tmp_path, command)
    assert result.exit_code == 1
    assert "ended with its entry" in result.output
    (kept,) = (tmp_path / "state").rglob("*.inconsistency.json")
    assert isinstance(judge_evidence(kept.read_bytes(), log.trust), FreezeConviction)


def test_of_several_keys_that_are_given_any_one_is_enough(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    first, other = log.vkey, RotatingLog(seed=bytes(32)).vkey
    for keys in (f"{first} {other}", f" {other}  {first} "):
        given = ["checkpoint", "--log-key", keys]
        assert run(served, log, tmp_path, *given).exit_code == 0
    for keys in (
        "",
        " ",
        f"{first} {RotatingLog(origin='a.example').vkey}",
        f"{first} x",
    ):
        given = ["checkpoint", "--log-key", keys]
        assert run(served, log, tmp_path, *given).exit_code == 2


def test_what_stands_behind_the_end_is_named_by_an_audit(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    index = log.freeze()
    log.append(event(id="behind"))
    log.silent = True
    result = run(served, log, tmp_path, "audit", "--json")
    assert result.exit_code == 1
    assert findings(result) == [f"entry {index + 1}"]


def test_the_monitor_ends_well_at_the_end_of_a_log(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.freeze()
    result = run(served, log, tmp_path, "monitor", "--once", "--json")
    assert result.exit_code == 0
    assert finished(result)["event"] == "frozen"
