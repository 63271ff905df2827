"""An outbox and its log: order, refusals, patience, and lies."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from provlog.client import (
    AsyncOutbox,
    Outbox,
    OutboxFullError,
    Receipt,
    UnavailableError,
    UsageError,
    VolatileMemory,
)
from provlog.client.outbox import sender
from provlog.client.outbox.items import Item
from provlog.merkle.receipts import verify_receipt
from support.lying_log import LyingLog, Served
from support.outboxes import SOURCE, logged_ids, sending, sent_ids, small, until


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


def answering(status: int, **headers: str) -> Any:  # noqa: ANN401
    return lambda _: web.json_response({}, status=status, headers=headers)


def test_what_was_put_gets_into_the_log_and_its_receipt_is_kept(
    outbox: Outbox, path: Path, log: LyingLog
) -> None:
    name = outbox.put({"source": SOURCE, "type": "account.lock"})
    outbox.flush(20)
    [receipt] = outbox.receipts(SOURCE, name)
    verified = verify_receipt(receipt.data, log.trust)
    assert verified.entry.data == log.leaves[receipt.index]
    status = outbox.status()
    assert (status.waiting, status.sent, status.receipts) == (0, 1, 1)
    assert outbox.move_receipts(path.parent / "kept") == 1
    [kept] = (path.parent / "kept").iterdir()
    assert kept.read_bytes().strip() == receipt.data
    assert outbox.receipts(SOURCE, name) == []


def test_events_go_in_order_and_many_at_a_time(outbox: Outbox, log: LyingLog) -> None:
    names = outbox.put_many([small(number) for number in range(40)])
    names += [outbox.put(small(number)) for number in range(40, 60)]
    outbox.flush(20)
    assert logged_ids(log) == names
    assert len(log.bodies) < 30


def test_without_a_log_to_send_to_it_takes_what_another_one_sends(
    path: Path, served: Served, log: LyingLog
) -> None:
    with Outbox(path) as taking:
        taking.put(small(1))
        with pytest.raises(UnavailableError, match="still wait"):
            taking.flush(0)
        with sending(path, served, log):
            taking.flush(20)
    assert logged_ids(log) == ["s1"]


def test_only_one_of_two_sends_and_the_other_takes_over(
    path: Path, served: Served, log: LyingLog
) -> None:
    told: list[str | None] = []
    with sending(path, served, log) as second:
        until(lambda: second.spool.lease.is_held)
        with sending(path, served, log, on_trouble=told.append) as third:
            third.put(small(1))
            third.flush(20)
            assert not third.spool.lease.is_held
            second.close()
            until(lambda: third.spool.lease.is_held)
            third.put(small(2))
            third.flush(20)
    assert logged_ids(log) == ["s1", "s2"]
    assert told == ["another process sends", None]


def test_who_is_stopped_while_another_sends_says_nothing_of_sending(
    path: Path, served: Served, log: LyingLog
) -> None:
    told: list[str | None] = []
    with sending(path, served, log) as second:
        until(lambda: second.spool.lease.is_held)
        with sending(path, served, log, on_trouble=told.append):
            until(lambda: told)
    assert told == ["another process sends"]


def test_the_same_event_put_twice_has_one_entry_and_one_receipt(
    outbox: Outbox, log: LyingLog
) -> None:
    for _ in range(2):
        outbox.put(small(1))
        outbox.flush(20)
    assert logged_ids(log) == ["s1"]
    assert len(outbox.receipts(SOURCE, "s1")) == 1


def test_what_is_refused_is_kept_with_its_reason_and_holds_up_nobody(
    path: Path, served: Served, log: LyingLog
) -> None:
    told: list[Item] = []
    log.append({"specversion": "1.0", **small(2, type="account.unlock")})
    with sending(path, served, log, on_failed=told.append) as outbox:
        outbox.put_many([small(1), small(2), small(3, type="?"), small(4)])
        outbox.flush(20)
        failed = outbox.failed()
        assert [(each.id, _status(each)) for each in failed] == [
            ("s2", 409),
            ("s3", 422),
        ]
        until(lambda: len(told) == 2)
        assert [each.id for each in told] == ["s2", "s3"]
        assert logged_ids(log) == ["s2", "s1", "s4"]
        assert outbox.drop([failed[1].number]) == 1
        assert outbox.retry() == 1
        outbox.flush(20)
        assert [_status(each) for each in outbox.failed()] == [409]


def _status(item: Item) -> int:
    assert item.failure is not None
    return item.failure.status


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_body_that_is_refused_for_one_event_costs_that_event_only(
    status: int, outbox: Outbox, log: LyingLog
) -> None:
    def without_three(_: web.Request) -> web.Response | None:
        bad = b'"s3"' in log.bodies[-1]
        return web.json_response({}, status=status) if bad else None

    log.faults.extend([without_three] * 20)
    outbox.put_many([small(number) for number in range(6)])
    outbox.flush(20)
    assert logged_ids(log) == ["s0", "s1", "s2", "s4", "s5"]
    assert [(each.id, _status(each)) for each in outbox.failed()] == [("s3", status)]


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 502, 503])
def test_what_is_no_event_s_fault_keeps_all_of_them_waiting(
    status: int, path: Path, served: Served, log: LyingLog
) -> None:
    told: list[str | None] = []
    log.faults.extend([answering(status)] * 3)
    with sending(path, served, log, on_trouble=told.append) as outbox:
        outbox.put_many([small(1), small(2)])
        outbox.flush(20)
        assert outbox.failed() == []
        assert outbox.status().trouble is None
    assert logged_ids(log) == ["s1", "s2"]
    assert told[-1] is None
    assert isinstance(told[0], str)


def test_trouble_is_there_to_be_seen_by_others(outbox: Outbox, log: LyingLog) -> None:
    log.faults.extend([answering(401)] * 10_000)
    outbox.put(small(1))
    until(lambda: outbox.status().trouble)
    with pytest.raises(UnavailableError, match="401"):
        outbox.flush(0)
    log.faults.clear()
    outbox.flush(20)
    assert outbox.status().trouble is None


def test_an_event_that_makes_the_server_fail_holds_up_its_source_only(
    outbox: Outbox, log: LyingLog
) -> None:
    def fails(_: web.Request) -> web.Response | None:
        bad = b'"s2"' in log.bodies[-1]
        return web.json_response({}, status=500) if bad else None

    log.faults.extend([fails] * 1000)
    events = [small(1), small(2), small(3), small(4, source="urn:other")]
    outbox.put_many(events)
    until(lambda: outbox.status().waiting == 2)
    assert logged_ids(log) == ["s1", "s4"]
    assert outbox.failed() == []


def test_it_comes_back_when_the_log_asks_it_to(
    path: Path, served: Served, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    pause = sender.Sender._pause

    async def noted(self: Any, seconds: float, *, wakes: bool = True) -> None:  # noqa: ANN401
        if not wakes:
            waited.append(seconds)
        await pause(self, min(seconds, 0.01), wakes=wakes)

    monkeypatch.setattr(sender.Sender, "_pause", noted)
    monkeypatch.setattr(sender, "LONGEST_PAUSE", 0.5)
    log.faults.extend([answering(503, **{"Retry-After": "7"})] * 9)
    with sending(path, served, log) as outbox:
        outbox.put(small(1))
        outbox.flush(20)
    assert all(each > 7 for each in waited)
    assert len(waited) == 9
    # Twice as long each time, up to a limit, half of it by chance.
    for number, each in enumerate(waited):
        most = min(0.01 * 2**number, 0.5)
        assert most / 2 <= round(each - 7, 9) <= most


def test_an_answer_that_was_lost_makes_no_second_entry(
    outbox: Outbox, log: LyingLog
) -> None:
    async def log_and_break(request: web.Request) -> None:
        await log._post(request)
        assert request.transport is not None
        request.transport.abort()

    log.faults.append(log_and_break)
    outbox.put_many([small(1), small(2)])
    outbox.flush(20)
    assert sent_ids(log)[0] == sent_ids(log)[1] == ["s1", "s2"]
    assert logged_ids(log) == ["s1", "s2"]
    assert outbox.status().receipts == 2


def test_a_callback_that_raises_stops_nothing(
    path: Path, served: Served, log: LyingLog
) -> None:
    got: list[int] = []

    def on_receipt(receipt: Receipt) -> None:
        got.append(receipt.index)
        raise RuntimeError("bob@example.com")

    with sending(path, served, log, on_receipt=on_receipt) as outbox:
        outbox.put_many([small(1), small(2)])
        outbox.flush(20)
        until(lambda: len(got) == 2)


def test_a_late_answer_does_not_hold_up_the_end(
    path: Path, served: Served, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.outbox.box.STOP_SECONDS", 0.05)
    held = asyncio.Event()

    async def never(_: web.Request) -> None:
        await held.wait()

    log.faults.append(never)
    with sending(path, served, log) as outbox:
        outbox.put(small(1))
        until(lambda: log.bodies)
        outbox.close()
    served._loop.call_soon_threadsafe(held.set)
    with sending(path, served, log) as outbox:
        outbox.flush(20)
    assert logged_ids(log) == ["s1"]


def test_a_full_outbox_says_so_and_takes_again_when_it_was_sent(
    path: Path, served: Served, log: LyingLog
) -> None:
    log.faults.extend([answering(503)] * 10_000)
    with sending(path, served, log, max_events=2) as outbox:
        outbox.put_many([small(1), small(2)])
        with pytest.raises(OutboxFullError):
            outbox.put(small(3))
        log.faults.clear()
        outbox.flush(20)
        outbox.put(small(3))
        outbox.flush(20)
    assert logged_ids(log) == ["s1", "s2", "s3"]


def test_a_program_that_ends_without_closing_it_ends_quietly(
    path: Path, served: Served, log: LyingLog
) -> None:
    program = (
        "import atexit, sys\n"
        "from provlog.client import Outbox, Trust, VolatileMemory\n"
        "path, url, key = sys.argv[1:]\n"
        "memory = VolatileMemory()\n"
        "outbox = Outbox(path, url, Trust.from_log_key(key), memory=memory)\n"
        "outbox.start()\n"
        "outbox.put({'source': 'urn:a', 'type': 'account.lock'})\n"
        # What the sender meets while the interpreter goes is to be seen.
        "atexit.register(outbox._thread.join)\n"
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program, path, served.url, log.vkey],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    with sending(path, served, log) as outbox:
        outbox.flush(20)
    assert len(logged_ids(log)) == 3


def test_a_mistake_in_the_call_is_found_at_once(path: Path, log: LyingLog) -> None:
    with pytest.raises(UsageError, match="url and trust"):
        Outbox(path, "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="unencrypted"):
        Outbox(path, "http://log.example", log.trust, token="plt_a_b")
    assert not path.exists()


def test_the_asynchronous_form_has_every_method() -> None:
    public = {name for name in vars(Outbox) if not name.startswith("_")}
    assert public <= set(vars(AsyncOutbox))


async def test_the_asynchronous_form_does_the_same(
    path: Path, served: Served, log: LyingLog
) -> None:
    async with AsyncOutbox(
        path, served.url, log.trust, memory=VolatileMemory()
    ) as outbox:
        names = await asyncio.gather(*(outbox.put(small(n)) for n in range(10)))
        await outbox.put_record(b'{"uuid":"u1"}', format="okta", source="urn:okta:a")
        await outbox.flush(20)
        status = await outbox.status()
        assert (status.sent, await outbox.failed()) == (11, [])
        assert await outbox.receipts(SOURCE, names[3])
    assert sorted(logged_ids(log)) == sorted([*names, "u1"])
