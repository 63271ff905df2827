"""`provlog audit` against a log that lies about its past: each lie is named."""

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from provlog.client import FileMemory, UnavailableError
from provlog.client.auditing_parts import Finding
from provlog.client.auditing_run import begin_audit, run_audit
from provlog.client.cli import cli
from provlog.client.cli.output import progress
from provlog.client.fetching import LogReader
from provlog.client.transport import Transport
from provlog.merkle.encoding import JsonValue
from provlog.merkle.tiles import encode_bundle
from support.lying_log import LyingLog, Served, event
from support.tiled_logs import START_MS, flipped, params_leaf, served_parts

Audit = Callable[..., Result]


@pytest.fixture
def log() -> LyingLog:
    log = LyingLog()
    for place in range(5):
        log.append(event(id=f"e{place}"))
    return log


@pytest.fixture
def audit(served: Served, log: LyingLog, tmp_path: Path) -> Audit:
    env = {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_STATE": str(tmp_path / "state"),
        "PROVLOG_PATIENCE": "0.2",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["audit", *arguments], env=env)
        if result.exception is not None:
            assert isinstance(result.exception, SystemExit), result.exc_info
        return result

    return call


def found(result: Result) -> list[str]:
    lines = [json.loads(each) for each in result.stdout.splitlines()]
    assert lines[0]["event"] == "started"
    assert lines[-1]["event"] == "finished"
    said = [each["place"] for each in lines if each["event"] == "finding"]
    assert lines[-1]["findings"] == len(said)
    assert lines[-1]["ok"] == (not said)
    assert result.exit_code == (1 if said else 0)
    return said


def test_an_honest_log_passes_and_leaves_no_state(audit: Audit, tmp_path: Path) -> None:
    result = audit()
    assert result.exit_code == 0, result.output
    assert "all is well: 6 entries" in result.stdout
    assert "succeeds" not in result.stdout
    assert "entries/s" in result.stderr
    assert list(tmp_path.rglob("*.audit.json")) == []
    assert found(audit("--json")) == []


def test_an_older_head_than_is_known_is_audited_and_told(
    audit: Audit, log: LyingLog
) -> None:
    audit()
    log.served_size = 4
    result = audit("--json")
    started = json.loads(result.stdout.splitlines()[0])
    assert (started["size"], started["missed"]) == (4, 6)
    assert found(result) == []
    assert "STALE" not in result.output
    assert "its tree of 4 entries, having signed 6" in audit().stderr
    log.served_size = None
    assert "missed" not in audit("--json").stdout


def test_the_log_that_it_succeeds_is_shown(audit: Audit, log: LyingLog) -> None:
    old: dict[str, JsonValue] = {"origin": "example.com/old", "size": 9}
    old["root"] = "A" * 43
    first = params_leaf(log.origin, at=-START_MS, previous=old, log_key=log.vkey)
    log.leaves[0] = first
    result = audit()
    assert result.exit_code == 0, result.output
    assert "succeeds example.com/old, size 9, root AAAA" in result.stdout
    last = json.loads(audit("--json", "--fresh").stdout.splitlines()[-1])
    assert last["previous"] == old


def test_a_terminal_is_shown_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("auditing", 1000, done=500, unit="entries") as advance:
        advance(250)
    shown = capsys.readouterr().err
    assert "entries/s" in shown
    assert "75%" in shown
    assert re.search(r"\d:\d\d:\d\d|-:--:--", shown)


def test_a_flipped_byte_in_a_leaf(audit: Audit, log: LyingLog) -> None:
    bundle = "tile/entries/000.p/6"
    data = served_parts(log.leaves)[bundle]
    log.tampered[bundle] = flipped(data, data.index(b"e.assign"))
    assert found(audit("--json")) == ["entry 1", "checkpoint"]
    assert "WRONG  entry 1: " in audit().stdout


def test_a_flipped_byte_in_a_tile(audit: Audit, log: LyingLog) -> None:
    tile = "tile/0/000.p/6"
    log.tampered[tile] = flipped(served_parts(log.leaves)[tile], 70)
    assert found(audit("--json")) == [tile]


def test_a_missing_entry(audit: Audit, log: LyingLog) -> None:
    bundle = "tile/entries/000.p/6"
    log.tampered[bundle] = encode_bundle(log.leaves[:3] + log.leaves[4:])
    assert found(audit("--json")) == [bundle, "entry 3"]


def test_tiles_and_entries_that_are_not_served(audit: Audit, log: LyingLog) -> None:
    log.tampered = {"tile/entries/000.p/6": None, "tile/0/000.p/6": b"x" * 99_999}
    said = found(audit("--json"))
    assert said[:2] == ["tile/0/000.p/6", "tile/entries/000.p/6"]
    assert said[2:] == [f"entry {place}" for place in range(6)] + ["checkpoint"]


def test_a_wrong_count_an_earlier_time_and_second_params(
    audit: Audit, log: LyingLog
) -> None:
    # All of them logged and signed: only their neighbours tell that they are wrong.
    log._add(log.leaves[1].replace(b'"n":0', b'"n":4'), [])
    early = log.leaves[1].replace(b'"n":0', b'"n":6')
    log._add(early.replace(b'"recorded":"2026', b'"recorded":"2025'), [])
    log._add(params_leaf(log.origin, n=7, at=10**10), [])
    assert found(audit("--json")) == ["entry 6", "entry 7", "entry 8"]


def test_a_fork_is_found_before_anything_is_downloaded(
    audit: Audit, log: LyingLog, served: Served
) -> None:
    assert audit().exit_code == 0
    fork = LyingLog()
    fork.append(event(id="x"))
    for place in range(6):
        fork.append(event(id=f"y{place}"))
    served.switch(fork)
    result = audit()
    assert result.exit_code == 1
    assert "VERIFICATION FAILED" in result.stderr
    assert not any("tile" in each for each in fork.paths())


def test_an_unreachable_log_is_no_verdict(audit: Audit, log: LyingLog) -> None:
    log.faults += [lambda request: None, lambda request: web.Response(status=502)]
    result = audit()
    assert result.exit_code == 3
    assert "unavailable" in result.stderr
    assert "WRONG" not in result.stdout


def test_a_token_that_does_not_reach_the_tiles_is_no_finding(
    audit: Audit, log: LyingLog
) -> None:
    log.faults += [lambda request: None, lambda request: web.Response(status=403)]
    result = audit()
    assert result.exit_code == 2
    assert "WRONG" not in result.stdout


def reader_of(served: Served, log: LyingLog) -> LogReader:
    transport = Transport(served.url, "main", None, 0.0, insecure=False)
    return LogReader(transport, log.trust)


def state_file(folder: Path) -> Path:
    (state,) = folder.rglob("*.audit.json")
    return state


def big_log() -> LyingLog:
    log = LyingLog()
    for place in range(1100):
        log.append(event(id=f"e{place}"))
    return log


async def test_a_full_tile_stands_in_for_a_partial_one_that_is_gone(
    tmp_path: Path, served: Served
) -> None:
    log = big_log()
    served.switch(log)
    log.served_size = 700
    reader = reader_of(served, log)
    run = await begin_audit(reader, log.trust, FileMemory(tmp_path))
    log.served_size = None
    log.tampered = {"tile/0/002.p/188": None, "tile/entries/002.p/188": None}
    await run_audit(
        run, reader, parallel=4, on_findings=lambda _: None, on_progress=lambda _: None
    )
    assert (run.auditor.done, run.auditor.findings) == (700, [])
    await reader.close()


async def test_an_unfinished_run_goes_on_and_a_finished_one_starts_anew(
    tmp_path: Path, served: Served
) -> None:
    log = big_log()
    served.switch(log)
    bundle = "tile/entries/000"
    log.tampered[bundle] = flipped(served_parts(log.leaves)[bundle], 40)
    memory = FileMemory(tmp_path)
    reader = reader_of(served, log)
    said: list[Finding] = []
    counted: list[int] = []

    async def once(*, fresh: bool = False) -> int:
        run = await begin_audit(reader, log.trust, memory, fresh=fresh)
        first = run.auditor.done
        said[:] = run.auditor.findings
        counted.clear()
        await run_audit(
            run, reader, parallel=2, on_findings=said.extend, on_progress=counted.append
        )
        return first

    def break_down(request: web.Request) -> web.Response | None:
        log.faults.append(break_down)
        down = request.path.endswith("tile/entries/002")
        return web.Response(status=500) if down else None

    log.faults.append(break_down)
    with pytest.raises(UnavailableError):
        await once()
    state = state_file(tmp_path)
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    log.faults.clear()
    # The log has grown meanwhile; the run is still of the checkpoint it began with.
    log.append(event(id="later"))
    assert await once() == 512
    assert sum(counted) == 1101 - 512
    assert [each.place for each in said] == ["entry 0", "checkpoint"]
    assert not state.exists()
    assert await once() == 0
    assert sum(counted) == 1102
    await reader.close()


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[]", b'{"v":1,"note":"x","auditor":{}}']
)
async def test_a_state_that_is_none_costs_nothing_but_the_start(
    damage: bytes, tmp_path: Path, served: Served, log: LyingLog
) -> None:
    memory = FileMemory(tmp_path)
    path = memory.path("audits", log.origin, "audit.json")
    path.parent.mkdir()
    path.write_bytes(damage)
    reader = reader_of(served, log)
    run = await begin_audit(reader, log.trust, memory)
    assert run.auditor.done == 0
    await reader.close()
