"""What PostgreSQL may answer to a COMMIT, and what is made of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from provlog.server.storage.base import (
    CommitUnknownError,
    Extension,
    InterruptedStorageError,
    StorageError,
)
from provlog.server.storage.postgres.schema import create_database
from provlog.server.storage.postgres.storage import PostgresStorage
from support.postgres import Cluster
from support.postgres_sessions import ENDING, opened, superuser
from support.written_logs import WrittenLog, numbered

pytestmark = pytest.mark.needs("postgres")

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'SyncRep'
"""
ANY = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE datname = current_database()
"""


async def commit(storage: PostgresStorage, extension: Extension) -> None:
    async with storage.transaction() as transaction:
        await transaction.lock(extension.log)
        await transaction.extend(extension)
        await transaction.commit()


async def commit_after_a_failure(storage: PostgresStorage, log: WrittenLog) -> None:
    async with storage.transaction() as transaction:
        await transaction.extend(log.extension(log.entries([b"{}"])))
        with pytest.raises(StorageError):
            await transaction.fetch("SELECT 1 / 0")
        await transaction.commit()


async def test_a_commit_of_a_transaction_that_failed_is_no_commit(
    postgres_tables: str,
) -> None:
    async with opened(postgres_tables) as storage:
        log = await WrittenLog.create(storage, numbered(1))
        with pytest.raises(CommitUnknownError, match="ROLLBACK"):
            await commit_after_a_failure(storage, log)
        assert await storage.barrier(log.id) == log.head
        await log.append(storage, [b"{}"])


async def cut_off_and_commit(
    storage: PostgresStorage, log: WrittenLog, connection: "asyncpg.Connection[Any]"
) -> None:
    async with storage.transaction() as transaction:
        await transaction.extend(log.extension(log.entries([b"{}"])))
        await connection.execute(ENDING.format("pg_terminate_backend"))
        await transaction.commit()


async def test_a_connection_that_is_lost_before_the_commit_leaves_it_unknown(
    postgres_tables: str,
) -> None:
    async with opened(postgres_tables) as storage, superuser(postgres_tables) as other:
        log = await WrittenLog.create(storage, numbered(1))
        with pytest.raises(CommitUnknownError):
            await cut_off_and_commit(storage, log, other)
        assert await storage.barrier(log.id) == log.head
        await log.append(storage, [b"{}"])


@pytest.fixture(scope="module")
def lonely(postgres: Cluster) -> Iterator[str]:
    """Yield the superuser's URL of a database whose settings may be changed."""
    with Cluster.create() as made:
        url = made.dsn()
        with asyncio.Runner() as runner:
            runner.run(create_database(url))
        yield url


@asynccontextmanager
async def alone(url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Yield a superuser who lets commits go on without a standby, and then wait."""
    async with superuser(url) as connection:
        await connection.execute("SET synchronous_commit = local")
        yield connection


async def waiting(connection: "asyncpg.Connection[Any]") -> None:
    async with asyncio.timeout(30):
        while await connection.fetchval(WAITING) == 0:
            pass


async def set_standbys(connection: "asyncpg.Connection[Any]", names: str) -> None:
    await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    await connection.execute("SELECT pg_reload_conf()")


async def wait_for_nobody(connection: "asyncpg.Connection[Any]", url: str) -> None:
    """Return once every commit waits for a standby that is not there."""
    await set_standbys(connection, "nobody")
    while True:
        async with superuser(url) as probing:
            write = "SELECT pg_logical_emit_message(true, 'test', '')"
            probe = asyncio.create_task(probing.execute(write))
            while not probe.done():
                if await connection.fetchval(WAITING):
                    await connection.execute(f"{ANY} AND wait_event = 'SyncRep'")
                    await asyncio.wait([probe])
                    return


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_that_no_standby_has_is_unknown_and_found_behind_a_barrier(
    lonely: str, end: str
) -> None:
    async with alone(lonely) as other:
        await set_standbys(other, "")
        async with opened(lonely, 0.3) as storage, opened(lonely, 0.3) as second:
            log = await WrittenLog.create(storage, numbered(1))
            await wait_for_nobody(other, lonely)
            extension = log.extension(log.entries([b"{}"]))
            committing = asyncio.create_task(commit(storage, extension))
            await waiting(other)
            # At work, if not getting on: whoever waits for its lock leaves it alone.
            with pytest.raises(StorageError) as busy:
                await second.barrier(log.id)
            assert not isinstance(busy.value, InterruptedStorageError)
            assert not committing.done()
            await other.execute(f"{ENDING.format(end)} AND wait_event = 'SyncRep'")
            with pytest.raises(CommitUnknownError):
                await committing
            barrier = asyncio.create_task(storage.barrier(log.id))
            await waiting(other)
            assert not barrier.done()
            await set_standbys(other, "")
            assert await barrier == extension.head
