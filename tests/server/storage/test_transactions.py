"""What every storage promises of transactions: whole, apart, one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from provlog.server.storage.base import (
    AlreadyExistsError,
    Cursor,
    Head,
    LogRecord,
    NewEntry,
    SourceRecord,
    Storage,
    StorageError,
    Transaction,
)
from provlog.server.storage.rows import EMPTY_HEAD
from support.engines import Engine, new_record
from support.written_logs import WrittenLog, key_of, numbered

SOURCE = SourceRecord("urn:x", "urn:x", None)


async def write_everything(transaction: Transaction, log: WrittenLog) -> LogRecord:
    """Write with every method there is; return the record of a log it made."""
    entry = NewEntry(len(log.leaves), b"{}", key_of("a"), None, None)
    extension = replace(log.extension([entry]), sources=[(1, SOURCE)])
    await transaction.extend(extension)
    assert await transaction.head(log.id) == extension.head
    assert await transaction.leaves(log.id, 0, 3) == [*log.leaves, b"{}"]
    await transaction.set_cursor(log.id, Cursor(SOURCE.uri, "p", 1))
    await transaction.mark(log.id)
    record = new_record()
    number = await transaction.create_log(record)
    assert await transaction.head(number) == EMPTY_HEAD
    assert await transaction.log(record.name) == replace(record, id=number)
    return record


async def require_unchanged(storage: Storage, log: WrittenLog, made: LogRecord) -> None:
    assert await storage.head(log.id) == log.head
    with pytest.raises(StorageError, match="1 rows of entries are missing"):
        await storage.leaves(log.id, 0, 3)
    assert await storage.find_keys(log.id, [key_of("a")]) == {}
    assert await storage.source(log.id, SOURCE.uri) is None
    assert await storage.cursor(log.id, SOURCE.uri) is None
    assert await storage.log(made.name) is None


async def test_a_transaction_that_is_left_changes_nothing(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(2))
        async with storage.transaction() as transaction:
            await transaction.lock(log.id)
            made = await write_everything(transaction, log)
            # Nobody else has seen anything of it meanwhile.
            await require_unchanged(storage, log, made)
        await require_unchanged(storage, log, made)
        await log.append(storage, [b"{}"])


@asynccontextmanager
async def written(storage: Storage, log: WrittenLog) -> AsyncIterator[Transaction]:
    """Yield a transaction that has written everything there is, and commit it."""
    async with storage.transaction() as transaction:
        await transaction.lock(log.id)
        await write_everything(transaction, log)
        yield transaction
        await transaction.commit()


async def write_and_fail(storage: Storage, log: WrittenLog) -> None:
    async with written(storage, log):
        raise ZeroDivisionError


async def test_an_exception_changes_nothing(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(2))
        with pytest.raises(ZeroDivisionError):
            await write_and_fail(storage, log)
        await require_unchanged(other, log, new_record())
        await log.append(other, [b"{}"])


async def test_what_is_committed_is_there_for_everybody(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(2))
        async with storage.transaction() as transaction:
            assert await transaction.lock(log.id) == log.head
            made = await write_everything(transaction, log)
            await transaction.commit()
        for each in (storage, other):
            assert (await each.head(log.id)).size == 3
            assert list(await each.find_keys(log.id, [key_of("a")])) == [key_of("a")]
            assert await each.source(log.id, SOURCE.uri) == SOURCE
            assert await each.cursor(log.id, SOURCE.uri) == Cursor(SOURCE.uri, "p", 1)
            assert await each.log(made.name) is not None
    async with engine.opened() as later:
        assert await later.leaves(log.id, 2, 3) == [b"{}"]


async def write_a_log_twice(storage: Storage, log: WrittenLog) -> None:
    async with written(storage, log) as transaction:
        await transaction.create_log(log.record)


async def test_after_a_write_that_failed_nothing_stays(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(2))
        with pytest.raises(AlreadyExistsError):
            await write_a_log_twice(storage, log)
        await require_unchanged(storage, log, new_record())
        await log.append(storage, [b"{}"])


async def test_a_task_that_is_cancelled_lets_go_of_the_lock(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(2))
        locked = asyncio.Event()

        async def hold() -> None:
            async with written(storage, log):
                locked.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await locked.wait()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        await log.append(other, numbered(3))
        await log.append(storage, numbered(3))


async def test_a_writer_that_goes_away_while_it_waits_leaves_no_lock(
    engine: Engine,
) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(2))
        async with storage.transaction() as transaction:
            await transaction.lock(log.id)
            waiting = asyncio.create_task(other.barrier(log.id))
            await asyncio.sleep(0.05)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await log.append(other, numbered(1))
        assert await storage.barrier(log.id) == log.head


async def test_whoever_waits_for_a_lock_sees_what_was_committed(
    engine: Engine,
) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(2))

        async def wait() -> Head:
            async with other.transaction() as transaction:
                return await transaction.lock(log.id)

        async with storage.transaction() as transaction:
            await transaction.lock(log.id)
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.02)
            extension = log.extension(log.entries([b"{}"]))
            await transaction.extend(extension)
            assert not waiting.done()
            await transaction.commit()
        assert await waiting == extension.head


async def test_writers_take_turns(engine: Engine) -> None:
    async with engine.opened() as one, engine.opened() as two:
        log = await WrittenLog.create(one)

        async def write(storage: Storage, name: bytes) -> None:
            for number in range(20):
                async with storage.transaction() as transaction:
                    head = await transaction.lock(log.id)
                    entry = NewEntry(head.size, name + b"%d" % number, None, None, None)
                    size = head.size + 1
                    root = size.to_bytes(32, "big")
                    grown = replace(head, size=size, root=root)
                    extension = replace(log.extension([]), head=grown, entries=[entry])
                    await transaction.extend(extension)
                    await transaction.commit()

        writers = [(one, b"a-"), (two, b"b-"), (two, b"c-")]
        await asyncio.gather(*(write(storage, name) for storage, name in writers))
        leaves = await one.leaves(log.id, 0, 60)
        for _, name in writers:
            mine = [leaf for leaf in leaves if leaf.startswith(name)]
            assert mine == [name + b"%d" % number for number in range(20)]
        assert (await two.head(log.id)).size == 60


async def test_logs_of_different_lanes_are_written_at_once(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        one = await WrittenLog.create(storage, numbered(1))
        two = await WrittenLog.create(storage, numbered(1))
        if storage.lane(one.id) == storage.lane(two.id):
            # One transaction carries several logs of a lane.
            async with storage.transaction() as transaction:
                for log in (one, two):
                    assert await transaction.lock(log.id) == log.head
                    await transaction.extend(log.extension(log.entries([b"{}"])))
                await transaction.commit()
        else:
            async with storage.transaction() as transaction:
                await transaction.lock(one.id)
                await transaction.extend(one.extension(one.entries([b"{}"])))
                await two.append(other, [b"{}"])
                await transaction.commit()
        assert [(await other.head(log.id)).size for log in (one, two)] == [2, 2]


async def test_no_log_no_lock(engine: Engine) -> None:
    async with engine.opened() as storage:
        async with storage.transaction() as transaction:
            with pytest.raises(StorageError, match="no head row"):
                await transaction.lock(2**40)
        assert await storage.logs() is not None
