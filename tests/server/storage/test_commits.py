"""The commit path on every storage: order, repetition, failure, release."""

import asyncio

import pytest

from provlog.merkle.encoding import decode_base64, decode_base64url
from provlog.merkle.entries import parse_entry
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.server.batch import Appended, Conflicting, Repeated
from provlog.server.errors import HaltedError, UnavailableError
from provlog.server.intake.event import Event
from provlog.server.storage.base import Private, SourceRecord
from support.homes import Home
from support.services import SOURCE, append, broken, draft, fail_commits, fill


async def test_entries_are_contiguous_and_their_leaves_count_and_date_them(
    home: Home,
) -> None:
    async with home.running() as (service, log):
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


async def test_every_new_entry_is_proved_at_the_released_head(home: Home) -> None:
    async with home.running() as (service, log):
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


async def test_the_same_event_again_is_the_same_entry(home: Home) -> None:
    async with home.running() as (service, log):
        [first] = await append(service, log, draft(log, "a"))
        size = log.released.size
        assert await append(service, log, draft(log, "a")) == [Repeated(1)]
        assert isinstance(first, Appended)
        assert (first.index, log.released.size) == (1, size)


async def test_other_content_under_a_taken_id_is_a_conflict(home: Home) -> None:
    async with home.running() as (service, log):
        await append(service, log, draft(log, "a"))
        other = draft(log, "a", type="role.revoke")
        assert await append(service, log, other) == [Conflicting(1)]
        assert log.released.size == 2


async def test_within_one_batch_repetitions_and_conflicts_are_seen_too(
    home: Home,
) -> None:
    async with home.running() as (service, log):
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


def shown(private: Private) -> str:
    """Return all that an entry discloses."""
    texts = (decode_base64url(text).decode() for text in private.disclosures)
    return "".join(texts)


async def test_a_connector_loses_no_record_to_a_reused_id(home: Home) -> None:
    async with home.running() as (service, log):

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
        assert any(
            expected in decode_base64url(text).decode() for text in private.disclosures
        )


async def test_a_record_is_not_lost_to_ids_that_were_taken_on_purpose(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        taken = record("u", "bob", b"bbbb")
        digest = (b"bbbb" * 8).hex()
        await append(service, log, draft(log, "u"), draft(log, f"u~{digest[:16]}"))
        for _ in range(2):
            [outcome] = await append(service, log, log.drafter.event(taken, SOURCE, {}))
            assert outcome.index == 3  # type: ignore[union-attr]
        private = await service.storage.private(log.id, 3)
        assert private is not None
        assert any(
            f'"id":"u~{digest}"' in decode_base64url(text).decode()
            for text in private.disclosures
        )


async def test_what_arrives_during_a_commit_shares_the_next_one(home: Home) -> None:
    storage = home.make()
    told = fail_commits(storage)
    async with home.running(storage) as (service, log):
        before = told.commits
        await asyncio.gather(
            *(append(service, log, draft(log, f"e{number}")) for number in range(200))
        )
        assert log.released.size == 201
        assert told.commits - before <= 3


@pytest.mark.parametrize("fault", ["fails but is persisted", "fails and is lost"])
async def test_a_commit_of_unknown_outcome_ends_in_a_true_answer(
    home: Home, fault: str
) -> None:
    storage = home.make()
    told = fail_commits(storage)
    async with home.running(storage) as (service, log):
        await append(service, log, draft(log, "a"))
        told.faults = [fault]
        if fault == "fails but is persisted":
            [outcome] = await append(service, log, draft(log, "b"))
            assert isinstance(outcome, Appended)
        else:
            with pytest.raises(UnavailableError):
                await append(service, log, draft(log, "b"))
            assert log.released.size == 2
        outcomes = await append(service, log, draft(log, "b"), draft(log, "c"))
        assert [outcome.index for outcome in outcomes] == [2, 3]  # type: ignore[union-attr]
    async with home.running() as (service, log):
        assert log.released.size == 4


@pytest.mark.parametrize("fault", ["fails but is persisted", "fails and is lost"])
async def test_with_its_barrier_failing_too_nothing_is_believed_until_one_holds(
    home: Home, fault: str
) -> None:
    storage = home.make()
    told = fail_commits(storage)
    async with home.running(storage) as (service, log):
        told.faults = [fault, "fails and is lost", "fails and is lost"]
        for _ in range(2):  # the commit and its barrier; then the next one's barrier
            with pytest.raises(UnavailableError):
                await append(service, log, draft(log, "a"))
            assert log.released.size == 1
        [outcome] = await append(service, log, draft(log, "a"))
        persisted = fault == "fails but is persisted"
        assert isinstance(outcome, Repeated if persisted else Appended)
        assert log.released.size == 2


async def test_stopping_finishes_what_was_taken_and_refuses_the_rest(
    home: Home,
) -> None:
    async with home.running() as (service, log):
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
    async with home.running() as (_, log):
        assert log.released.size == 51


async def test_two_processes_write_one_log_in_turns(home: Home) -> None:
    async with (
        home.running() as (one, log_of_one),
        home.running() as (two, log_of_two),
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
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with home.running() as (service, log):
        monkeypatch.setattr(log, "release", broken)
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "a"))
        monkeypatch.undo()
        assert (await log.refresh()).size == 1  # durable, and seen by nobody
        await service._tend_logs()
        assert log.released.size == 2
        assert await append(service, log, draft(log, "a")) == [Repeated(1)]


async def test_one_log_that_stops_does_not_stop_the_others(home: Home) -> None:
    async with home.running() as (service, log):
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
