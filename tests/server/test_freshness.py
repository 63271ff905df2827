"""Since when a source is silent: over appends, restarts and other processes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from provlog.server import freshness
from provlog.server.clock import Clock
from provlog.server.freshness import MAX_LEAVES, Freshness
from provlog.server.intake.draft import EventDraft
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import Reads, SourceRecord, StorageError
from support.events import event_of
from support.services import append, fill, make_instance, running

ACME, QUIET = "urn:okta:acme", "urn:okta:quiet"


def of(log: Log, source: str, event_id: str) -> EventDraft:
    return log.drafter.event(event_of(id=event_id, source=source), source, {})


async def register(service: Service, log: Log, *sources: str) -> None:
    for uri in sources:
        await service.register_source(log, SourceRecord(uri, uri, None), "test")


async def follow(service: Service, log: Log) -> None:
    """Do what the service does once a second."""
    await log.refresh()
    await log.freshness.follow(service.storage, log.id, log.released.size)


def ages(service: Service) -> dict[str, float]:
    """Return the ages as they are shown."""
    return {
        sample.labels["source"]: sample.value
        for family in service.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "provlog_source_event_age_seconds"
    }


async def test_the_age_is_that_of_the_newest_event_of_each_source(
    tmp_path: Path,
) -> None:
    wall = [Clock().now()]
    clock = Clock(lambda: wall[0], lambda: wall[0])
    async with running(await make_instance(tmp_path), clock=clock) as (service, log):
        await register(service, log, ACME, QUIET)
        assert ages(service) == {}
        await append(service, log, of(log, ACME, "a"), of(log, QUIET, "q"))
        wall[0] += 7_000
        await append(service, log, of(log, ACME, "b"))
        wall[0] += 2_500
        assert ages(service) == {ACME: 2.5, QUIET: 9.5}
        # A repetition is no new event.
        await append(service, log, of(log, QUIET, "q"))
        assert ages(service) == {ACME: 2.5, QUIET: 9.5}


async def test_a_restart_does_not_hide_silence(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    wall = [Clock().now()]
    clock = Clock(lambda: wall[0], lambda: wall[0])
    async with running(instance, clock=clock) as (service, log):
        await register(service, log, ACME, QUIET, "urn:never")
        await append(service, log, of(log, QUIET, "q"))
        wall[0] += 60_000
        await append(service, log, of(log, ACME, "a"))
    wall[0] += 60_000
    async with running(instance, clock=clock) as (service, log):
        assert ages(service) == {}
        await follow(service, log)
        # Who never sent anything is not silent.
        assert ages(service) == {ACME: 60, QUIET: 120}
        assert log.freshness.recorded == wall[0] - 60_000


async def test_a_source_of_long_ago_is_at_least_as_old_as_all_that_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "MAX_LEAVES", 8)
    monkeypatch.setattr(freshness, "_STRIDE", 3)
    instance = await make_instance(tmp_path)
    wall = [Clock().now()]
    clock = Clock(lambda: wall[0], lambda: wall[0])
    async with running(instance, clock=clock) as (service, log):
        await register(service, log, ACME, QUIET)
        await append(service, log, of(log, QUIET, "q"))
        for number in range(20):
            wall[0] += 1_000
            await append(service, log, of(log, ACME, str(number)))
    async with running(instance, clock=clock) as (service, log):
        read = _count_reads(service, monkeypatch)
        size = log.released.size
        await follow(service, log)
        assert ages(service) == {ACME: 0, QUIET: 8}  # nine were read, in strides
        assert read == [(size - 3, size), (size - 6, size - 3), (size - 9, size - 6)]


def _count_reads(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, int]]:
    plain, made = service.storage.leaves, []

    async def leaves(log: int, start: int, end: int) -> list[bytes]:
        made.append((start, end))
        return await plain(log, start, end)

    monkeypatch.setattr(service.storage, "leaves", leaves)
    return made


async def test_reading_stops_once_every_source_was_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await register(service, log, ACME)
        await fill(service, log, 500)
    async with running(instance) as (service, log):
        read = _count_reads(service, monkeypatch)
        await follow(service, log)
        assert len(read) == 1
        await follow(service, log)
        assert len(read) == 1, "nothing new, nothing read"


async def test_what_another_process_appends_is_seen(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    wall = [Clock().now()]
    clock = Clock(lambda: wall[0], lambda: wall[0])
    async with (
        running(instance, clock=clock) as (service, log),
        running(instance, clock=clock) as (other, theirs),
    ):
        await follow(service, log)
        await register(other, theirs, ACME, QUIET)
        await append(other, theirs, of(theirs, QUIET, "q"))
        wall[0] += 5_000
        # Theirs lie below ours now, and are read all the same.
        await append(service, log, of(log, ACME, "a"))
        assert ages(service) == {ACME: 0}
        await follow(service, log)
        assert ages(service) == {ACME: 0, QUIET: 5}
        await append(other, theirs, of(theirs, QUIET, "r"))
        await follow(service, log)
        assert ages(service) == {ACME: 0, QUIET: 0}


class _Leaves:
    """A log of another process's leaves, of which each read is noted."""

    def __init__(self, leaf: bytes) -> None:
        self.leaf = leaf
        self.read: list[tuple[int, int]] = []

    async def leaves(self, log: int, start: int, end: int) -> list[bytes]:
        self.read.append((start, end))
        return [self.leaf] * (end - start)

    async def sources(self, log: int) -> list[SourceRecord]:
        return []


async def test_of_much_that_others_append_the_newest_is_read() -> None:
    reads, known = _Leaves(b"{}"), Freshness()
    await known.follow(reads, 1, 5)  # type: ignore[arg-type]
    reads.read.clear()
    known.appended(10_000, 10_001, 1, [])
    await known.follow(reads, 1, 20_000)  # type: ignore[arg-type]
    assert (reads.read[0][0], reads.read[-1][1]) == (20_000 - MAX_LEAVES, 20_000)
    assert sum(end - start for start, end in reads.read) == MAX_LEAVES


async def test_what_could_not_be_read_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StorageError("disk I/O error")

    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log), running(instance) as (other, same):
        for source in (ACME, QUIET):
            await register(other, same, source)
            await append(other, same, of(same, source, "a"))
            monkeypatch.setattr(service.storage, "leaves", fail)
            with pytest.raises(StorageError):
                await log.freshness.follow(service.storage, log.id, same.released.size)
            monkeypatch.undo()
            await follow(service, log)
            assert source in ages(service)


async def test_the_service_follows_every_log_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, followed = Freshness.follow, asyncio.Event()

    async def noted(self: Freshness, reads: Reads, log: int, size: int) -> None:
        await plain(self, reads, log, size)
        followed.set()

    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await register(service, log, ACME)
        await append(service, log, of(log, ACME, "a"))
    monkeypatch.setattr(Freshness, "follow", noted)
    async with running(instance) as (service, log):
        tending = asyncio.create_task(service.tend())
        await asyncio.wait_for(followed.wait(), 10)
        tending.cancel()
        assert ages(service).keys() == {ACME}


@pytest.mark.parametrize(
    ("leaf", "sources"),
    [
        (b'{"n":1,"recorded":"2026-11-21T17:53:56.001Z","source":"s","v":1}', ["s"]),
        (b'{"n":1,"recorded":"2026-11-21T17:53:56.001Z","seq":7,"source":"s"}', ["s"]),
        (b'{"n":1,"recorded":"2026-11-21T17:53:56.001Z","v":1}', []),
        (b'{"members":{"source":"s"},"v":2}', []),
        (b"", []),
    ],
)
async def test_leaves_of_any_kind_are_read(leaf: bytes, sources: Sequence[str]) -> None:
    reads, known = _Leaves(leaf), Freshness()
    await known.follow(reads, 1, 1)  # type: ignore[arg-type]
    assert [*known.newest] == sources


def test_the_sources_that_are_followed_are_bounded() -> None:
    known = Freshness()
    many = [f"urn:{number}" for number in range(freshness.MAX_SOURCES + 9)]
    known.appended(0, 1, 5, many)
    assert len(known.newest) == freshness.MAX_SOURCES
    known.appended(1, 2, 6, many[:1])
    assert known.newest[many[0]] == 6
