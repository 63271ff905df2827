"""A monitor that knew a log's first key follows it to its end; so does its copy."""

import shutil
from pathlib import Path

import pytest

from provlog.client.fetching import LogReader
from provlog.client.memory import FileMemory
from provlog.client.transport import Transport
from provlog.client.watching import Watch
from provlog.merkle.trust import Trust
from support.lying_log import event, serving
from support.monitored import Monitored, grown, log_config, monitored
from support.rotating_logs import RotatingLog
from support.static_sites import static


async def step(running: Monitored, seconds: float = 20.0) -> list[tuple[str, str]]:
    running.clock.pass_by(seconds)
    await running.first.look()
    await running.first.read()
    return running.said()


async def seen(url: str, trust: Trust, folder: Path) -> str:
    """Return what somebody sees who follows a copy for the first time."""
    reader = LogReader(Transport(url, "main", None, 0.0, insecure=False), trust)
    try:
        return (await Watch(reader, trust, FileMemory(folder)).look()).event
    finally:
        await reader.close()


async def test_a_log_is_followed_over_its_keys_to_its_end_and_so_is_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.watching.ANNOUNCED_SECONDS", 0.0)
    log = RotatingLog()
    trust, web = log.trust, tmp_path / "web"
    grown(log, 3)
    with serving(log) as served, static(web) as url:
        config = log_config(served, log, trust=trust, full=True, mirror=web)
        async with monitored(tmp_path, [config]) as running:
            assert await step(running) == []
            log.rotate(7, retire=True)
            grown(log, 2)
            assert await step(running) == []
            assert await seen(url, trust, tmp_path / "a") == "grown"
            log.freeze()
            assert await step(running) == [("frozen", "begins")]
            assert running.first.followed.state == "ended"
            assert not running.daemon.lies()
            assert await seen(url, trust, tmp_path / "b") == "frozen"
            # It stays what it is, and is told no second time.
            assert await step(running, 3600) == []
            log.append(event(id="after the end"))
            running.clock.pass_by(20)
            await running.first.look()
            [alert] = running.alerts
            assert (alert.kind, alert.severity) == ("after-its-end", "critical")
            assert alert.details["evidence"]
            assert running.daemon.lies()
            assert await seen(url, trust, tmp_path / "c") == "frozen"


async def test_a_copy_that_lost_its_announcements_gets_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.watching.ANNOUNCED_SECONDS", 0.0)
    log = RotatingLog()
    trust, web = log.trust, tmp_path / "web"
    log.rotate(7, retire=True)
    grown(log, 2)
    with serving(log) as served:
        config = log_config(served, log, trust=trust, full=True, mirror=web)
        async with monitored(tmp_path, [config]) as running:
            await step(running)
        path = web / "logs" / "main" / "announcements"
        shutil.move(path, tmp_path / "kept")
        async with monitored(tmp_path, [config]) as running:
            await step(running)
        assert path.read_bytes() == (tmp_path / "kept").read_bytes()
