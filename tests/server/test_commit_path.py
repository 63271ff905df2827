"""The commit path's queue, clock, bugs and background work; the rest in storage/."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from provlog.merkle.encoding import decode_base64url
from provlog.merkle.entries import parse_entry
from provlog.server.batch import Appended, Erased, Repeated
from provlog.server.clock import Clock
from provlog.server.errors import (
    ClockError,
    OverloadedError,
    OversizedError,
    UnavailableError,
)
from provlog.server.guard import ReleasedHead
from provlog.server.queueing import QueueLimits
from provlog.server.storage.base import (
    CommitUnknownError,
    Head,
    Incarnation,
    InterruptedStorageError,
    Transaction,
)
from provlog.server.storage.sqlite import SqliteStorage, SqliteTransaction
from provlog.server.tree import Tree
from support.events import event_of
from support.services import (
    SOURCE,
    append,
    broken,
    draft,
    fill,
    make_instance,
    running,
)


async def test_an_erased_event_is_answered_as_erased(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await append(service, log, draft(log, "a"))
        execute(service.storage, "DELETE FROM private WHERE idx = 1")
        assert await append(service, log, draft(log, "a")) == [Erased(1)]


def execute(storage: object, statement: str) -> None:
    assert isinstance(storage, SqliteStorage)
    storage._writer.execute(statement)


class BrokenConnection:
    """A connection on which nothing works any more, as on a failed disk."""

    in_transaction = True

    def execute(self, *_: object) -> None:
        raise apsw.IOError("disk I/O error")

    def close(self, *_: object) -> None:
        raise apsw.IOError("disk I/O error")


async def test_a_commit_that_cannot_even_be_rolled_back_wedges_nothing(
    tmp_path: Path,
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await append(service, log, draft(log, "a"))
        storage = service.storage
        assert isinstance(storage, SqliteStorage)
        whole, storage._writer = storage._writer, BrokenConnection()  # type: ignore[assignment]
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "b"))
        whole.close()
        [outcome] = await append(service, log, draft(log, "b"))
        assert isinstance(outcome, Appended)
        assert service.sequencer.trouble() is None


async def test_a_rollback_that_fails_after_a_commit_leaves_the_outcome_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        storage = service.storage
        assert isinstance(storage, SqliteStorage)

        def fail(transaction: SqliteTransaction) -> None:
            transaction._connection.execute("COMMIT")
            storage._writer = BrokenConnection()  # type: ignore[assignment]
            raise CommitUnknownError("the disk failed")

        kept = storage._writer
        monkeypatch.setattr(SqliteTransaction, "_commit", fail)
        with pytest.raises(UnavailableError, match="send the same events again"):
            await append(service, log, draft(log, "a"))
        monkeypatch.undo()
        kept.close()
        assert await append(service, log, draft(log, "a")) == [Repeated(1)]


async def test_a_bug_in_the_commit_path_answers_everybody_and_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        monkeypatch.setattr(log, "edge_at", bug)
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "a"))
        monkeypatch.undo()
        assert isinstance((await append(service, log, draft(log, "a")))[0], Appended)


async def bug(*_: object) -> None:
    raise ZeroDivisionError


async def test_more_than_the_queue_can_ever_hold_is_refused_for_good(
    tmp_path: Path,
) -> None:
    limits = QueueLimits(queued_events=3)
    async with running(await make_instance(tmp_path), limits=limits) as (service, log):
        with pytest.raises(OversizedError):
            await append(service, log, *(draft(log, f"e{n}") for n in range(4)))
        assert log.released.size == 1


async def test_a_full_queue_takes_a_submission_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    limits = QueueLimits(queued_events=3)
    async with running(await make_instance(tmp_path), limits=limits) as (service, log):
        first = asyncio.create_task(
            append(service, log, *(draft(log, f"e{n}") for n in range(2)))
        )
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await append(service, log, *(draft(log, f"f{n}") for n in range(2)))
        await first
        assert log.released.size == 3


async def test_a_queue_full_of_bytes_refuses_too(tmp_path: Path) -> None:
    limits = QueueLimits(queued_bytes=4000)
    async with running(await make_instance(tmp_path), limits=limits) as (service, log):
        first = asyncio.create_task(append(service, log, draft(log, "a")))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await append(service, log, draft(log, "b"))
        await first
        with pytest.raises(OversizedError):
            await append(service, log, draft(log, "b"), draft(log, "c"))


async def test_a_caller_who_goes_away_does_not_take_the_event_back(
    tmp_path: Path,
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        task = asyncio.create_task(append(service, log, draft(log, "a")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await append(service, log, draft(log, "a")) == [Repeated(1)]


async def test_a_repetition_of_what_nobody_released_waits_for_a_barrier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with (
        running(instance) as (one, log_of_one),
        running(instance) as (two, log_of_two),
    ):
        monkeypatch.setattr(log_of_one, "release", broken)
        with pytest.raises(UnavailableError):
            await append(one, log_of_one, draft(log_of_one, "a"))
        before = barriers(two.storage)
        assert await append(two, log_of_two, draft(log_of_two, "a")) == [Repeated(1)]
        assert barriers(two.storage) == before + 1
        assert log_of_two.released.size == 2
        await append(two, log_of_two, draft(log_of_two, "a"))
        assert barriers(two.storage) == before + 1


def barriers(storage: object) -> int:
    assert isinstance(storage, SqliteStorage)
    [(count,)] = storage._connection.execute("SELECT barrier FROM heads")
    assert isinstance(count, int)
    return count


async def test_background_work_goes_on_after_a_bug_and_for_the_other_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        other = await service.create_log("other", "log.example.com/other", public=False)
        monkeypatch.setattr(other, "release", broken)
        with pytest.raises(UnavailableError):
            await append(service, other, draft(other, "a"))
        monkeypatch.undo()
        monkeypatch.setattr(log, "refresh", bug)
        monkeypatch.setattr(service.guard, "flush", fail_to_flush)
        tending = asyncio.create_task(service.tend())
        released = await other.wait_beyond(1, 10)
        assert released.size == 2
        assert not tending.done()
        tending.cancel()
        monkeypatch.undo()


async def fail_to_flush() -> None:
    raise ZeroDivisionError


async def test_an_idle_queue_is_shown_as_empty(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await fill(service, log, 20)
        registry = service.metrics.registry
        for what in ("requests", "events", "bytes"):
            assert registry.get_sample_value(f"provlog_queued_{what}") == 0


async def test_a_jumped_clock_stops_writing_until_it_is_back_or_accepted(
    tmp_path: Path,
) -> None:
    wall, steady = [1_795_283_636_001], [0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    instance = await make_instance(tmp_path)
    async with running(instance, clock=clock) as (service, log):
        wall[0] = steady[0] = await newest(service.storage, log.id)
        clock.accept()
        await append(service, log, draft(log, "a"))
        wall[0] += 6_000
        with pytest.raises(ClockError):
            await append(service, log, draft(log, "b"))
        wall[0] -= 6_000
        await append(service, log, draft(log, "b"))
        wall[0] -= 9_000  # set right by an operator: earlier than the newest entry
        clock.accept()
        await append(service, log, draft(log, "c"))
        wall[0] -= 9_000
        clock.accept()
        with pytest.raises(ClockError):
            await append(service, log, draft(log, "d"))
        leaves = await service.storage.leaves(log.id, 0, log.released.size)
    recorded = [parse_entry(leaf).recorded for leaf in leaves]
    assert recorded == sorted(recorded)
    assert len(leaves) == 4


async def test_no_log_begins_while_the_clock_is_not_believed(tmp_path: Path) -> None:
    wall, steady = [1_795_283_636_001], [0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    async with running(await make_instance(tmp_path), clock=clock) as (service, _):
        wall[0] += 86_400_000
        with pytest.raises(ClockError):
            await service.create_log("new", "log.example.com/new", public=False)
        wall[0] -= 86_400_000
        await service.create_log("new", "log.example.com/new", public=False)


async def newest(storage: object, log: int) -> int:
    assert isinstance(storage, SqliteStorage)
    return (await storage.head(log)).recorded


async def test_a_busy_log_leaves_room_for_a_quiet_one(tmp_path: Path) -> None:
    limits = QueueLimits(batch_events=10)
    async with running(await make_instance(tmp_path), limits=limits) as (service, log):
        quiet = await service.create_log("quiet", "log.example.com/quiet", public=False)
        busy = [
            asyncio.create_task(append(service, log, draft(log, f"e{number}")))
            for number in range(100)
        ]
        await asyncio.sleep(0)
        await append(service, quiet, draft(quiet, "a"))
        assert sum(task.done() for task in busy) <= 20
        await asyncio.gather(*busy)


async def test_members_are_salted_anew_for_every_event(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (_, log):
        event = event_of()
        first, second = (log.drafter.event(event, SOURCE, {}) for _ in range(2))
        texts = first.disclosures + second.disclosures
        salts = [json.loads(decode_base64url(text))[0] for text in texts]
        assert len(set(salts)) == len(salts)
        assert first.openings is not None
        assert second.openings is not None
        assert first.openings.nonce != second.openings.nonce
        assert first.openings.labels == second.openings.labels
        assert first.compare_key != second.compare_key


async def test_what_another_process_releases_behind_a_barrier_halts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (one, log), running(instance) as (two, same):
        barrier = one.storage.barrier

        async def overtaken(number: int) -> Head:
            head = await barrier(number)
            await append(two, same, draft(same, "a"))
            return head

        monkeypatch.setattr(one.storage, "barrier", overtaken)
        assert (await one.sequencer.trust.barrier(log)).size == 1
        # The guard holds more by now than there was at the barrier.
        assert log.halted is None
        assert await append(one, log, draft(log, "b")) != []
        assert log.released.size == 3


async def test_nothing_is_released_of_a_database_in_which_the_log_was_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        another = Incarnation(1, 2, "now")
        monkeypatch.setattr(service.storage, "incarnation", lambda: another)
        # Its head has the size that was released, and may be another one.
        with pytest.raises(UnavailableError, match="another database"):
            await log.release(ReleasedHead(1, bytes(32)), another)


async def test_what_another_process_released_is_extended_without_a_look_at_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    root = Tree.root

    async def note(tree: Tree, size: int) -> bytes:
        looked.append(size)
        return await root(tree, size)

    instance = await make_instance(tmp_path)
    async with running(instance) as (one, log), running(instance) as (two, same):
        monkeypatch.setattr(Tree, "root", note)
        for number in range(3):
            await append(one, log, draft(log, f"one-{number}"))
            await append(two, same, draft(same, f"two-{number}"))
        assert looked == []
        # What was only read in the guard is looked for all the same.
        await log.refresh()
        assert looked == [same.released.size]


async def test_whoever_was_refused_is_not_in_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []
    async with running(await make_instance(tmp_path)) as (service, log):
        plain, date = service.storage.transaction, service.clock.date

        @asynccontextmanager
        async def interrupted() -> AsyncIterator[Transaction]:
            attempts.append("begun")
            async with plain() as transaction:
                yield transaction
                if len(attempts) == 1:
                    raise InterruptedStorageError("the database went away")

        def moved_at_first(newest: int, offset: int | None = None) -> int:
            if len(attempts) == 1:
                raise ClockError("the clock moved")
            return date(newest, offset)

        monkeypatch.setattr(service.storage, "transaction", interrupted)
        monkeypatch.setattr(service.clock, "date", moved_at_first)
        with pytest.raises(ClockError):
            await append(service, log, draft(log, "refused"))
        [other] = await append(service, log, draft(log, "taken"))
        assert isinstance(other, Appended)
        assert other.index == 1
        assert log.released.size == 2
