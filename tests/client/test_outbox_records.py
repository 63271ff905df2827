"""Records in an outbox, and what a log refuses among others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from provlog.client import (
    Outbox,
    UsageError,
)
from provlog.client.outbox import sender
from support.lying_log import Json, LyingLog, Served
from support.outboxes import sending, small, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.02)
    monkeypatch.setattr("provlog.client.outbox.box.PATIENCE", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def outbox(path: Path, served: Served, log: LyingLog) -> Iterator[Outbox]:
    with sending(path, served, log) as running:
        yield running


def test_records_of_a_provider_travel_together(outbox: Outbox, log: LyingLog) -> None:
    with outbox.spool._turn:  # the sender meets all of them at once
        for number in range(5):
            record = f'{{"uuid":"u{number}"}}'.encode()
            outbox.put_record(record, format="okta", source="urn:okta:a")
        outbox.put_records(b"[ 1, 2 ]", format="okta", source="urn:okta:a")
        outbox.put_records(b'{"uuid":"u9"}\n{bad', format="okta", source="urn:okta:a")
    outbox.flush(20)
    assert outbox.failed() == []
    assert outbox.status().receipts == len(log.leaves) - 1 == 9
    assert any(body.count(b"uuid") >= 4 for body in log.bodies)
    assert sum(body.count(b'"u4"') for body in log.bodies) == 1
    with pytest.raises(UsageError):
        outbox.put_records(b"neither", format="okta", source="urn:okta:a")


def result_of(body: Json, log: LyingLog, name: bytes) -> Json | None:
    """Return the result of the event or record that holds `name`, if it was sent."""
    results = body["results"]
    assert isinstance(results, list)
    sent = log.bodies[-1]
    parts = sent.split(b"\n") if sent.startswith(b"{") else sent.split(b"},{")
    for part, result in zip(parts, results, strict=True):
        if name in part:
            assert isinstance(result, dict)
            return result
    return None


def answer_with(log: LyingLog, name: bytes, status: int) -> None:
    """Let the log refuse one event or record of each body, and take the others."""

    def rewrite(_: str, body: Json) -> None:
        result = result_of(body, log, name)
        if result is not None:
            result.clear()
            result |= {"status": status, "problem": {"detail": "not this one"}}

    log.rewrite = rewrite


@pytest.mark.parametrize("together", [True, False])
def test_a_record_that_is_refused_among_others_is_found(
    together: bool, outbox: Outbox, log: LyingLog
) -> None:
    answer_with(log, b'"u3"', 422)
    records = [f'{{"uuid":"u{number}"}}'.encode() for number in range(5)]
    with outbox.spool._turn:
        for record in [b"\n".join(records)] if together else records:
            outbox.put_record(record, format="okta", source="urn:okta:a")
    outbox.flush(20)
    [failed] = outbox.failed()
    assert (failed.body == records[3]) is not together
    assert outbox.status().receipts == 4


def test_what_is_refused_for_now_waits_and_the_others_are_settled(
    outbox: Outbox, log: LyingLog
) -> None:
    answer_with(log, b'"s2"', 503)
    outbox.put_many([small(1), small(2), small(3)])
    until(lambda: outbox.status().receipts == 2)
    assert (outbox.status().waiting, outbox.failed()) == (1, [])
    log.rewrite = lambda path, body: None
    outbox.flush(20)
    assert outbox.status().receipts == 3


def test_a_refused_record_costs_the_others_nothing(
    outbox: Outbox, log: LyingLog
) -> None:
    def without_three(_: web.Request) -> web.Response | None:
        bad = b'"u3"' in log.bodies[-1]
        return web.json_response({}, status=422) if bad else None

    log.faults.extend([without_three] * 20)
    for number in range(6):
        record = f'{{"uuid":"u{number}"}}'.encode()
        outbox.put_record(record, format="okta", source="urn:okta:a")
    outbox.flush(20)
    [failed] = outbox.failed()
    assert failed.body == b'{"uuid":"u3"}'
    assert len(log.leaves) - 1 == 5


def test_records_of_a_source_that_the_token_may_not_write_hold_up_nobody(
    outbox: Outbox, log: LyingLog
) -> None:
    def forbidden(_: web.Request) -> web.Response | None:
        if b'"foreign"' not in log.bodies[-1]:
            return None
        problem = {"detail": "not this one", "pointer": "/source"}
        return web.json_response(problem, status=403)

    log.faults.extend([forbidden] * 20)
    with outbox.spool._turn:
        for _ in range(2):
            outbox.put_record(b'{"uuid":"foreign"}', format="okta", source="urn:okta:b")
        outbox.put_record(b'{"uuid":"u1"}', format="okta", source="urn:okta:a")
    outbox.flush(20)
    assert [each.source for each in outbox.failed()] == ["urn:okta:b"] * 2
    assert outbox.status().receipts == 1


def test_a_token_that_may_do_nothing_costs_no_record(
    outbox: Outbox, log: LyingLog
) -> None:
    def refused(_: web.Request) -> web.Response:
        return web.json_response({"detail": "lacks the role"}, status=403)

    log.faults.append(refused)
    outbox.put_record(b'{"uuid":"u1"}', format="okta", source="urn:okta:a")
    outbox.flush(20)
    assert (outbox.failed(), outbox.status().receipts) == ([], 1)
