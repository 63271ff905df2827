"""Connections to PostgreSQL that are cut, stand still, or lead to another server."""

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from provlog.server.storage.base import (
    CommitUnknownError,
    InterruptedStorageError,
    StorageBusyError,
    StorageError,
)
from provlog.server.storage.postgres import connecting, hosts, transaction
from provlog.server.storage.postgres import storage as storing
from provlog.server.storage.postgres.schema import create_database
from provlog.server.storage.postgres.storage import PostgresStorage
from support.postgres import Cluster, dsn
from support.postgres_sessions import ENDING, opened, superuser
from support.standby import Standby
from support.written_logs import WrittenLog, numbered

pytestmark = pytest.mark.needs("postgres")

CUT = ENDING.format("pg_terminate_backend")


async def cut(superuser: "asyncpg.Connection[Any]", which: str) -> None:
    """End the sessions of which something holds, as soon as there is one."""
    async with asyncio.timeout(30):
        while not await superuser.fetch(f"{CUT} AND {which}"):
            pass


async def write_with_a_cut(storage: PostgresStorage, log: WrittenLog, url: str) -> None:
    async with storage.transaction() as writing, superuser(url) as other:
        await writing.lock(log.id)
        await other.execute(CUT)
        await writing.extend(log.extension(log.entries([b"{}"])))


async def test_a_connection_that_is_cut_loses_its_transaction_and_no_more(
    postgres_tables: str,
) -> None:
    async with opened(postgres_tables) as storage, superuser(postgres_tables) as other:
        log = await WrittenLog.create(storage, numbered(2))
        with pytest.raises(InterruptedStorageError):
            await write_with_a_cut(storage, log, postgres_tables)
        assert await storage.head(log.id) == log.head
        await log.append(storage, [b"{}"])
        # Connections that are cut while nobody uses them are replaced unnoticed.
        await asyncio.gather(*(storage.head(log.id) for _ in range(6)))
        await other.execute(CUT)
        await asyncio.gather(*(storage.head(log.id) for _ in range(6)))
        await log.append(storage, [b"{}"])


async def test_a_statement_that_waits_is_interrupted_by_a_cut(
    postgres_tables: str,
) -> None:
    async with opened(postgres_tables) as storage, superuser(postgres_tables) as other:
        log = await WrittenLog.create(storage, numbered(2))
        async with other.transaction():
            await other.execute(
                "SELECT FROM provlog.heads WHERE log = $1 FOR UPDATE", log.id
            )
            waiting = asyncio.create_task(storage.barrier(log.id))
            await cut(other, "wait_event_type = 'Lock'")
            with pytest.raises(InterruptedStorageError):
                await waiting
        assert await storage.barrier(log.id) == log.head


async def test_a_read_that_is_cut_is_done_again(postgres_tables: str) -> None:
    async with opened(postgres_tables) as storage, superuser(postgres_tables) as other:
        reading = asyncio.create_task(storage.fetch("SELECT 7, pg_sleep(0.4)"))
        for _ in range(2):
            await cut(other, "wait_event = 'PgSleep'")
        [(seven, _)] = await reading
        assert seven == 7


async def stand_still(
    storage: PostgresStorage, log: WrittenLog, seconds: float
) -> None:
    """Hold a log's lock without a word to the database, and commit then."""
    async with storage.transaction() as writing:
        await writing.lock(log.id)
        await writing.extend(log.extension(log.entries([b"{}"])))
        await asyncio.sleep(seconds)
        await writing.commit()


async def test_a_server_that_stands_still_on_a_lock_is_cut_off(
    postgres_tables: str,
) -> None:
    async with (
        opened(postgres_tables, 0.3) as frozen,
        opened(postgres_tables, 0.3) as storage,
    ):
        log = await WrittenLog.create(storage, numbered(2))
        async with storage.snapshot() as snapshot:
            await snapshot.head(log.id)
            standing = asyncio.create_task(stand_still(frozen, log, 1.5))
            await asyncio.sleep(0.1)
            with pytest.raises(InterruptedStorageError, match="stood still"):
                await storage.barrier(log.id)
            # Nothing of it is there, and it finds out when it goes on.
            assert await storage.barrier(log.id) == log.head
            await log.append(storage, [b"other"])
            with pytest.raises(CommitUnknownError):
                await standing
            # Who reads for long holds no lock and is left alone.
            assert (await snapshot.head(log.id)).size == 2
        assert await frozen.barrier(log.id) == log.head


async def test_a_server_that_is_at_work_is_not_cut_off(postgres_tables: str) -> None:
    async with (
        opened(postgres_tables, 0.2) as working,
        opened(postgres_tables, 0.2) as storage,
    ):
        log = await WrittenLog.create(storage, numbered(2))
        async with working.transaction() as writing:
            await writing.lock(log.id)
            at_work = asyncio.create_task(writing.fetch("SELECT pg_sleep(0.6)"))
            with pytest.raises(StorageBusyError):
                await storage.barrier(log.id)
            await at_work
            extension = log.extension(log.entries([b"{}"]))
            await writing.extend(extension)
            await writing.commit()
        assert await storage.barrier(log.id) == extension.head


@pytest.mark.parametrize("ahead", [-5_000, 0, 5_000])
async def test_the_database_s_clock_is_compared_with_ours(
    postgres_tables: str, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    def shifted() -> int:
        return time.time_ns() - ahead * 1_000_000

    async with opened(postgres_tables) as storage:
        log = await WrittenLog.create(storage, numbered(1))
        monkeypatch.setattr(transaction, "time", SimpleNamespace(time_ns=shifted))
        async with storage.transaction() as writing:
            assert writing.clock_offset_ms() is None
            await writing.lock(log.id)
            offset = writing.clock_offset_ms()
    assert offset is not None
    # What may be the time the answer took does not count.
    assert abs(offset) <= abs(ahead) + 2  # milliseconds are cut off
    assert (offset > 1_000, offset < -1_000) == (ahead > 0, ahead < 0)


async def test_the_time_that_a_lock_is_waited_for_is_no_difference_of_clocks(
    postgres_tables: str,
) -> None:
    async with opened(postgres_tables) as storage, opened(postgres_tables) as other:
        log = await WrittenLog.create(storage, numbered(1))
        holding = asyncio.create_task(stand_still(other, log, 0.4))
        await asyncio.sleep(0.1)
        async with storage.transaction() as writing:
            await writing.lock(log.id)
            offset = writing.clock_offset_ms()
        await holding
    assert offset is not None
    assert abs(offset) <= 2


@pytest.fixture(scope="module")
def rough() -> Iterator[Cluster]:
    """Yield a cluster with tables that these tests may stop; each leaves it running."""
    with Cluster.create(tcp=True) as made:
        with asyncio.Runner() as runner:
            runner.run(create_database(made.dsn()))
        yield made


async def test_a_database_that_was_started_anew_is_another_one(
    rough: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "READ_SECONDS", 0.1)
    async with opened(rough.dsn()) as storage, opened(rough.dsn()) as other:
        log = await WrittenLog.create(storage, numbered(2))
        await asyncio.gather(*(other.head(log.id) for _ in range(6)))
        before = storage.incarnation()
        assert before is not None
        assert before == other.incarnation()
        await asyncio.to_thread(rough.stop, "immediate")
        for call in (storage.head, storage.barrier):
            with pytest.raises(InterruptedStorageError):
                await call(log.id)
        with pytest.raises(StorageError, match="cannot be reached"):
            await PostgresStorage(rough.dsn()).open()
        await asyncio.to_thread(rough.start)
        assert await storage.head(log.id) == log.head
        assert await storage.barrier(log.id) == log.head
        after = storage.incarnation()
        assert after is not None
        assert (after.system, after.timeline) == (before.system, before.timeline)
        assert after.started != before.started
        # One that has heard nothing of it finds out at its next connection.
        await asyncio.gather(*(other.head(log.id) for _ in range(6)))
        await log.append(other, [b"{}"])
        assert other.incarnation() == after


async def begin(storage: PostgresStorage) -> None:
    async with storage.transaction():
        pass


async def take_snapshot(storage: PostgresStorage) -> None:
    async with storage.snapshot():
        pass


async def test_a_database_that_does_not_answer_is_given_up(
    rough: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hosts, storing):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    async with opened(rough.dsn()) as storage:
        log = await WrittenLog.create(storage, numbered(2))
        await asyncio.gather(*(storage.head(log.id) for _ in range(4)))
        async with storage.transaction() as writing:
            await writing.lock(log.id)
            monkeypatch.setattr(connecting, "STATEMENT_SECONDS", 0.1)
            rough.freeze()
            with pytest.raises(InterruptedStorageError):
                await writing.mark(log.id)
        for given_up in (begin, take_snapshot):
            with pytest.raises(InterruptedStorageError):
                await given_up(storage)
        reading = asyncio.create_task(storage.fetch("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.02)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        rough.thaw()
        monkeypatch.undo()
        assert await storage.barrier(log.id) == log.head


async def test_the_primary_is_found_among_the_hosts(rough: Cluster) -> None:
    with Standby.of(rough, synchronous=True, tcp=True) as standby:
        dead = SimpleNamespace(tcp=True, port=1)
        named = [cast("Cluster", dead), standby, rough]
        async with opened(dsn(named)) as storage:
            log = await WrittenLog.create(storage, numbered(2))
            before = storage.incarnation()
            assert before is not None
            with pytest.raises(StorageError, match="none but standbys answer"):
                await PostgresStorage(dsn([standby])).open()
            await asyncio.to_thread(rough.kill)
            await asyncio.to_thread(standby.promote)
            assert await storage.barrier(log.id) == log.head
            after = storage.incarnation()
            assert after is not None
            assert after.system == before.system
            assert after.timeline == before.timeline + 1
            await log.append(storage, [b"{}"])
            # The old one comes back and does not know that it is none any more.
            await asyncio.to_thread(standby.stop)
            # It does not wait for a standby either.
            (rough.data / "postgresql.auto.conf").write_text("")
            rough.start()
            with pytest.raises(InterruptedStorageError, match="older primary"):
                await storage.barrier(log.id)
            assert storage.incarnation() == after
