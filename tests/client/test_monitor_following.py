"""Logs followed side by side: alarms begin and end, and a log's trouble is its own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from provlog.client.errors import UsageError
from provlog.client.memory import Evidence, FileMemory
from provlog.client.monitoring.clocks import JumpDetector
from provlog.client.monitoring.freshness import Freshness
from provlog.client.monitoring.judging import MAX_EVIDENCE, SparingMemory
from provlog.client.monitoring.listening import Listener, parse_address
from provlog.client.monitoring.symptoms import SETTLE
from provlog.client.watching import Report
from provlog.merkle.trust import Trust
from provlog.merkle.witness_messages import origin_hash
from support.cosigners import Cosigner
from support.lying_log import LyingLog, Served, event, serving
from support.monitored import START, HandClock, Monitored, grown, log_config, monitored

WITNESS = Cosigner.ed25519("w.example", 1)


@pytest.fixture
async def watched(
    served: Served, log: LyingLog, tmp_path: Path
) -> AsyncIterator[Monitored]:
    grown(log, 4)
    async with monitored(tmp_path, [log_config(served, log)]) as running:
        yield running


def down(request: web.Request) -> web.Response:
    return web.Response(status=502)


def files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.json")]


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110  there is no event
        await asyncio.sleep(0.01)


async def look(running: Monitored, seconds: float = 0.0) -> list[tuple[str, str]]:
    running.clock.pass_by(seconds)
    await running.first.look()
    return running.said()


async def test_a_log_that_goes_silent_is_told_once_and_when_it_is_back(
    watched: Monitored, log: LyingLog
) -> None:
    assert await look(watched) == []
    log.faults += [down] * 4
    assert await look(watched, 10) == []
    assert await look(watched, 299) == []
    assert await look(watched, 10) == [("unreachable", "begins")]
    assert watched.first.followed.state == "alarm"
    assert await look(watched, 3600) == []
    assert await look(watched, 1) == []
    assert await look(watched, SETTLE) == [("unreachable", "resolved")]
    assert watched.first.followed.alarms == ()


async def test_a_fork_alarms_once_for_good_and_the_log_is_watched_on(
    watched: Monitored, log: LyingLog, served: Served, tmp_path: Path
) -> None:
    await look(watched)
    fork = LyingLog()
    fork.append(event(id="other"))
    grown(fork, 9)
    served.switch(fork)
    watched.clock.pass_by(1)
    await watched.first.look()
    [alert] = watched.alerts
    assert (alert.kind, alert.severity, alert.phase) == ("forked", "critical", "begins")
    assert str(alert.details["evidence"]) in files(tmp_path)
    watched.alerts.clear()
    assert await look(watched, 60) == []
    # Back on the history that is known here, which does not take the lie back.
    served.switch(log)
    grown(log, 1)
    assert await look(watched, 60) == []
    assert watched.first.followed.size == 6
    assert await look(watched, 10 * SETTLE) == []
    assert watched.first.followed.alarms == ("forked",)
    assert watched.daemon.lies()
    assert await look(watched, 86_400) == [("forked", "goes on")]


async def test_what_was_not_believed_once_is_resolved_when_it_is_believed_again(
    watched: Monitored, log: LyingLog
) -> None:
    await look(watched)
    log.faults.append(lambda request: web.Response(text="<html>captive portal"))
    assert await look(watched, 1) == [("not-believed", "begins")]
    assert await look(watched, 1) == []
    assert await look(watched, SETTLE) == [("not-believed", "resolved")]
    assert not watched.daemon.lies()


async def test_a_rolled_back_log_is_no_longer_one_once_it_proves_what_it_signed(
    watched: Monitored, log: LyingLog
) -> None:
    await look(watched)
    gone = log.leaves[3:]
    del log.leaves[3:]
    assert await look(watched, 1) == [("rolled-back", "begins")]
    # No answer says nothing about it.
    log.faults.append(down)
    assert await look(watched, 10 * SETTLE) == []
    log.leaves += gone
    assert await look(watched, 1) == []
    assert await look(watched, SETTLE) == [("rolled-back", "resolved")]


async def test_after_a_restart_nothing_is_told_twice_and_nothing_is_forgotten(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 4)
    clock = HandClock()
    config = [log_config(served, log)]
    async with monitored(tmp_path, config, clock) as running:
        await look(running)
        served.switch(other := LyingLog())
        other.append(event(id="other"))
        grown(other, 9)
        assert await look(running, 1) == [("forked", "begins")]
    async with monitored(tmp_path, config, clock) as running:
        assert running.first.followed.alarms == ("forked",)
        assert await look(running, 60) == []
        served.switch(log)
        assert await look(running, 60) == []
        assert running.daemon.lies()


async def test_what_could_not_be_told_is_told_by_the_next_look(
    watched: Monitored, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await look(watched)

    async def fail(alerts: object) -> None:
        raise UsageError("the disk is full")

    log.faults += [lambda request: web.Response(text="x")] * 2
    with monkeypatch.context() as patch:
        patch.setattr(watched.first, "_tell", fail)
        with pytest.raises(UsageError):
            await watched.first.look()
    assert watched.first._file.path.exists()
    assert await look(watched) == [("not-believed", "begins")]


async def test_a_token_that_does_not_reach_and_a_bug_are_alarms_of_one_log(
    watched: Monitored, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.faults.append(lambda request: web.Response(status=401))
    assert await look(watched) == [("refused", "begins")]

    async def broken(wait: float = 0.0) -> None:
        raise KeyError("alice@example.com")

    with monkeypatch.context() as patch:
        patch.setattr(watched.first._watch, "look", broken)
        watched.clock.pass_by(1)
        assert await watched.first.look() is None
    [alert] = watched.alerts
    assert (alert.kind, alert.text) == ("trouble", "internal error (KeyError)")


async def test_the_age_of_cosignatures_is_watched_even_while_nobody_answers(
    served: Served, log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (f"log {log.vkey}", f"witness w {WITNESS.key.vkey()}", "quorum w", "")
    trust = Trust.from_policy("\n".join(lines))
    at = int(START)
    plain = LyingLog.note
    monkeypatch.setattr(
        LyingLog, "note", lambda self, size=None: WITNESS.cosign(plain(self, size), at)
    )
    config = log_config(
        served, log, trust=trust, full=True, freshness=Freshness(3600, 300)
    )
    async with monitored(tmp_path, [config]) as running:
        assert await look(running) == []
        assert running.first.followed.quorum_time == at
        log.faults.append(down)
        assert await look(running, 3601) == [("stale-witnesses", "begins")]
        at = int(running.clock.now())
        assert await look(running) == []
        assert await look(running, SETTLE) == [("stale-witnesses", "resolved")]
        # The same tree, cosigned anew: that is the checkpoint to show.
        signed = running.first.followed.signed
        assert signed is not None
        assert signed.cosignatures[0].timestamp == at
        # Entry 0 is of 2026, long before: a witness that cosigned before that lies, or
        # the log did.
        at = 1_600_000_000
        grown(log, 1)
        await running.first.look()
        assert await running.first.read()
        assert ("recorded-ahead", "begins") in running.said()


async def test_with_too_few_witnesses_for_long_the_alarm_says_so(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    lines = (f"log {log.vkey}", f"witness w {WITNESS.key.vkey()}", "quorum w", "")
    config = log_config(served, log, trust=Trust.from_policy("\n".join(lines)))
    async with monitored(tmp_path, [config]) as running:
        assert await look(running) == []
        assert await look(running, SETTLE) == [("too-few-witnesses", "begins")]


async def test_fifty_logs_are_followed_and_the_trouble_of_some_is_theirs_alone(
    tmp_path: Path,
) -> None:
    logs = [LyingLog(origin=f"log{n}.example/main") for n in range(50)]
    logs[3].faults += [lambda request: web.Response(text="x")] * 10_000
    logs[4].faults += [down] * 10_000
    well = [n for n in range(50) if n not in (3, 4)]
    with contextlib.ExitStack() as stack:
        configs = [
            log_config(stack.enter_context(serving(log)), log, full=True)
            for log in logs
        ]
        async with monitored(tmp_path, configs) as running:
            followed = running.daemon.followed
            task = asyncio.create_task(running.daemon.run())
            async with asyncio.timeout(50):
                await until(lambda: all(followed[n].read_size == 1 for n in well))
                for log in logs:
                    grown(log, 3)
                await until(lambda: all(followed[n].read_size == 4 for n in well))
                await until(lambda: "not-believed" in followed[3].alarms)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert {followed[n].state for n in well} == {"well"}
    assert followed[3].state == "alarm"
    assert followed[4].looks["unreachable"] > 0
    assert running.troubles == []


async def test_what_is_known_after_a_restart_does_not_wait_for_the_log_to_grow(
    served: Served, log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = log_config(served, log, wait=30.0)
    async with monitored(tmp_path, [config]) as running:
        waits: list[float] = []
        look, again = running.first.look, asyncio.Event()

        async def counted(wait: float = 0.0) -> Report | None:
            waits.append(wait)
            if len(waits) > 1:
                again.set()
            return await look()

        monkeypatch.setattr(running.first, "look", counted)
        task = asyncio.create_task(running.first.run())
        async with asyncio.timeout(10):
            await again.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert waits[:2] == [0.0, 30.0]


async def test_a_follower_that_breaks_is_begun_anew(
    watched: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.monitoring.daemon.AGAIN_SECONDS", 0.01)
    times = 0

    async def breaking() -> None:
        nonlocal times
        times += 1
        if times < 3:
            raise OSError("a disk at /home/alice")
        await asyncio.Event().wait()

    monkeypatch.setattr(watched.first, "run", breaking)
    task = asyncio.create_task(watched.daemon.run())
    async with asyncio.timeout(10):
        await until(lambda: times >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert watched.troubles == ["log.example/main: internal error (OSError)"] * 2


async def test_two_monitors_do_not_share_a_state(
    watched: Monitored, served: Served, log: LyingLog, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="another monitor uses this state"):
        async with monitored(tmp_path, [log_config(served, log)]):
            pass


async def test_a_log_that_is_wrong_again_and_again_does_not_fill_the_disk(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    async with monitored(tmp_path, [log_config(served, log, full=True)]) as running:
        for turn in range(MAX_EVIDENCE + 3):
            grown(log, 1)
            place = f"tile/entries/000.p/{len(log.leaves)}"
            log.tampered[place] = bytes([0, 1, turn])
            await running.first.look()
            assert not await running.first.read()
            assert "wrong-content" in running.first.followed.present
            log.tampered.clear()
            await running.first.look()
            assert await running.first.read()
    kept = [each for each in files(tmp_path) if each.endswith("wrong-content.json")]
    assert len(kept) == MAX_EVIDENCE


async def test_the_listener_shows_the_newest_checkpoint_byte_for_byte_and_all_else(
    watched: Monitored, log: LyingLog
) -> None:
    daemon = watched.daemon
    listener = Listener(lambda: daemon.followed, daemon.sender.state, watched.clock)
    place = f"/{origin_hash(log.origin)}/checkpoint"
    async with listener.serving("127.0.0.1", 0) as url, ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(url + path) as answer:
                return answer.status, await answer.text()

        taken = Listener(list, daemon.sender.state, watched.clock)
        with pytest.raises(
            UsageError, match=r"^127\.0\.0\.1:\d+: Address already in use$"
        ):
            async with taken.serving("127.0.0.1", int(url.rpartition(":")[2])):
                pass
        assert (await get(place))[0] == 404
        await look(watched)
        assert await get(place) == (200, log.note().decode())
        # What it lies afterwards is not what was verified.
        true = log.note().decode()
        log.faults.append(lambda request: web.Response(text="<script>x</script>"))
        await look(watched, 1)
        assert await get(place) == (200, true)
        assert (await get(f"/{'0' * 64}/checkpoint"))[0] == 404
        status = json.loads((await get("/status.json"))[1])
        [shown] = status["logs"]
        assert (shown["state"], shown["size"]) == ("alarm", 5)
        assert shown["alarms"][0]["kind"] == "not-believed"
        code, page = await get("/")
        assert code == 200
        assert "1 of 1 logs in alarm" in page
        assert "<script" not in page
        # On a phone there are no columns: each figure says what it is.
        assert "@media (max-width" in page
        assert "data-is='entries'>5<" in page
        figures = (await get("/metrics"))[1].splitlines()
        label = 'kind="not-believed",origin="log.example/main",severity="critical"'
        assert f"provlog_monitor_alarm{{{label}}} 1.0" in figures
        assert 'provlog_monitor_size{origin="log.example/main"} 5.0' in figures
        assert (await get("/healthz"))[0] == 200
        watched.clock.pass_by(601)
        assert (await get("/healthz"))[0] == 503


def test_the_listener_stays_on_this_machine_unless_told_otherwise() -> None:
    with pytest.raises(UsageError, match="insecure_listen"):
        parse_address("0.0.0.0:9470", insecure=False)
    assert parse_address("[::1]:9470", insecure=False) == ("::1", 9470)
    assert parse_address("0.0.0.0:9470", insecure=True) == ("0.0.0.0", 9470)
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address("9470", insecure=False)


def test_a_clock_that_was_set_is_noticed_once_and_time_that_passes_is_not() -> None:
    clock = HandClock()
    detector = JumpDetector(clock)
    clock.pass_by(10**6)
    assert detector.jump() is None
    clock.set_by = -3600
    assert detector.jump() == -3600
    assert detector.jump() is None


def test_a_log_that_goes_on_to_lie_does_not_fill_the_disk(tmp_path: Path) -> None:
    memory = SparingMemory(tmp_path, lambda: LyingLog().trust)
    places = {
        memory.convict(Evidence("o", b"older", f"newer {n}".encode(), None))
        for n in range(50)
    }
    assert len(places) == len(list((tmp_path / "evidence").iterdir())) == MAX_EVIDENCE
    assert isinstance(memory, FileMemory)
