"""The file of an outbox: durable, bounded, private, and never made anew."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from provlog.client.errors import (
    OutboxFullError,
    SpoolError,
    UnavailableError,
    UsageError,
)
from provlog.client.outbox import files, views
from provlog.client.outbox.items import (
    Failure,
    Settled,
    event_item,
    record_items,
)
from provlog.client.outbox.spool import Spool
from provlog.merkle.encoding import parse_time
from provlog.server.intake.event import parse_event
from support.lying_log import Json
from support.outboxes import SOURCE, item, meddle, small, until

REFUSED = Failure(422, "not valid", "invalid-event", "/type")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box" / "spool"


def ids(spool: Spool) -> list[str | None]:
    return [each.id for each in spool.batch()]


def test_what_was_put_is_there_for_the_next_process_in_its_order(path: Path) -> None:
    spool = Spool(path)
    spool.put([item(1), item(2)])
    spool.put([item(3)])
    spool.close()
    again = Spool(path, create=False)
    assert ids(again) == ["s1", "s2", "s3"]
    assert [each.number for each in again.batch()] == [1, 2, 3]
    again.close()


def test_its_files_are_private_and_its_commits_flushed(path: Path) -> None:
    spool = Spool(path)
    spool.put([item(1)])
    modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {0o600}
    ask = spool._connection.execute
    assert ask("PRAGMA synchronous").fetchone() == (3,)
    assert ask("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert ask("PRAGMA secure_delete").fetchone() == (1,)
    spool.close()


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    Spool(path).close()
    path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        Spool(path)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_a_file_that_is_no_outbox_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SpoolError):
        Spool(path)
    assert path.read_bytes() == content


def test_a_damaged_file_is_said_to_be_and_not_made_anew(path: Path) -> None:
    spool = Spool(path)
    spool.put([item(number) for number in range(200)])
    spool.close()
    data = path.read_bytes()
    broken = data[:4096] + b"\xff" * 8192 + data[12288:]
    path.write_bytes(broken)
    damaged = Spool(path)
    with pytest.raises(SpoolError, match="damaged"):
        views.check(damaged)
    damaged.close()
    assert path.read_bytes() == broken


def test_an_event_with_a_flipped_bit_is_not_sent(path: Path) -> None:
    spool = Spool(path)
    spool.put([item(1)])
    meddle(path, "UPDATE items SET body = CAST(replace(body, 'lock', 'mock') AS BLOB)")
    for ask in (spool.batch, lambda: views.check(spool)):
        with pytest.raises(SpoolError, match="item 1 is damaged"):
            ask()
    meddle(path, "UPDATE items SET body = 'a text'")
    with pytest.raises(SpoolError, match="damaged"):
        spool.batch()
    spool.close()


def test_a_newer_version_is_refused(path: Path) -> None:
    Spool(path).close()
    meddle(path, "PRAGMA user_version = 2")
    with pytest.raises(SpoolError, match="version 2"):
        Spool(path)


def test_a_journal_without_its_file_is_not_built_upon(path: Path) -> None:
    path.parent.mkdir()
    journal = path.with_name("spool-journal")
    journal.write_bytes(b"what was under way")
    with pytest.raises(SpoolError, match="its journal is there"):
        Spool(path)
    assert not path.exists()


def test_a_file_that_was_moved_away_takes_no_more(path: Path) -> None:
    spool = Spool(path)
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(SpoolError, match="moved away"):
        spool.put([item(1)])
    Spool(path).close()
    with pytest.raises(SpoolError, match="replaced"):
        spool.put([item(1)])
    spool.close()


def test_a_missing_file_is_an_error_to_who_only_looks(path: Path) -> None:
    with pytest.raises(UsageError, match="no outbox"):
        Spool(path, create=False)
    assert not path.exists()


def test_it_is_not_used_across_a_fork(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(path)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(UsageError, match="fork"):
        spool.put([item(1)])
    monkeypatch.undo()
    spool.close()
    with pytest.raises(UsageError, match="closed"):
        spool.put([item(1)])


def test_a_full_spool_refuses_all_of_a_put(path: Path) -> None:
    spool = Spool(path, max_events=3)
    spool.put([item(1), item(2)])
    with pytest.raises(OutboxFullError, match="nothing was put"):
        spool.put([item(3), item(4)])
    assert ids(spool) == ["s1", "s2"]
    spool.put([item(5)])
    spool.settle([Settled(1, failure=REFUSED)])
    with pytest.raises(OutboxFullError):  # what failed has to be decided upon
        spool.put([item(6)])
    views.drop(spool)
    spool.put([item(6)])
    assert ids(spool) == ["s2", "s5", "s6"]
    spool.close()


def test_bytes_are_bounded_as_well(path: Path) -> None:
    size = len(item(1).body)
    spool = Spool(path, max_bytes=2 * size)
    spool.put([item(1), item(2)])
    with pytest.raises(OutboxFullError):
        spool.put([item(3)])
    assert views.read_status(spool).bytes == 2 * size
    spool.close()


def test_a_full_disk_leaves_nothing_half_put(path: Path) -> None:
    spool = Spool(path)
    spool.put([item(1)])
    pages = spool._connection.execute("PRAGMA page_count").fetchone()[0]
    spool._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutboxFullError, match="disk is full"):
        spool.put([item(number) for number in range(2, 500)])
    assert ids(spool) == ["s1"]
    spool._connection.execute("PRAGMA max_page_count = 10000")
    spool.put([item(2)])
    assert ids(spool) == ["s1", "s2"]
    views.check(spool)
    spool.close()


def test_a_file_that_another_program_holds_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BUSY_SECONDS", 0.05)
    spool = Spool(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UnavailableError, match="does not let go"):
        spool.put([item(1)])
    other.execute("ROLLBACK")
    other.close()
    spool.put([item(1)])
    spool.close()


def test_threads_share_a_commit_and_each_learns_its_own_fate(path: Path) -> None:
    spool = Spool(path, max_events=6)
    outcomes: list[bool] = []

    def put(number: int) -> None:
        try:
            spool.put([item(number)])
            outcomes.append(True)
        except OutboxFullError:
            outcomes.append(False)

    commits: list[str] = []
    spool._connection.set_trace_callback(
        lambda text: commits.append(text) if text == "COMMIT" else None
    )
    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    with spool._turn:
        for thread in threads:
            thread.start()
        until(lambda: len(spool._puts.waiting) == 7)
    for thread in threads:
        thread.join()
    assert (outcomes.count(True), outcomes.count(False)) == (6, 2)
    assert len(spool.batch()) == 6
    # Of the first one, which waited for nobody, and of all the others.
    assert len(commits) == 2
    spool.close()


def test_an_interrupted_commit_is_nobodys_success(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(path)
    put_one = spool._put_one

    def interrupt(db: sqlite3.Connection, ticket: Any) -> None:  # noqa: ANN401
        if ticket.items[0].id != "s0":
            raise KeyboardInterrupt
        put_one(db, ticket)

    monkeypatch.setattr(spool, "_put_one", interrupt)
    ends: list[type[BaseException] | None] = []

    def put(number: int) -> None:
        try:
            spool.put([item(number)])
            ends.append(None)
        except BaseException as error:
            ends.append(type(error))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(3)]
    with spool._turn:
        threads[0].start()
        until(lambda: spool._puts.leader)
        for thread in threads[1:]:
            thread.start()
        until(lambda: len(spool._puts.waiting) == 2)
    for thread in threads:
        thread.join()
    # One of two was interrupted, and had begun to put the other's along with its own.
    assert set(ends) == {None, KeyboardInterrupt, SpoolError}
    assert ids(spool) == ["s0"]
    spool._put_one = put_one  # type: ignore[method-assign]
    spool.put([item(3)])
    assert ids(spool) == ["s0", "s3"]
    spool.close()


def test_a_put_inside_of_a_put_is_an_error_and_not_a_standstill(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(path)
    put_one = spool._put_one

    def put_again(db: sqlite3.Connection, ticket: Any) -> None:  # noqa: ANN401
        with pytest.raises(UsageError, match="signal handler"):
            spool.put([item(2)])
        put_one(db, ticket)

    monkeypatch.setattr(spool, "_put_one", put_again)
    spool.put([item(1)])
    assert ids(spool) == ["s1"]
    spool.close()


def test_several_processes_make_one_file(path: Path) -> None:
    program = (
        "import sys\n"
        "from provlog.client import Outbox\n"
        "outbox = Outbox(sys.argv[1])\n"
        "for number in range(20):\n"
        "    outbox.put({'source': 'urn:a', 'type': 'account.lock'})\n"
        "outbox.close()\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [each.wait(60) for each in processes] == [0, 0, 0]
    spool = Spool(path)
    assert len(set(ids(spool))) == 60
    spool.close()


def test_items_are_batched_by_kind_and_size(path: Path) -> None:
    spool = Spool(path)
    spool.put([item(1), item(2)])
    spool.put(list(record_items(b'{"a":1}', "okta", "urn:okta:a")))
    spool.put(list(record_items(b'{"a":2}', "okta", "urn:okta:b")))
    assert [each.id for each in spool.batch()] == ["s1", "s2"]
    spool.settle([Settled(1), Settled(2)])
    assert [each.source for each in spool.batch()] == ["urn:okta:a"]
    assert [e.source for e in spool.batch(["urn:okta:a"])] == ["urn:okta:b"]
    spool.settle([Settled(3), Settled(4)])
    large = "x" * (5 << 20)
    spool.put([item(number, data=large) for number in range(2)])
    assert len(spool.batch()) == 1
    spool.close()


def test_a_numbered_spool_counts_the_events_of_each_source(path: Path) -> None:
    spool = Spool(path, max_events=6, numbered=True)
    bare: Json = {"source": SOURCE, "type": "account.lock"}
    spool.put([event_item(bare), event_item({**bare, "source": "urn:other"})])
    spool.put([item(1), event_item({**bare, "sequence": "70"}), event_item(bare)])
    with pytest.raises(OutboxFullError):
        spool.put([event_item(bare)] * 2)
    spool.close()
    again = Spool(path, numbered=True)
    again.put([event_item(bare)])
    events = [parse_event(json.loads(e.body), now_ms=0) for e in again.batch()]
    found = [(each.source, each.seq) for each in events]
    assert found == [
        (SOURCE, 1),
        ("urn:other", 1),
        (SOURCE, None),
        (SOURCE, 70),
        (SOURCE, 2),
        (SOURCE, 3),
    ]
    assert views.read_status(again).bytes == sum(len(e.body) for e in again.batch())
    again.close()
    plain = Spool(path)
    plain.put([event_item(bare)])
    assert "sequence" not in json.loads(plain.batch()[-1].body)
    plain.close()


def test_one_spool_is_of_one_log(path: Path) -> None:
    spool = Spool(path)
    spool.bind("log.example/main")
    spool.bind("log.example/main")
    with pytest.raises(UsageError, match="another log"):
        spool.bind("other.example/main")
    spool.close()


def test_an_event_is_dated_when_it_is_put_unless_it_may_be_put_again() -> None:
    bare: Json = {"source": SOURCE, "type": "account.lock"}
    begun = time.time_ns() // 1_000_000
    dated = json.loads(event_item(bare).body)
    assert begun <= parse_time(dated["time"]) <= time.time_ns() // 1_000_000
    own = event_item({**bare, "time": "2026-01-01T00:00:00Z"})
    assert json.loads(own.body)["time"] == "2026-01-01T00:00:00Z"
    assert event_item(small(1)) == event_item(small(1))
    assert "time" not in json.loads(event_item(small(1)).body)


@pytest.mark.parametrize(
    "event",
    [
        small(1, source=None),
        small(1, type=7),
        small(1, id="x" * 257),
        small(1, data="x" * (8 << 20)),
        {"source": float("nan"), "type": "account.lock"},
    ],
    ids=["no source", "no type", "long id", "long", "not JSON"],
)
def test_what_no_log_takes_is_refused_before_it_is_put(
    event: dict[str, object],
) -> None:
    with pytest.raises(UsageError) as caught:
        event_item(event)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200
