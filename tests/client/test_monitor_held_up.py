"""A log that would keep a monitor waiting, busy or silent: it is told all the same."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from provlog.client.fetching import LogReader
from provlog.client.monitoring.full import FullReading
from provlog.client.monitoring.full_state import FullFile
from provlog.client.transport import Transport
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.notes import sign_note
from provlog.merkle.trust import verify_checkpoint
from support.lying_log import LyingLog, Served
from support.monitored import grown, log_config, monitored


def later(seconds: str) -> Callable[[web.Request], web.Response]:
    return lambda _: web.Response(status=503, headers={"Retry-After": seconds})


def failing(_: web.Request) -> web.Response:
    return web.Response(status=502)


async def test_a_log_that_asks_to_come_back_in_years_is_asked_again_soon(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    log.faults += [later("999999999"), later("9" * 30)]
    async with monitored(tmp_path, [log_config(served, log)]) as running:
        for _ in range(2):
            report = await running.first.look()
            assert report is not None and report.event == "unreachable"
            assert report.retry_after is not None and report.retry_after <= 600


async def test_a_log_that_serves_its_head_and_not_its_entries_is_in_alarm(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 3)
    async with monitored(tmp_path, [log_config(served, log, full=True)]) as running:
        await running.first.look()
        log.faults += [failing] * 16
        assert not await running.first.read()
        running.clock.pass_by(301)
        log.faults += [failing] * 16
        assert not await running.first.read()
        assert running.said() == [("unread", "begins")]
        log.faults.clear()
        assert await running.first.read()


async def test_of_a_size_that_no_log_can_have_the_reading_comes_to_an_end(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    text = Checkpoint(log.origin, 2**62, bytes(32)).text()
    signed = verify_checkpoint(sign_note(text, [log.key]), log.trust)
    transport = Transport(served.url, "main", None, 0.0, insecure=False)
    reader = LogReader(transport, log.trust)
    reading = FullReading(reader, FullFile(tmp_path / "full.json", log.origin))
    try:
        outcome = await asyncio.wait_for(reading.catch_up(signed), 20)
    finally:
        await reader.close()
    assert outcome.wrong
    assert len(log.requests) < 200
    assert reading.state.size == 0
