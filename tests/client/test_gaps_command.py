"""`provlog gaps` tells what is missing, and nothing of a log that does not verify."""

import json
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provlog.client.cli import cli, reporting
from provlog.client.source_gaps import span
from provlog.merkle.encoding import format_time, parse_time
from provlog.merkle.source_silence import HEARTBEAT
from provlog.merkle.tiles import encode_bundle
from support.lying_log import NOW, LyingLog, Served
from support.source_leaves import ACME, HOUR, START, source_leaf
from support.tiled_logs import flipped

BASE = parse_time(NOW)
QUIET = "urn:okta:quiet"
DAY = 24 * HOUR

Gaps = Callable[..., Result]
Add = Callable[..., None]


@pytest.fixture
def log() -> LyingLog:
    return LyingLog()


@pytest.fixture
def add(log: LyingLog) -> Add:
    """Return what appends an event that is recorded `at` after the log's beginning."""

    def append(at: int, *, time: int | None = None, **more: Any) -> None:  # noqa: ANN401
        offset = BASE - START
        happened = None if time is None else offset + time
        leaf = source_leaf(offset + at, time=happened, n=len(log.leaves) - 1, **more)
        log._add(leaf, [])

    return append


@pytest.fixture
def gaps(
    served: Served, log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Gaps:
    monkeypatch.setattr(reporting, "now_ms", lambda: BASE + 999 * DAY)
    env = {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_STATE": str(tmp_path / "state"),
        "PROVLOG_PATIENCE": "0.2",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["gaps", *arguments], env=env)
        if result.exception is not None:
            assert isinstance(result.exception, SystemExit), result.exc_info
        return result

    return call


def at(hours: float) -> str:
    return format_time(BASE + int(hours * HOUR))


def told(result: Result, *, exit_code: int = 4) -> list[dict[str, Any]]:
    """Return the findings, which the end has to sum up."""
    assert result.exit_code == exit_code, result.output
    lines = [json.loads(each) for each in result.stdout.splitlines()]
    found = [each for each in lines if each["event"] == "finding"]
    assert lines[-1]["event"] == "finished"
    assert lines[-1]["findings"] == len(found)
    assert lines[-1]["ok"] == (not found)
    return found


def test_a_source_without_gaps_has_nothing_told(gaps: Gaps, add: Add) -> None:
    for hour in range(5):
        add(hour * HOUR, seq=hour + 1)
    result = gaps("--until", at(6))
    assert result.exit_code == 0, result.output
    assert f"{ACME}: 5 events" in result.stdout
    assert "1 source, nothing to tell: 6 entries verified" in result.stdout
    assert told(gaps("--until", at(6), "--json"), exit_code=0) == []


def test_each_kind_of_gap_is_named(gaps: Gaps, add: Add) -> None:
    add(0, seq=1)
    add(HOUR, seq=5, time=-HOUR)
    add(2 * HOUR, seq=6, time=2 * HOUR + 61_000)
    add(50 * HOUR, seq=6)
    add(50 * HOUR, seq=1)
    add(51 * HOUR, source=QUIET)
    found = told(gaps("--until", at(52), "--json"))
    assert [each["kind"] for each in found] == [
        "missing", "restarted", "repeated", "silent", "late", "ahead"
    ]  # fmt: skip
    missing, restarted, _, silent, late, ahead = found
    assert {each["source"] for each in found} == {ACME}
    assert (missing["first"], missing["last"], missing["count"]) == (2, 4, 3)
    assert (missing["entry"], missing["recorded"]) == (2, at(1))
    assert restarted["entry"] == 5
    assert (silent["from"], silent["to"], silent["entry"]) == (at(2), at(50), 4)
    assert silent["seconds"] == 48 * 3600
    assert (late["count"], late["most"], late["entry"]) == (1, 7200, 2)
    assert (ahead["count"], ahead["most"], ahead["entry"]) == (1, 61, 3)
    shown = gaps("--until", at(52)).stdout
    assert "MISSING    numbers 2 to 4 (3), seen at entry 2" in shown
    assert "SILENT     2d, 2026-11-21T19:53:56Z to" in shown
    assert "2 sources, 6 findings" in shown


def test_silence_that_goes_on_is_told(gaps: Gaps, add: Add) -> None:
    add(0)
    [silent] = told(gaps("--until", at(25), "--json"))
    assert (silent["kind"], silent["from"], silent["to"]) == ("silent", at(0), None)
    assert "SILENT     1d 1h, since" in gaps("--until", at(25)).stdout


def test_heartbeats_say_how_long_a_silence_may_be(gaps: Gaps, add: Add) -> None:
    for beat in range(6):
        add(beat * HOUR, type=HEARTBEAT)
    assert told(gaps("--until", at(8), "--json"), exit_code=0) == []
    [silent] = told(gaps("--until", at(8.5), "--json"))
    assert silent["seconds"] == 3.5 * 3600
    assert told(gaps("--until", at(8.5), "--silent", "4h", "--json"), exit_code=0) == []
    assert "a heartbeat every 1h, 0 missed" in gaps("--until", at(6)).stdout


def test_attempts_are_told_beside_their_outcomes(gaps: Gaps, add: Add) -> None:
    add(0, type="attempt.account.create")
    add(1, type="attempt.account.create")
    add(2, type="account.create")
    text = gaps("--until", at(1)).stdout
    assert "2 attempts of account.create and 1 outcome" in text
    [line, _] = gaps("--until", at(1), "--json").stdout.splitlines()
    attempts = json.loads(line)["attempts"]
    assert attempts == {"account.create": {"attempts": 2, "outcomes": 1}}


def test_only_what_was_asked_for_is_told(gaps: Gaps, add: Add) -> None:
    add(0, seq=1)
    add(HOUR, seq=4)
    add(2 * HOUR, source=QUIET, seq=1)
    add(4 * HOUR, seq=6)
    add(5 * HOUR, source=QUIET, seq=9)
    options = ("--until", at(5.5), "--json")
    assert [each["source"] for each in told(gaps(*options))] == [ACME, ACME, QUIET]
    [found] = told(gaps("--source", QUIET, *options))
    assert found["last"] == 8
    [found] = told(gaps("--source", ACME, "--since", at(2), *options))
    assert found["first"] == found["last"] == 5
    [found] = told(gaps("--source", ACME, "--until", at(3), "--json"))
    assert (found["first"], found["last"]) == (2, 3)
    [found] = told(gaps("--source", "urn:never", *options))
    assert (found["kind"], found["source"]) == ("absent", "urn:never")
    assert "ABSENT" in gaps("--source", "urn:never", "--until", at(9)).stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--silent", "1"),
        ("--late", "0s"),
        ("--since", "2026-11-21T10:00:00"),
        ("--since", "yesterday"),
        ("--until", "0001-01-01T00:00:00Z"),
        ("--since", "2026-11-21T10:00:00Z", "--until", "2026-11-21T10:00:00Z"),
    ],
)
def test_what_is_no_time_is_refused(gaps: Gaps, options: tuple[str, ...]) -> None:
    assert gaps(*options).exit_code == 2


@pytest.mark.parametrize("what", ["dropped", "changed", "moved", "withheld"])
def test_nothing_is_told_of_a_log_that_hides_an_entry(
    gaps: Gaps, add: Add, log: LyingLog, what: str
) -> None:
    for number in range(1, 6):
        add(number, seq=number)
    bundle = "tile/entries/000.p/6"
    leaves = list(log.leaves)
    log.tampered[bundle] = {
        "dropped": encode_bundle(leaves[:3] + leaves[4:]),
        "changed": flipped(
            encode_bundle(leaves), encode_bundle(leaves).index(b'"seq":3') + 6
        ),
        "moved": encode_bundle([*leaves[:3], leaves[4], leaves[3], leaves[5]]),
        "withheld": None,
    }[what]
    result = gaps("--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "VERIFICATION FAILED: the log is not what it signed: " in result.stderr
    assert "3" in result.stderr


def test_a_log_that_never_had_the_entry_shows_the_gap(gaps: Gaps, add: Add) -> None:
    # Dropped before it was logged: the leaves are all true, and a number is missing.
    for number in (1, 2, 4):
        add(number, seq=number)
    [found] = told(gaps("--until", at(1), "--json"))
    assert (found["kind"], found["first"], found["last"]) == ("missing", 3, 3)


def test_a_run_goes_on_where_the_last_one_stopped(
    gaps: Gaps, add: Add, log: LyingLog, tmp_path: Path
) -> None:
    for number in range(700):
        add(number, seq=2 * number)
    file = tmp_path / "gaps.state"
    options = ("--resume", str(file), "--until", at(1), "--json")
    before = told(gaps(*options))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    log.requests.clear()
    assert told(gaps(*options)) == before
    bundles = [each for each in log.paths() if "entries" in each]
    assert bundles == ["GET tile/entries/002.p/189"]
    for number in range(700, 900):
        add(number, seq=2 * number)
    log.requests.clear()
    going_on = told(gaps(*options))
    assert not any("entries/000" in each for each in log.paths())
    file.unlink()
    assert told(gaps(*options)) == going_on != before


def test_an_older_head_is_read_from_the_beginning(
    gaps: Gaps, add: Add, log: LyingLog, tmp_path: Path
) -> None:
    for number in range(300):
        add(number, seq=2 * number)
    options = ("--resume", str(tmp_path / "gaps.state"), "--until", at(1), "--json")
    assert gaps(*options).exit_code == 4
    log.served_size = 200
    result = gaps(*options)
    assert len(told(result)) < 200
    assert json.loads(result.stdout.splitlines()[-1])["missed"] == len(log.leaves)


def test_a_log_that_changed_its_past_is_not_gone_on_with(
    gaps: Gaps, add: Add, log: LyingLog, tmp_path: Path
) -> None:
    for number in range(300):
        add(number, seq=number)
    options = ("--resume", str(tmp_path / "gaps.state"), "--until", at(1))
    assert gaps(*options).exit_code == 0
    log.leaves[17] = log.leaves[17].replace(b'"seq":16', b'"seq":15')
    # Without what is remembered of its checkpoints, the file alone tells.
    for path in (tmp_path / "state").rglob("*.checkpoint"):
        path.unlink()
    result = gaps(*options)
    assert result.exit_code == 1
    assert result.stdout == ""


def test_a_file_of_another_log_or_run_is_refused(
    gaps: Gaps, add: Add, tmp_path: Path
) -> None:
    for number in range(300):
        add(number)
    file = tmp_path / "gaps.state"
    options = ("--resume", str(file), "--until", at(1))
    assert gaps(*options).exit_code == 0
    whole = file.read_bytes()
    fewer = whole.replace(b'"count": 255', b'"count": 254')
    assert fewer != whole
    state = json.loads(whole.partition(b"\n")[2])
    foreign = json.dumps({**state, "origin": "log.example/other"}).encode()
    foreign = sha256(foreign).hexdigest().encode() + b"\n" + foreign
    for data in (b"", whole[:-1], fewer, foreign, b"\n"):
        file.write_bytes(data)
        result = gaps(*options)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "another file, or remove it" in result.stderr
    file.write_bytes(whole)
    assert gaps(*options, "--late", "2h").exit_code == 2
    nowhere = gaps("--resume", str(tmp_path / "no" / "file"))
    assert nowhere.exit_code == 2
    assert "its folder is not there" in nowhere.stderr, "said before all is read"
    assert gaps(*options).exit_code == 0


def test_a_terminal_is_shown_where_there_was_silence(
    gaps: Gaps, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in (0, 0, 0, 0, 1, 30, 31):
        add(hour * HOUR)
    assert "▁" not in gaps("--until", at(32)).stdout
    monkeypatch.setattr(reporting, "_on_terminal", lambda: True)
    [line] = [x for x in gaps("--until", at(32)).stdout.splitlines() if "█" in x]
    drawn, _, width = line.strip().partition(" ")
    assert drawn == "█▂" + "·" * 28 + "▂▂"
    assert width.strip() == "1h a bar"
    [line] = [x for x in gaps("--until", at(900)).stdout.splitlines() if "█" in x]
    drawn, _, width = line.strip().partition(" ")
    assert drawn == "█▂▂" + "·" * 54
    assert width == "16h a bar"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (5_200, "5.2s"),
        (61_000, "1m 1s"),
        (HOUR, "1h"),
        (28 * HOUR + 1, "1d 4h"),
    ],
)
def test_spans_are_told_as_people_say_them(milliseconds: int, text: str) -> None:
    assert span(milliseconds) == text
