"""Python code that changes accounts: the logging handler and the decorator."""

import asyncio
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provlog.client import (
    AsyncOutbox,
    Outbox,
    OutboxFullError,
    OutboxHandler,
    UsageError,
    recorded,
)
from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.intake.event import parse_event
from support.outboxes import SOURCE

EVENT: dict[str, JsonValue] = {"type": "account.lock", "data": {"target": {"id": "u1"}}}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "spool", max_events=4) as opened:
        yield opened


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("tests.hr")
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)


def put(outbox: Outbox) -> list[dict[str, JsonValue]]:
    events = [json.loads(each.body) for each in outbox.spool.batch()]
    for event in events:
        parse_event(event, now_ms=0)
    return events


def test_a_record_that_carries_an_event_is_put(
    outbox: Outbox, logger: logging.Logger
) -> None:
    logger.addHandler(OutboxHandler(outbox, source=SOURCE))
    begun = time.time_ns() // 1_000_000
    logger.warning("locked %s", "somebody", extra={"provlog": EVENT})
    logger.warning("nothing to do with accounts")
    own = {**EVENT, "source": "urn:other", "time": "2026-01-01T00:00:00Z"}
    logger.warning("locked", extra={"provlog": own})
    first, second = put(outbox)
    assert (first["source"], first["data"]) == (SOURCE, EVENT["data"])
    assert begun <= parse_time(str(first["time"])) <= time.time_ns() // 1_000_000
    assert (second["source"], second["time"]) == (own["source"], own["time"])


@pytest.mark.parametrize("event", ["text", {"type": "account.lock"}, {"a": object()}])
def test_what_cannot_be_put_never_breaks_the_caller_and_is_said(
    outbox: Outbox,
    logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    event: object,
) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    logger.addHandler(OutboxHandler(outbox))
    logger.warning("locked %s", "somebody-in-particular", extra={"provlog": event})
    assert "NOT put (UsageError; tests.hr, test_recording.py:" in errors.getvalue()
    assert "somebody-in-particular" not in errors.getvalue()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.warning("locked", extra={"provlog": event})
    assert errors.getvalue().count("\n") == 1


def test_told_to_the_handler_raises(outbox: Outbox, logger: logging.Logger) -> None:
    logger.addHandler(OutboxHandler(outbox, raises=True))
    with pytest.raises(UsageError):
        logger.warning("locked", extra={"provlog": "text"})


def person(number: str, **_: object) -> dict[str, JsonValue]:
    return {"id": number, "type": "user"}


def locking(outbox: Outbox | AsyncOutbox, **more: bool) -> Callable[..., str]:
    @recorded(outbox, source=SOURCE, type="account.lock", target=person, **more)  # type: ignore[arg-type]
    def lock(number: str, *, fails: bool = False) -> str:
        """Lock an account."""
        if fails:
            raise ValueError("bob@example.com is not to be locked")
        return f"locked {number}"

    return lock


def outcomes(outbox: Outbox) -> list[dict[str, JsonValue]]:
    found = []
    for event in put(outbox):
        data = event["data"]
        assert isinstance(data, dict)
        assert isinstance(data["outcome"], dict)
        pending = data["outcome"]["result"] == "pending"
        assert event["type"] == ("attempt." if pending else "") + "account.lock"
        assert event["source"] == SOURCE
        assert data["target"] == {"id": "u1", "type": "user"}
        found.append(data["outcome"])
    return found


def test_a_call_leaves_its_attempt_and_its_outcome(outbox: Outbox) -> None:
    lock = locking(outbox)
    assert lock.__name__ == "lock"
    assert lock("u1") == "locked u1"
    assert outcomes(outbox) == [{"result": "pending"}, {"result": "success"}]
    contexts = [json.dumps(e["data"]["context"]) for e in put(outbox)]  # type: ignore[index, call-overload]
    assert contexts[0] == contexts[1]


def test_a_failure_names_the_class_and_not_the_text_and_is_raised(
    outbox: Outbox,
) -> None:
    with pytest.raises(ValueError, match="not to be locked"):
        locking(outbox)("u1", fails=True)
    assert outcomes(outbox)[1] == {"result": "failure", "reason": "ValueError"}
    assert "bob" not in json.dumps(put(outbox))


def test_the_attempt_is_on_disk_before_the_function_is_entered(
    outbox: Outbox,
) -> None:
    seen: list[int] = []

    @recorded(outbox, source=SOURCE, type="account.lock", target=person, actor=person)
    def lock(number: str) -> None:
        seen.append(len(put(outbox)))

    lock("u1")
    assert seen == [1]
    data = put(outbox)[0]["data"]
    assert isinstance(data, dict)
    assert data["actor"] == data["target"]


def test_no_change_is_made_without_a_trace(outbox: Outbox) -> None:
    outbox.put_many([{**EVENT, "source": SOURCE}] * 4)
    entered: list[str] = []

    @recorded(outbox, source=SOURCE, type="account.lock", target=person)
    def lock(number: str) -> None:
        entered.append(number)

    with pytest.raises(OutboxFullError):
        lock("u1")
    assert entered == []


@pytest.mark.parametrize("strict", [False, True])
def test_an_outcome_that_cannot_be_put_is_said_or_raised(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    outbox.put_many([{**EVENT, "source": SOURCE}] * 3)
    lock = locking(outbox, strict=strict)
    if strict:
        with pytest.raises(OutboxFullError):
            lock("u1")
    else:
        assert lock("u1") == "locked u1"
    assert "outcome of a account.lock was NOT put (OutboxFullError)" in caplog.text
    outbox.spool.settle([])
    full = locking(outbox, strict=True, attempt=False)
    with pytest.raises(ValueError, match="not to be locked"):
        full("u1", fails=True)


def test_only_the_outcome_if_that_is_enough(outbox: Outbox) -> None:
    locking(outbox, attempt=False)("u1")
    assert outcomes(outbox) == [{"result": "success"}]


async def test_coroutine_functions_are_recorded_too(outbox: Outbox) -> None:
    entered, held = asyncio.Event(), asyncio.Event()

    @recorded(outbox, source=SOURCE, type="account.lock", target=person)
    async def lock(number: str) -> str:
        entered.set()
        await held.wait()
        return number

    task = asyncio.create_task(lock("u1"))
    await asyncio.wait_for(entered.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.set()
    assert await lock("u1") == "u1"
    assert outcomes(outbox)[1:] == [
        {"result": "failure", "reason": "CancelledError"},
        {"result": "pending"},
        {"result": "success"},
    ]


async def test_cancelled_before_it_was_entered_it_has_an_outcome_too(
    outbox: Outbox,
) -> None:
    entered: list[str] = []

    @recorded(outbox, source=SOURCE, type="account.lock", target=person)
    async def lock(number: str) -> None:
        entered.append(number)

    with outbox.spool._turn:  # the attempt waits for its turn
        task = asyncio.create_task(lock("u1"))
        while not outbox.spool._puts.leader:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert entered == []
    assert outcomes(outbox)[1] == {"result": "failure", "reason": "CancelledError"}


async def test_an_asynchronous_outbox_serves_as_well(tmp_path: Path) -> None:
    async with AsyncOutbox(tmp_path / "other") as box:

        @recorded(box, source=SOURCE, type="account.lock", target=person)
        async def lock(number: str) -> str:
            return number

        assert await lock("u1") == "u1"
        assert len(outcomes(box.outbox)) == 2


def test_generators_are_refused_where_they_are_decorated(outbox: Outbox) -> None:
    def each(number: str) -> Iterator[str]:
        yield number

    with pytest.raises(UsageError, match="generator"):
        recorded(outbox, source=SOURCE, type="account.lock", target=person)(each)
