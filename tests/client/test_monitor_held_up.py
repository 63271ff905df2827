"""A log that would keep a monitor waiting, busy or silent: it is told all the same."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from click.exceptions import Exit

from provlog.client.cli.monitoring_many import UNAVAILABLE, look_at_many
from provlog.client.cli.output import save
from provlog.client.cli.settings import read_file
from provlog.client.evidence import judge_evidence
from provlog.client.fetching import LogReader
from provlog.client.monitoring import full, reading_on
from provlog.client.monitoring.config import MonitorConfig
from provlog.client.monitoring.full import FullReading
from provlog.client.monitoring.full_state import FullFile
from provlog.client.monitoring.judging import MAX_EVIDENCE
from provlog.client.monitoring.symptoms import SETTLE
from provlog.client.transport import Transport
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import encode_base64
from provlog.merkle.notes import sign_note
from provlog.merkle.trust import verify_checkpoint
from support.lying_log import Json, LyingLog, Served, event
from support.monitored import grown, log_config, monitored
from support.tiled_logs import event_leaf


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
            assert report is not None
            assert report.event == "unreachable"
            assert 0 < (report.retry_after or 0.0) <= 600


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
        assert running.said() == [("withheld", "begins")]
        log.faults.clear()
        assert await running.first.read()


async def test_a_log_that_is_read_for_long_leaves_its_place_to_others_and_goes_on(
    served: Served, log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "PASS_SECONDS", 0.0)
    grown(log, 600)
    config = log_config(served, log, full=True)
    async with monitored(tmp_path, [config], passes=1) as running:
        await running.first.look()
        assert not await running.first.read()
        assert await running.first.read()
        assert running.first.followed.read_size == 601
        assert running.said() == []
    bundles = [each for each in log.paths() if "entries" in each]
    assert len(bundles) < 6


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


def wrong_proofs(number: int) -> Callable[[str, Json], None]:
    """Answer what nobody signed, where a proof of consistency is asked for."""

    def rewrite(path: str, body: Json) -> None:
        if path == "consistency":
            body["hashes"] = [encode_base64(bytes([number]) * 32)]

    return rewrite


async def test_whoever_answers_with_wrong_proofs_convicts_nobody_and_hides_nothing(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 4)
    async with monitored(tmp_path, [log_config(served, log)]) as running:
        await running.first.look()
        grown(log, 3)
        for number in range(MAX_EVIDENCE + 1):
            log.rewrite = wrong_proofs(number)
            await running.first.look()
        assert running.said() == [("not-proved", "begins")]
        fork = LyingLog()
        fork.append(event(id="other"))
        grown(fork, 9)
        served.switch(fork)
        await running.first.look()
        [alert] = running.alerts
        assert alert.kind == "forked"
        place = str(alert.details["evidence"])
    found = judge_evidence(read_file(Path(place), 1 << 20), log.trust)
    assert found.origin == log.origin


async def test_a_lie_that_was_shown_without_a_proof_convicts_once_it_is_outgrown(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 4)
    fork = log.fork()
    fork.append(event(id="other"))
    fork.rewrite = wrong_proofs(1)
    async with monitored(tmp_path, [log_config(served, log)]) as running:
        await running.first.look()
        served.switch(fork)
        running.clock.pass_by(1)
        await running.first.look()
        assert running.said() == [("not-proved", "begins")]
        # It goes on as if nothing had been.
        served.switch(log)
        grown(log, 3)
        await running.first.look()
        assert running.said() == [("forked", "begins")]
        running.clock.pass_by(10 * SETTLE)
        await running.first.look()
        assert "forked" in running.first.followed.alarms


RULES = """
[[rule]]
name = "by-mallory"
types = ["role.*"]
actor_in = ["name:mallory"]
"""


def by(name: str) -> Json:
    data: Json = {"actor": {"id": "00u1", "type": "user", "name": name}}
    return {**event(id="e2"), "data": data}


async def test_rules_judge_the_entries_of_the_history_that_is_followed_and_no_others(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    save(tmp_path / "rules.toml", RULES.encode())
    config = log_config(served, log, full=True, rules=tmp_path / "rules.toml")
    async with monitored(tmp_path, [config]) as running:
        await running.first.look()
        assert await running.first.read()
        other = log.fork()
        other.append(by("alice"))
        log.append(by("mallory"))
        log.rewrite = lambda path, body: (
            body.update(other.receipt(1)) if path == "entry" else None
        )
        await running.first.look()
        assert not await running.first.read()
        [alert] = running.alerts
        assert alert.kind == "forked"
        running.alerts.clear()
        log.rewrite = lambda path, body: None
        running.clock.pass_by(1)
        assert await running.first.read()
        assert running.said() == [("rule", "event")]
    place = str(alert.details["evidence"])
    found = judge_evidence(read_file(Path(place), 1 << 20), log.trust)
    assert found.origin == log.origin


async def test_an_entry_that_is_refused_keeps_no_rule_from_those_behind_it(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    save(tmp_path / "rules.toml", RULES.encode())
    config = log_config(served, log, full=True, rules=tmp_path / "rules.toml")
    async with monitored(tmp_path, [config]) as running:
        await running.first.look()
        assert await running.first.read()
        grown(log, 1)
        log.append(by("mallory"))
        await running.first.look()

        def hiding(request: web.Request) -> web.Response | None:
            log.faults.append(hiding)
            gone = web.Response(status=410)
            return gone if request.path.endswith("/entries/1") else None

        log.faults.append(hiding)
        assert not await running.first.read()
        assert running.said() == [("rule", "event")]
        running.clock.pass_by(301)
        assert not await running.first.read()
        assert running.said() == [("rules", "begins")]
        log.faults.clear()
        assert await running.first.read()


async def test_what_was_served_wrongly_takes_no_room_from_what_was_signed(
    served: Served, log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_on, "MAX_EVIDENCE", 1)
    grown(log, 3)
    async with monitored(tmp_path, [log_config(served, log, full=True)]) as running:
        await running.first.look()
        log.tampered["tile/entries/000.p/4"] = b"no entries"
        assert not await running.first.read()
        log.tampered.clear()
        assert await running.first.read()
        log.leaves.append(event_leaf(77))
        await running.first.look()
        running.alerts.clear()
        await running.first.read()
        [alert] = running.alerts
    assert alert.kind == "broken-rules"
    kept = json.loads(read_file(Path(str(alert.details["evidence"])), 1 << 20))
    assert kept["what"] == "broken-rules"


def test_a_look_at_a_log_that_withholds_its_entries_is_no_mistake_in_the_call(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    def busy(request: web.Request) -> web.Response | None:
        log.faults.append(busy)
        return failing(request) if "/tile/" in request.path else None

    log.faults.append(busy)
    config = MonitorConfig((log_config(served, log, full=True),), tmp_path)
    with pytest.raises(Exit) as info:
        look_at_many(config, as_json=True)
    assert info.value.exit_code == UNAVAILABLE
