"""A log that has ended: nothing stands behind its last entry, whoever writes it."""

import asyncio
from pathlib import Path

import pytest

from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import SigningKey
from provlog.server.announced import Announced, announcement_id
from provlog.server.batch import Appended, Repeated
from provlog.server.errors import ConfigurationError, FrozenError
from provlog.server.intake.draft import FreezeDraft
from provlog.server.key_changes import freeze, prepare_key, successor_of
from provlog.server.log import Log
from provlog.server.registry import create_log
from provlog.server.service import Service
from provlog.server.storage.base import InterruptedStorageError, Storage
from provlog.server.tokens import mint_token
from support.homes import Home, make_home
from support.rotations import followed
from support.services import append, draft, fail_commits, fill

NEXT = SigningKey.from_seed("log.example.com/next", bytes(32))
SUCCESSOR: dict[str, JsonValue] = {
    "origin": "log.example.com/next",
    "log_key": NEXT.verifier().vkey(),
}


async def _refused(service: Service, log: Log, event_id: str) -> FrozenError:
    with pytest.raises(FrozenError) as caught:
        await append(service, log, draft(log, event_id))
    return caught.value


async def test_the_freeze_is_the_last_entry_and_names_the_successor(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        await fill(service, log, 2)
        made = await freeze(service, log, SUCCESSOR, "test")
        assert log.released.size == made.index + 1 == 4
        error = await _refused(service, log, "late")
        assert error.successor == SUCCESSOR
        assert "log.example.com/next goes on" in str(error)
        # What was acknowledged before is answered with its entry.
        assert await append(service, log, draft(log, "fill-0")) == [Repeated(1)]
        again = await freeze(service, log, SUCCESSOR, "test")
        assert (again.index, again.is_new) == (made.index, False)
        with pytest.raises(FrozenError):
            await freeze(service, log, None, "test")
        with pytest.raises(ConfigurationError, match="has ended"):
            await prepare_key(log)
        found = (await followed(service, log)).freeze
        assert found is not None
        assert (found.index, found.successor) == (3, SUCCESSOR)
    async with home.running() as (service, log):
        # Also for a process that was started since; and its checkpoint is served.
        assert (await _refused(service, log, "late")).successor == SUCCESSOR
        assert (await log.refresh()).size == 4
        assert (await followed(service, log)).freeze == found
        assert service.sequencer.trouble() is None


async def test_what_waits_behind_the_freeze_in_the_same_batch_is_refused(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        submit = service.sequencer.submit
        done = await asyncio.gather(
            submit(log, [draft(log, "before")]),
            submit(log, [FreezeDraft(None)]),
            submit(log, [draft(log, "behind-1"), draft(log, "behind-2")]),
            submit(log, [draft(log, "before")]),
            return_exceptions=True,
        )
        # One transaction took all four.
        assert not isinstance(done[0], BaseException)
        assert not isinstance(done[3], BaseException)
        assert isinstance(done[0].outcomes[0], Appended)
        assert isinstance(done[2], FrozenError)
        assert done[3].outcomes == [Repeated(done[0].outcomes[0].index)]
        assert log.released.size == 3


async def test_a_freeze_that_was_not_written_ends_nothing(tmp_path: Path) -> None:
    home = await make_home(tmp_path)
    storage = home.make()
    async with home.running(storage) as (service, log):
        told = fail_commits(storage)
        told.faults = ["fails and is not persisted"]
        done = await asyncio.gather(
            service.sequencer.submit(log, [FreezeDraft(None)]),
            service.sequencer.submit(log, [draft(log, "behind")]),
            return_exceptions=True,
        )
        # Nobody is told that the log has ended before that is durable.
        assert not any(isinstance(each, FrozenError) for each in done)
        assert all(isinstance(each, Exception) for each in done)
        [outcome] = await append(service, log, draft(log, "behind"))
        assert isinstance(outcome, Appended)
        assert log.announced.frozen is None


async def test_a_freeze_that_is_interrupted_is_tried_again_with_what_is_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = await make_home(tmp_path)
    storage = home.make()
    async with home.running(storage) as (service, log):
        _interrupt_once(storage, monkeypatch)
        done = await asyncio.gather(
            service.sequencer.submit(log, [FreezeDraft(None)]),
            service.sequencer.submit(log, [draft(log, "behind")]),
            return_exceptions=True,
        )
        assert isinstance(done[1], FrozenError)
        assert log.announced.frozen is not None
        assert log.released.size == 2


def _interrupt_once(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = storage.transaction
    left = [InterruptedStorageError("gone")]

    def transaction() -> object:
        if left:
            raise left.pop()
        return begin()

    monkeypatch.setattr(storage, "transaction", transaction)


async def test_another_process_that_froze_the_log_is_noticed_under_the_lock(
    home: Home,
) -> None:
    async with home.running() as (one, log), home.running() as (other, its_log):
        await append(other, its_log, draft(its_log, "first"))
        await freeze(one, log, None, "test")
        # It has not asked for a checkpoint since, and knows of nothing.
        assert its_log.announced.frozen is None
        await _refused(other, its_log, "late")
        assert (await one.storage.head(log.id)).size == 3


async def test_under_load_of_two_processes_nothing_stands_behind_the_freeze(
    home: Home,
) -> None:
    acknowledged: dict[str, int] = {}
    busy = asyncio.Event()

    async def load(service: Service, log: Log, name: str) -> None:
        for number in range(10_000):
            event = f"{name}-{number}"
            try:
                [outcome] = await append(service, log, draft(log, event))
            except FrozenError:
                return
            assert isinstance(outcome, Appended)
            acknowledged[event] = outcome.index
            if len(acknowledged) >= 40:
                busy.set()

    async with home.running() as (one, log), home.running() as (other, its_log):
        loads = [
            asyncio.create_task(load(service, on, f"{place}-{number}"))
            for number in range(3)
            for place, (service, on) in enumerate([(one, log), (other, its_log)])
        ]
        await busy.wait()
        made = await freeze(other, its_log, SUCCESSOR, "test")
        await asyncio.gather(*loads)
        head = await one.storage.head(log.id)
        assert head.size == made.index + 1
        assert max(acknowledged.values()) < made.index
        assert len(acknowledged) == head.events
        for event, index in acknowledged.items():
            repeated = await append(one, log, draft(log, event))
            assert repeated == [Repeated(index)]
        await log.refresh()
        assert (await followed(one, log)).freeze is not None


async def test_a_token_can_be_revoked_of_a_log_that_takes_no_entry(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        now = service.clock.now()
        minted = [
            mint_token(logs=[log.id], roles=["monitor"], now=now) for _ in range(2)
        ]
        await service.store_token(log, minted[0].record, "test")
        await freeze(service, log, None, "test")
        size = log.released.size
        assert await service.revoke_token(log, minted[0].record.id, "test") is None
        stored = await service.storage.token(minted[0].record.id)
        assert stored is not None
        assert stored.revoked is not None
        assert (await service.storage.head(log.id)).size == log.released.size == size
        with pytest.raises(FrozenError):
            await service.store_token(log, minted[1].record, "test")
        assert await service.storage.token(minted[1].record.id) is None


async def test_a_token_for_a_log_that_ended_and_its_successor_is_noted_there(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        await create_log(
            service.storage,
            home.keys,
            service.guard,
            name="next",
            origin="log.example.com/next",
            public=False,
            now=service.clock.now(),
        )
        successor = await service.log("next")
        assert successor is not None
        await freeze(service, log, None, "test")
        ids = [log.id, successor.id]
        minted = mint_token(logs=ids, roles=["monitor"], now=service.clock.now())
        index = await service.store_token(log, minted.record, "test", [successor])
        assert successor.released.size == index + 1 == 2
        assert (
            await service.revoke_token(log, minted.record.id, "test", [successor]) == 2
        )


@pytest.mark.parametrize(
    ("origin", "log_key", "why"),
    [
        ("log.example.com/next", None, "has both"),
        (None, SUCCESSOR["log_key"], "has both"),
        ("log.example.com/main", SUCCESSOR["log_key"], "its own successor"),
        ("log.example.com/other", SUCCESSOR["log_key"], "under the log's origin"),
        ("log.example.com/next", "no key", "vkey"),
        ("https://log.example.com", SUCCESSOR["log_key"], "origin"),
    ],
)
async def test_what_cannot_be_a_successor_is_refused_before_anything_is_written(
    tmp_path: Path, origin: str | None, log_key: str | None, why: str
) -> None:
    home = await make_home(tmp_path)
    async with home.running() as (_, log):
        with pytest.raises(ConfigurationError, match=why):
            successor_of(log, origin, log_key)
        assert successor_of(log, None, None) is None
        assert successor_of(log, NEXT.name, NEXT.verifier().vkey()) == SUCCESSOR


async def test_an_announcement_that_cannot_follow_is_none(tmp_path: Path) -> None:
    home = await make_home(tmp_path)
    async with home.running() as (service, log):
        await freeze(service, log, None, "test")
        params, leaf = await service.storage.leaves(log.id, 0, 2)
        ended = Announced(log.record.log_key).adding(1, leaf)
        with pytest.raises(MalformedError, match="after the end"):
            ended.adding(2, leaf)
        with pytest.raises(MalformedError, match="announces nothing"):
            Announced(log.record.log_key).adding(0, params)
        found = await service.storage.find_keys(log.id, [announcement_id(0)])
        assert found[announcement_id(0)].index == 1
