"""Every storage's barrier: it commits, it waits its turn, and it moves nothing."""

import asyncio

import pytest

from provlog.server.storage.base import StorageError
from support.engines import Engine
from support.written_logs import WrittenLog, numbered


async def test_a_barrier_returns_the_head_and_leaves_it(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        for _ in range(2):
            assert await storage.barrier(log.id) == log.head
            assert await storage.head(log.id) == log.head
        await log.append(storage, [b"{}"])
        assert await storage.barrier(log.id) == log.head


async def test_one_call_passes_the_barriers_of_several_logs(engine: Engine) -> None:
    async with engine.opened() as storage:
        logs = [await WrittenLog.create(storage, numbered(n + 1)) for n in range(3)]
        expected = {log.id: log.head for log in logs}
        assert await storage.barriers([log.id for log in logs]) == expected
        assert await storage.barriers([logs[0].id] * 2) == {logs[0].id: logs[0].head}
        assert await storage.barriers([]) == {}


async def test_there_is_no_barrier_without_a_log(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        with pytest.raises(StorageError, match="no head row"):
            await storage.barrier(2**40)
        with pytest.raises(StorageError, match="no head row"):
            await storage.barriers([log.id, 2**40])


async def test_a_barrier_comes_behind_what_is_being_committed(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(2))
        async with storage.transaction() as transaction:
            await transaction.lock(log.id)
            extension = log.extension(log.entries([b"{}"]))
            await transaction.extend(extension)
            barrier = asyncio.create_task(other.barrier(log.id))
            await asyncio.sleep(0.02)
            assert not barrier.done()
            await transaction.commit()
        assert await barrier == extension.head


async def test_barriers_in_any_order_do_not_stand_in_each_other_s_way(
    engine: Engine,
) -> None:
    async with engine.opened() as one, engine.opened() as two:
        logs = [(await WrittenLog.create(one, numbered(1))).id for _ in range(5)]
        for _ in range(5):
            await asyncio.gather(one.barriers(logs), two.barriers(logs[::-1]))
