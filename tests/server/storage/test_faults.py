"""Every write fails, kept or lost, seen or not: no answer is ever untrue."""

import asyncio
from collections.abc import Iterable
from itertools import product
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.server import patience
from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import (
    CommitUnknownError,
    Cursor,
    InterruptedStorageError,
    StorageBusyError,
    StorageError,
)
from support.faulty_worlds import World
from support.memory_storage import Fault, MemoryStorage
from support.written_logs import save_cursor

Plan: TypeAlias = "Iterable[tuple[int, Fault, type[StorageError]]]"
ERRORS = (StorageError, StorageBusyError, InterruptedStorageError)
WRITES = 9
"""Of a run in which nothing fails. What fails makes more of them."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world to be copied."""
    with asyncio.Runner() as runner:
        return runner.run(World.make(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module", autouse=True)
def impatience() -> Iterable[None]:
    """Let what was interrupted be tried again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "_FIRST_PAUSE", 0.0)
        yield


async def work(world: World, plan: Plan = ()) -> list[str]:
    """Let two services take events while writes fail as planned, and start anew.

    Return the writes that were made.
    """
    faults = world.database.faults
    async with world.served() as one, world.served() as two:
        faults.made.clear()
        for place, fault, error in plan:
            faults.plan(place, fault, error)
        await asyncio.gather(
            world.send(one, "main", "a", "b"),
            world.send(one, "other", "x"),
            world.send(one, "main", "c", "a"),
        )
        await asyncio.gather(
            world.send(two, "main", "d", "b"),
            world.send(one, "main", "e"),
        )
        await world.send(two, "other", "x", "y")
        made = faults.made.copy()
    await world.settle()
    return made


async def test_without_faults_no_write_is_made_twice(world: World) -> None:
    assert len(await work(world.copy())) == WRITES


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("fault", Fault)
async def test_one_write_fails(
    world: World, fault: Fault, error: type[StorageError]
) -> None:
    for place in range(WRITES):
        made = await work(world.copy(), [(place, fault, error)])
        assert len(made) > place


@pytest.mark.parametrize("faults", [*product(Fault, repeat=2)], ids=str)
async def test_what_follows_a_write_that_failed_fails_too(
    world: World, faults: tuple[Fault, Fault]
) -> None:
    first, second = faults
    for place in range(WRITES):
        await work(
            world.copy(),
            [
                (place, first, InterruptedStorageError),
                (place + 1, second, StorageError),
            ],
        )


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.tuples(st.integers(0, 25), st.sampled_from(Fault), st.sampled_from(ERRORS)),
        max_size=8,
    )
)
def test_any_writes_fail(world: World, plan: Plan) -> None:
    with asyncio.Runner() as runner:
        runner.run(work(world.copy(), plan))


async def open_and_close(world: World) -> None:
    async with world.served():
        pass


@pytest.mark.parametrize("fault", Fault)
async def test_a_service_does_not_open_without_its_barrier(
    world: World, fault: Fault
) -> None:
    mine = world.copy()
    await open_and_close(mine)
    writes = mine.database.faults.made.copy()
    assert writes == ["mark", "mark", "commit"]
    for place in range(len(writes)):
        mine.database.faults.plan(place, fault)
        with pytest.raises(StorageError):
            await open_and_close(mine)
        await mine.settle()


@pytest.mark.parametrize("fault", Fault)
async def test_a_log_is_made_whole_or_can_be_made_again(
    world: World, fault: Fault
) -> None:
    # What creates a log does so in one transaction: a write before the commit that is
    # kept all the same is beyond any engine, and only the commit's outcome is open.
    places = (0, 1, 2) if fault is Fault.LOST else (2,)
    for place in places:
        mine = world.copy()
        name = f"new-{fault.name}-{place}".lower()
        origin = f"log.example.com/{name}"
        async with mine.served() as service:
            mine.database.faults.plan(place, fault)
            with pytest.raises(StorageError):
                await service.create_log(name, origin, public=False)
        await MemoryStorage(mine.database).barrier(1)  # a start before it may fail
        async with mine.served() as service:
            if _is_kept(fault):
                with pytest.raises(ConfigurationError, match="already"):
                    await service.create_log(name, origin, public=False)
            else:
                await service.create_log(name, origin, public=False)
            assert await mine.send(service, name, "a")
        mine.database.faults.clear()
        await mine.settle()


@pytest.mark.parametrize("fault", Fault)
async def test_a_cursor_is_moved_or_where_it_was(world: World, fault: Fault) -> None:
    mine = world.copy()
    async with mine.served() as service:
        log = await service.log("main")
        assert log is not None
        await service.source(log, "urn:x", "test")
        before, after = Cursor("urn:x", "before", 1), Cursor("urn:x", "after", 2)
        await save_cursor(service.storage, log.id, before)
        for place, error in ((0, StorageError), (1, CommitUnknownError)):
            await save_cursor(service.storage, log.id, before)
            mine.database.faults.plan(place, fault)
            with pytest.raises(error):
                await save_cursor(service.storage, log.id, after)
            await service.storage.barrier(log.id)
            found = await service.storage.cursor(log.id, "urn:x")
            assert found == (after if _is_kept(fault) else before)


def _is_kept(fault: Fault) -> bool:
    _, under_the_lock, _ = fault.value
    return under_the_lock
