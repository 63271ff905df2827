"""The monitor: what a log can do is told apart, and each lie is caught and named."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from provlog.client import FileMemory, RefusedError, VolatileMemory
from provlog.client.cli import cli
from provlog.client.cli.monitoring import _Printer
from provlog.client.errors import UsageError
from provlog.client.evidence import verify_evidence
from provlog.client.fetching import LogReader
from provlog.client.transport import Transport
from provlog.client.watching import MisbehaviourError, Report, Watch, follow
from provlog.client.watching_metrics import MetricsServer, MonitorMetrics
from provlog.merkle.errors import InconsistencyError, SignatureError
from support.lying_log import LyingLog, Served, event


@pytest.fixture
def log() -> LyingLog:
    log = LyingLog()
    for place in range(4):
        log.append(event(id=f"e{place}"))
    return log


@pytest.fixture
async def reader(served: Served, log: LyingLog) -> AsyncIterator[LogReader]:
    transport = Transport(served.url, "main", None, 0.0, insecure=False)
    reader = LogReader(transport, log.trust)
    yield reader
    await reader.close()


@pytest.fixture
def watch(reader: LogReader, log: LyingLog, tmp_path: Path) -> Watch:
    return Watch(reader, log.trust, FileMemory(tmp_path))


def other_history(size: int) -> LyingLog:
    fork = LyingLog()
    for place in range(size - 1):
        fork.append(event(id=f"x{place}"))
    return fork


async def caught(watch: Watch) -> MisbehaviourError:
    with pytest.raises(MisbehaviourError) as info:
        await watch.look()
    assert info.value.report.event == "misbehaves"
    return info.value


def kept(error: MisbehaviourError) -> dict[str, str]:
    """Return the file with both checkpoints."""
    assert error.report.evidence is not None
    value: dict[str, str] = json.loads(Path(error.report.evidence).read_bytes())
    return value


async def test_growth_is_reported_and_remembered_at_once(
    watch: Watch, log: LyingLog, tmp_path: Path
) -> None:
    first = await watch.look()
    assert (first.event, first.size, first.before) == ("grown", 5, None)
    assert (await watch.look()).event == "unchanged"
    for size in (6, 7, 8):
        log.append(event(id=f"later{size}"))
        report = await watch.look()
        assert (report.event, report.size, report.before) == ("grown", size, size - 1)
        # Each one is on disk before it is reported: kill -9 forgets nothing.
        assert FileMemory(tmp_path).load(log.origin, log.vkey) == log.note(size)


@pytest.mark.parametrize("size", [5, 6, 9])
async def test_a_fork_is_caught_and_its_file_convicts_the_log(
    size: int, watch: Watch, log: LyingLog, served: Served
) -> None:
    await watch.look()
    fork = other_history(size)
    served.switch(fork)
    error = await caught(watch)
    assert error.report.detail.startswith("forked: ")
    assert isinstance(error.cause, InconsistencyError)
    found = verify_evidence(json.dumps(kept(error)).encode(), log.trust)
    assert {found.older.note, found.newer.note} == {log.note(5), fork.note()}


async def test_a_fork_is_caught_after_a_restart(
    watch: Watch, reader: LogReader, log: LyingLog, served: Served, tmp_path: Path
) -> None:
    await watch.look()
    served.switch(other_history(8))
    again = Watch(reader, log.trust, FileMemory(tmp_path))
    error = await caught(again)
    assert error.report.detail.startswith("forked: ")


async def test_a_truncated_log_is_caught_with_both_checkpoints(
    watch: Watch, log: LyingLog
) -> None:
    await watch.look()
    before = log.note()
    del log.leaves[3:]
    error = await caught(watch)
    assert error.report.detail.startswith("rolled back: ")
    assert "tree of 5 leaves begins with that of 3" in error.report.detail
    assert kept(error)["older"] == before.decode()
    assert kept(error)["newer"] == log.note().decode()


async def test_a_log_rolled_back_to_a_head_that_was_seen_is_caught(
    watch: Watch, log: LyingLog
) -> None:
    await watch.look()
    log.append(event(id="gone"))
    await watch.look()
    # Its root is known to be a beginning of the tree; the rest of the tree is gone.
    log.leaves.pop()
    error = await caught(watch)
    assert error.report.detail.startswith("rolled back: ")


async def test_a_log_rolled_back_and_grown_anew_is_a_fork(
    watch: Watch, log: LyingLog
) -> None:
    await watch.look()
    del log.leaves[2:]
    for place in range(6):
        log.append(event(id=f"anew{place}"))
    error = await caught(watch)
    assert error.report.detail.startswith("forked: ")


async def test_a_stale_head_is_no_lie_and_replaces_nothing(
    watch: Watch, log: LyingLog, tmp_path: Path
) -> None:
    await watch.look()
    log.served_size = 3
    report = await watch.look()
    assert (report.event, report.size, report.newest) == ("stale", 3, 5)
    assert "older head of the same log" in report.detail
    assert FileMemory(tmp_path).load(log.origin, log.vkey) == log.note(5)
    log.served_size = None
    assert (await watch.look()).event == "unchanged"


async def test_a_server_that_does_not_answer_is_unreachable_and_not_stale(
    watch: Watch, log: LyingLog
) -> None:
    await watch.look()
    log.faults.append(lambda request: web.Response(status=502))
    report = await watch.look()
    assert (report.event, report.size, report.newest) == ("unreachable", None, 5)
    busy = {"Retry-After": "7"}
    log.faults.append(lambda request: web.Response(status=503, headers=busy))
    assert (await watch.look()).retry_after == 7
    assert (await watch.look()).event == "unchanged"


async def test_growth_that_is_not_proved_is_caught(watch: Watch, log: LyingLog) -> None:
    await watch.look()
    log.append(event(id="more"))
    # Neither by a proof nor by the tiles that one can be made of.
    refusals = [lambda request: web.Response(status=404)] * 4
    log.faults += [lambda request: None, *refusals]
    error = await caught(watch)
    assert error.report.detail.startswith("not proved: ")
    assert kept(error)["newer"] == log.note().decode()


async def test_a_checkpoint_of_another_key_is_caught_and_kept(
    watch: Watch, log: LyingLog, served: Served
) -> None:
    await watch.look()
    served.switch(LyingLog(seed=bytes(32)))
    error = await caught(watch)
    assert error.report.detail.startswith("not to be believed: ")
    assert isinstance(error.cause, SignatureError)
    assert kept(error)["newer"] == served.log.note().decode()


async def test_a_page_that_is_no_checkpoint_is_not_believed(
    watch: Watch, log: LyingLog
) -> None:
    log.faults.append(lambda request: web.Response(text="<html>"))
    error = await caught(watch)
    assert error.report.detail.startswith("not to be believed: ")
    # There is nothing to hold it against yet.
    assert error.report.evidence is None


async def test_a_token_that_does_not_reach_the_log_is_the_callers_mistake(
    watch: Watch, log: LyingLog
) -> None:
    log.faults.append(lambda request: web.Response(status=401))
    with pytest.raises(RefusedError):
        await watch.look()


async def test_following_goes_on_until_the_log_misbehaves(
    reader: LogReader, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.watching.FIRST_BACKOFF", 0.01)
    watch = Watch(reader, log.trust, VolatileMemory())
    seen: list[str] = []

    def step(report: Report) -> None:
        seen.append(report.event)
        if report.event == "unreachable":
            log.append(event(id="more"))
        elif len(seen) == 1:
            log.faults.append(lambda request: web.Response(status=500))
        else:
            log.served_size = 1
            log.leaves.pop()

    with pytest.raises(MisbehaviourError):
        await asyncio.wait_for(
            follow(watch, wait=0, pause=0.01, on_report=step), timeout=10
        )
    assert seen == ["grown", "unreachable", "grown"]


def test_the_same_thing_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def report(name: str, size: int | None) -> Report:
        return Report(name, "o", 0, size, size, size, name)  # type: ignore[arg-type]

    say = _Printer(as_json=False, always=False)
    for name, size in [
        ("grown", 5),
        ("unchanged", 5),
        ("unchanged", 5),
        ("unreachable", None),
        ("unreachable", None),
        ("unchanged", 5),
        ("stale", 3),
        ("stale", 3),
        ("grown", 6),
    ]:
        say(report(name, size))
    said = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["grown", "unreachable", "unchanged", "stale", "grown"]


async def test_metrics_tell_what_the_monitor_sees(watch: Watch, log: LyingLog) -> None:
    metrics = MonitorMetrics(log.origin)
    metrics.observe(await watch.look())
    log.served_size = 2
    metrics.observe(await watch.look())
    log.faults.append(lambda request: web.Response(status=500))
    metrics.observe(await watch.look())
    with MetricsServer(metrics, "127.0.0.1:0") as server:

        def read() -> str:
            with urllib.request.urlopen(server.url, timeout=5) as page:
                return str(page.read().decode())

        text = await asyncio.to_thread(read)
    label = f'{{origin="{log.origin}"}}'
    for line in (
        f"provlog_monitor_size{label} 5.0",
        f"provlog_monitor_served_size{label} 2.0",
        f"provlog_monitor_reachable{label} 0.0",
        f"provlog_monitor_stale{label} 0.0",
        f'provlog_monitor_looks_total{{event="stale",origin="{log.origin}"}} 1.0',
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("address", ["9470", ":9470", "localhost:x", "localhost:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        MetricsServer(MonitorMetrics("o"), address)


Run = Callable[..., Result]


@pytest.fixture
def once(served: Served, log: LyingLog, tmp_path: Path) -> Run:
    env = {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_STATE": str(tmp_path / "state"),
        "PROVLOG_PATIENCE": "0",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["monitor", "--once", *arguments], env=env)

    return call


def test_once_for_cron(once: Run, log: LyingLog, served: Served) -> None:
    first = once()
    assert (first.exit_code, first.stderr) == (0, "")
    assert "grown        a log of 5 entries, seen for the first time" in first.stdout
    assert json.loads(once("--json").stdout)["event"] == "unchanged"
    log.faults.append(lambda request: web.Response(status=500))
    down = once("--json")
    assert (down.exit_code, json.loads(down.stdout)["event"]) == (3, "unreachable")
    log.served_size = 3
    stale = once()
    assert stale.exit_code == 3
    assert "unavailable: stale: serves its tree of 3" in stale.stderr
    served.switch(other_history(7))
    forked = once("--json")
    assert forked.exit_code == 1
    assert "VERIFICATION FAILED" in forked.stderr
    said = json.loads(forked.stdout)
    assert (said["event"], said["newest"]) == ("misbehaves", 5)
    assert Path(said["evidence"]).is_file()


def test_without_a_server_or_key_the_mistake_is_named(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path), "PROVLOG_URL": "", "PROVLOG_LOG_KEY": ""}
    for command in ("monitor", "audit"):
        result = CliRunner().invoke(cli, [command], env=env)
        assert result.exit_code == 2
        assert "--log-key" in result.stderr
