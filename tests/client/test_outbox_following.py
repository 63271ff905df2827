"""Lines of files and pipes: each is put once, whatever happens between."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.errors import OutboxFullError
from provlog.client.outbox import following, views
from provlog.client.outbox.following import Follower, LineCutter
from provlog.client.outbox.items import Item, Settled
from provlog.client.outbox.spool import Spool
from support.outboxes import small, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE", 0.01)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool")
    yield opened
    opened.close()


def line(number: int) -> bytes:
    return json.dumps(small(number)).encode() + b"\n"


def append(path: Path, *texts: bytes) -> None:
    with path.open("ab") as file:
        for text in texts:
            file.write(text)


def put_ids(spool: Spool) -> list[str | None]:
    return [each.id for each in spool.batch()]


async def read_once(spool: Spool, path: Path) -> None:
    await Follower(spool, path, following.read_events).run(once=True)


@asynccontextmanager
async def followed(spool: Spool, path: Path) -> AsyncIterator[Follower]:
    follower = Follower(spool, path, following.read_events)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        follower.stop()
        await task


async def until_put(spool: Spool, *numbers: int) -> None:
    expected = [f"s{number}" for number in numbers]
    await asyncio.to_thread(until, lambda: put_ids(spool) == expected)


async def test_a_file_is_read_on_from_where_it_was_left(
    spool: Spool, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    append(path, line(1), line(2))
    await read_once(spool, path)
    await read_once(spool, path)
    append(path, line(3))
    await read_once(spool, path)
    assert put_ids(spool) == ["s1", "s2", "s3"]


async def test_the_place_is_kept_in_the_commit_that_puts(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events"
    append(path, line(1), line(2))
    await read_once(spool, path)
    append(path, line(3))
    put = spool.put

    def dies(*arguments: object) -> None:
        raise OSError("the process died here")

    monkeypatch.setattr(spool, "put", dies)
    with pytest.raises(OSError, match="died"):
        await read_once(spool, path)
    monkeypatch.setattr(spool, "put", put)
    await read_once(spool, path)
    assert put_ids(spool) == ["s1", "s2", "s3"]


async def test_a_line_without_an_end_waits_for_it(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "events"
    append(path, line(1), line(2)[:20])
    async with followed(spool, path):
        await until_put(spool, 1)
        append(path, line(2)[20:], line(3))
        await until_put(spool, 1, 2, 3)
    assert views.read_failed(spool) == []


async def test_a_last_line_that_is_whole_without_its_end_is_taken_once(
    spool: Spool, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    append(path, line(1), line(2).rstrip())
    await read_once(spool, path)
    append(path, b"\n", line(3)[:-5])
    await read_once(spool, path)
    assert put_ids(spool) == ["s1", "s2"]
    assert views.read_failed(spool) == []


async def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(
    spool: Spool, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    append(path, line(1))
    async with followed(spool, path):
        await until_put(spool, 1)
        old = tmp_path / "events.1"
        path.rename(old)
        append(old, line(2))
        append(path, line(3))
        await until_put(spool, 1, 2, 3)


async def test_a_file_that_was_truncated_is_read_anew(
    spool: Spool, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    append(path, line(1), line(2))
    async with followed(spool, path):
        await until_put(spool, 1, 2)
        path.write_bytes(line(3))
        await until_put(spool, 1, 2, 3)


async def test_what_is_no_event_is_kept_as_failed_and_holds_up_nothing(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MAX_LINE", 300)
    path = tmp_path / "events"
    long = b'{"secret":"' + b"x" * 1000 + b'"}\n'
    append(path, b"no json\n", b"\n", b"[]\n", b'{"id":"x"}\n', long, line(1))
    failed: list[Item] = []
    follower = Follower(spool, path, following.read_events, on_failed=failed.append)
    await follower.run(once=True)
    assert put_ids(spool) == ["s1"]
    kept = views.read_failed(spool)
    assert [each.body[:8] for each in kept] == [
        b"no json",
        b"[]",
        b'{"id":"x',
        b'{"secret',
    ]
    assert len(failed) == 4
    details = [each.failure.detail for each in kept if each.failure]
    assert "byte 8)" in details[0]
    assert "more than" in details[3]
    assert "secret" not in "".join(details)


async def test_a_full_spool_makes_it_wait_and_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "small", max_events=2)
    path = tmp_path / "events"
    append(path, *map(line, range(5)))
    full: list[OutboxFullError] = []
    follower = Follower(spool, path, following.read_events, on_full=full.append)
    task = asyncio.create_task(follower.run(once=True))
    taken: list[str | None] = []
    while len(taken) < 5:
        # It waits for room, with what it has read in hand.
        if len(taken) < 3:
            await asyncio.to_thread(until, lambda: full)
        await asyncio.to_thread(until, lambda: put_ids(spool))
        full.clear()
        batch = spool.batch()
        taken += [each.id for each in batch]
        spool.settle([Settled(each.number) for each in batch])
    await task
    assert taken == ["s0", "s1", "s2", "s3", "s4"]
    spool.close()


async def test_a_pipe_is_read_to_its_end(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    follower = Follower(spool, path, following.read_events)
    task = asyncio.create_task(follower.run())
    # Two writers, one after the other: the first one's end is not the pipe's.
    for number in (1, 2):
        await asyncio.to_thread(append, path, line(number))
    await until_put(spool, 1, 2)
    follower.stop()
    await task


async def test_records_go_with_the_lines_that_are_none(
    spool: Spool, tmp_path: Path
) -> None:
    path = tmp_path / "records"
    append(path, b"{bad\n", b'{"uuid":1}\n', b"{worse\n", b'{"uuid":2}\n')
    read = following.read_records("okta", "urn:okta:a")
    await Follower(spool, path, read).run(once=True)
    assert [each.body for each in spool.batch()] == [
        b'{"uuid":1}\n{worse',
        b'{"uuid":2}',
    ]
    [failed] = views.read_failed(spool)
    assert failed.body == b"{bad"


def test_a_line_that_is_too_long_is_one_line_however_it_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "MAX_LINE", 10)
    cutter = LineCutter()
    found = [each for _ in range(9) for each in cutter.feed(b"xxxxx")]
    assert [each.is_whole for each in found] == [False]
    [after] = cutter.feed(b"xx\nshort\n")
    assert (after.text, after.end) == (b"short", 9 * 5 + 3 + 6)


@given(
    st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b"-"))),
    st.lists(st.integers(0, 40), max_size=10),
    st.booleans(),
)
@settings(max_examples=100)
def test_lines_are_cut_alike_however_they_arrive(
    lines: list[bytes], cuts: list[int], ended: bool
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    whole = LineCutter()
    expected = [*whole.feed(data), *whole.finish()]
    parts = LineCutter()
    found = []
    start = 0
    for cut in sorted(cuts):
        found += parts.feed(data[start:cut])
        start = max(start, min(cut, len(data)))
    found += [*parts.feed(data[start:]), *parts.finish()]
    assert found == expected
    assert [each.text for each in found] == [each for each in lines if each.strip()]
    for each in found:
        assert data[: each.end].rstrip(b"\n").endswith(each.text.rstrip(b"\n"))
    assert parts.position == len(data)
