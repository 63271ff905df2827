"""The commit path on a real database: order, repetition, failure, release."""

import asyncio
import json
from pathlib import Path

import apsw
import pytest

from provlog.merkle.encoding import decode_base64
from provlog.merkle.entries import parse_entry
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.server.batch import Appended, Conflicting, Erased, Repeated
from provlog.server.clock import Clock
from provlog.server.errors import (
    ClockError,
    HaltedError,
    OverloadedError,
    OversizedError,
    UnavailableError,
)
from provlog.server.guard import ReleasedHead
from provlog.server.intake.event import Event
from provlog.server.queueing import QueueLimits
from provlog.server.storage.base import CommitUnknownError, SourceRecord
from provlog.server.storage.sqlite import SqliteStorage, SqliteTransaction
from provlog.server.tree import Tree
from support.events import event_of
from support.services import (
    SOURCE,
    FaultyStorage,
    append,
    draft,
    fill,
    make_instance,
    running,
)


async def test_entries_are_contiguous_and_their_leaves_count_and_date_them(
    tmp_path: Path,
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await append(service, log, draft(log, "a"), draft(log, "b"))
        await service.register_source(log, SourceRecord("urn:x", "urn:x", None), "test")
        await append(service, log, draft(log, "c"))
        leaves = await service.storage.leaves(log.id, 0, log.released.size)
    entries = [parse_entry(leaf) for leaf in leaves]
    kinds = [entry.kind for entry in entries]
    assert kinds == ["params", "event", "event", "admin", "event"]
    assert [entry.n for entry in entries] == [0, 0, 1, 2, 2]
    assert [entry.epoch for entry in entries] == [1] * 5
    recorded = [entry.recorded for entry in entries]
    assert recorded == sorted(recorded)


async def test_every_new_entry_is_proved_at_the_released_head(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await fill(service, log, 300)
        drafts = [draft(log, f"x{number}") for number in range(300)]
        committed = await service.sequencer.submit(log, drafts)
        head = committed.release.head
        assert head == log.released
        for outcome in committed.outcomes:
            assert isinstance(outcome, Appended)
            proof = [
                decode_base64(text) for text in committed.release.hashes(outcome.index)
            ]
            verify_inclusion(
                outcome.index, head.size, leaf_hash(outcome.leaf), proof, head.root
            )


async def test_the_same_event_again_is_the_same_entry(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        [first] = await append(service, log, draft(log, "a"))
        size = log.released.size
        assert await append(service, log, draft(log, "a")) == [Repeated(1)]
        assert isinstance(first, Appended)
        assert (first.index, log.released.size) == (1, size)


async def test_other_content_under_a_taken_id_is_a_conflict(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await append(service, log, draft(log, "a"))
        other = draft(log, "a", type="role.revoke")
        assert await append(service, log, other) == [Conflicting(1)]
        assert log.released.size == 2


async def test_within_one_batch_repetitions_and_conflicts_are_seen_too(
    tmp_path: Path,
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        outcomes = await append(
            service,
            log,
            draft(log, "a"),
            draft(log, "a"),
            draft(log, "a", type="role.revoke"),
            draft(log, "b"),
        )
        assert [type(outcome) for outcome in outcomes] == [
            Appended,
            Repeated,
            Conflicting,
            Appended,
        ]
        assert log.released.size == 3


async def test_an_erased_event_is_answered_as_erased(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await append(service, log, draft(log, "a"))
        execute(service.storage, "DELETE FROM private WHERE idx = 1")
        assert await append(service, log, draft(log, "a")) == [Erased(1)]


def execute(storage: object, statement: str) -> None:
    assert isinstance(storage, SqliteStorage)
    storage._writer.execute(statement)


def record(uuid: str, target: str, body: bytes) -> Event:
    """Return an event as a connector makes it: compared by content, with its bytes."""
    return Event(
        id=uuid,
        source=SOURCE,
        type="account.create",
        time="2026-11-21T17:53:55.516Z",
        data={"target": {"id": target}},
        connector=("okta", "1"),
        raw_digest=body * 8,
    )


async def test_a_connector_loses_no_record_to_a_reused_id(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):

        def made(*arguments: str) -> object:
            uuid, target, body = arguments
            event = record(uuid, target, body.encode())
            return log.drafter.event(event, SOURCE, {})

        for _ in range(2):  # sent again, everything is a repetition
            outcomes = await append(
                service,
                log,
                made("u", "alice", "aaaa"),  # type: ignore[arg-type]
                made("u", "bob", "bbbb"),  # type: ignore[arg-type]
                made("u", "bob", "bbbb"),  # type: ignore[arg-type]
                made("u", "alice", "cccc"),  # type: ignore[arg-type]
            )
            assert [outcome.index for outcome in outcomes] == [1, 2, 2, 1]  # type: ignore[union-attr]
        private = await service.storage.private(log.id, 2)
        assert private is not None
        expected = f'"id":"u~{(b"bbbb" * 8).hex()[:16]}"'
        assert any(expected in decoded(text) for text in private.disclosures)


def decoded(disclosure: str) -> str:
    from provlog.merkle.encoding import decode_base64url

    return decode_base64url(disclosure).decode()


async def test_a_record_is_not_lost_to_ids_that_were_taken_on_purpose(
    tmp_path: Path,
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        taken = record("u", "bob", b"bbbb")
        digest = (b"bbbb" * 8).hex()
        await append(service, log, draft(log, "u"), draft(log, f"u~{digest[:16]}"))
        for _ in range(2):
            [outcome] = await append(service, log, log.drafter.event(taken, SOURCE, {}))
            assert outcome.index == 3  # type: ignore[union-attr]
        private = await service.storage.private(log.id, 3)
        assert private is not None
        assert any(
            f'"id":"u~{digest}"' in decoded(text) for text in private.disclosures
        )


async def test_what_arrives_during_a_commit_shares_the_next_one(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    storage = FaultyStorage(instance.database)
    async with running(instance, storage=storage) as (service, log):
        before = storage.commits
        await asyncio.gather(
            *(append(service, log, draft(log, f"e{number}")) for number in range(200))
        )
        assert log.released.size == 201
        assert storage.commits - before <= 3


@pytest.mark.parametrize("fault", ["fails but is persisted", "fails and is lost"])
async def test_a_commit_of_unknown_outcome_ends_in_a_true_answer(
    tmp_path: Path, fault: str
) -> None:
    instance = await make_instance(tmp_path)
    storage = FaultyStorage(instance.database)
    async with running(instance, storage=storage) as (service, log):
        await append(service, log, draft(log, "a"))
        storage.faults = [fault]
        if fault == "fails but is persisted":
            [outcome] = await append(service, log, draft(log, "b"))
            assert isinstance(outcome, Appended)
        else:
            with pytest.raises(UnavailableError):
                await append(service, log, draft(log, "b"))
            assert log.released.size == 2
        outcomes = await append(service, log, draft(log, "b"), draft(log, "c"))
        assert [outcome.index for outcome in outcomes] == [2, 3]  # type: ignore[union-attr]
    async with running(instance) as (service, log):
        assert log.released.size == 4


@pytest.mark.parametrize("fault", ["fails but is persisted", "fails and is lost"])
async def test_with_its_barrier_failing_too_nothing_is_believed_until_one_holds(
    tmp_path: Path, fault: str
) -> None:
    instance = await make_instance(tmp_path)
    storage = FaultyStorage(instance.database)
    async with running(instance, storage=storage) as (service, log):
        storage.faults = [fault, "fails and is lost", "fails and is lost"]
        for _ in range(2):  # the commit and its barrier; then the next one's barrier
            with pytest.raises(UnavailableError):
                await append(service, log, draft(log, "a"))
            assert log.released.size == 1
        [outcome] = await append(service, log, draft(log, "a"))
        persisted = fault == "fails but is persisted"
        assert isinstance(outcome, Repeated if persisted else Appended)
        assert log.released.size == 2


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


async def test_a_writer_that_goes_away_while_it_waits_leaves_no_transaction(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (one, _), running(instance) as (two, log):
        async with one.storage.transaction():
            waiting = asyncio.create_task(two.storage.barrier(log.id))
            await asyncio.sleep(0.05)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await append(two, log, draft(log, "a"))
        await one.storage.barrier(log.id)


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


async def test_stopping_finishes_what_was_taken_and_refuses_the_rest(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        taken = [
            asyncio.create_task(append(service, log, draft(log, f"e{number}")))
            for number in range(50)
        ]
        await asyncio.sleep(0)
        closing = asyncio.create_task(service.sequencer.close())
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "late"))
        await closing
        assert sorted(o.index for [o] in await asyncio.gather(*taken)) == list(  # type: ignore[union-attr]
            range(1, 51)
        )
    async with running(instance) as (_, log):
        assert log.released.size == 51


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


async def test_two_processes_write_one_log_in_turns(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    async with (
        running(instance) as (one, log_of_one),
        running(instance) as (two, log_of_two),
    ):

        async def write(service: object, log: object, name: str) -> None:
            for number in range(40):
                await append(service, log, draft(log, f"{name}{number}"))  # type: ignore[arg-type]

        await asyncio.gather(
            write(one, log_of_one, "one-"), write(two, log_of_two, "two-")
        )
        assert await log_of_one.refresh() == await log_of_two.refresh()
        leaves = await one.storage.leaves(log_of_one.id, 0, 81)
        assert [parse_entry(leaf).n for leaf in leaves[1:]] == list(range(80))
        # The other one's entries are known as well.
        assert await append(one, log_of_one, draft(log_of_one, "two-7")) != []
        assert log_of_one.released.size == 81


async def test_a_head_that_another_process_left_unreleased_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        monkeypatch.setattr(log, "release", broken)
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "a"))
        monkeypatch.undo()
        assert (await log.refresh()).size == 1  # durable, and seen by nobody
        await service._tend_logs()
        assert log.released.size == 2
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


async def broken(head: ReleasedHead) -> str:
    raise OSError("no space left on device")


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


async def test_one_log_that_stops_does_not_stop_the_others(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        other = await service.create_log("other", "log.example.com/other", public=False)
        log.halt("for the test")
        results = await asyncio.gather(
            append(service, log, draft(log, "a")),
            append(service, other, draft(other, "a")),
            return_exceptions=True,
        )
        assert isinstance(results[0], HaltedError)
        assert isinstance(results[1], list)
        assert (log.released.size, other.released.size) == (1, 2)


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
        salts = [json.loads(decoded(text))[0] for text in texts]
        assert len(set(salts)) == len(salts)
        assert first.openings is not None
        assert second.openings is not None
        assert first.openings.nonce != second.openings.nonce
        assert first.openings.labels == second.openings.labels
        assert first.compare_key != second.compare_key


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
