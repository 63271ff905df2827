"""PostgreSQL as a `Storage`: any number of servers on any number of machines.

`SELECT … FOR UPDATE` of a log's head row is the only sequencer. Each log has a lane,
and so a transaction, of its own. A transaction has a connection to itself; reads share
the others.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from provlog.server.patience import Patience
from provlog.server.storage.addresses import place_of
from provlog.server.storage.base import (
    Head,
    Incarnation,
    InterruptedStorageError,
    SourceRecord,
    StorageBusyError,
    StorageError,
    TokenRecord,
    Vitals,
)
from provlog.server.storage.postgres.connecting import (
    LOCK_SECONDS,
    Pool,
    Pooled,
    create_pool,
    drop,
    execute,
    fetch,
    incarnation_of,
    is_lost,
    pooled_hosts,
)
from provlog.server.storage.postgres.cutting_off import end_frozen_sessions
from provlog.server.storage.postgres.hosts import CONNECT_SECONDS
from provlog.server.storage.postgres.privileges import excess_rights
from provlog.server.storage.postgres.reads import PostgresReads
from provlog.server.storage.postgres.remembered import Remembered
from provlog.server.storage.postgres.schema import require_schema
from provlog.server.storage.postgres.snapshot import PostgresSnapshot
from provlog.server.storage.postgres.transaction import PostgresTransaction
from provlog.server.storage.postgres.translation import (
    explain,
    reaching,
    translated,
)
from provlog.server.storage.rows import Row

logger = logging.getLogger(__name__)

WRITERS: Final = 8
READERS: Final = 6
READ_SECONDS: Final = 3.0
"""How long a read waits for a database that is away: for a restart, or a failover."""

# Who may not read the statistics sees that there are standbys, and nothing of them. A
# standby that stands still goes on telling the lag it had: what it has yet to replay is
# told by the primary.
_VITALS: Final = """
SELECT pg_database_size(current_database()),
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN count(state) END,
       max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint,
       extract(epoch FROM max(replay_lag))::float8
FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'
"""


class PostgresStorage(PostgresReads):
    """A `Storage` in one PostgreSQL database."""

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        """Prepare; nothing is connected before `open`.

        Whoever waits `lock_seconds` for a log's lock looks for what stands still on it.
        """
        self._place = place_of(url)
        self._hosts = pooled_hosts(url, lock_seconds)
        self._lock_seconds = lock_seconds
        self._pools: list[Pool] = []
        self._incarnation: Incarnation | None = None
        self._left: set[Incarnation] = set()
        self._remembered = Remembered()

    async def open(self) -> None:
        """Connect once and check the schema.

        Raises `SchemaError` if its version is another, `StorageError` where the
        database cannot be reached, `ConfigurationError` where it must not be used.
        """
        with reaching(self._place):
            for size in (WRITERS, READERS):
                self._pools.append(await create_pool(self._hosts, size))
            async with self._connection(self._writers) as connection:
                await require_schema(connection)

    async def advice(self) -> list[str]:
        """Return what the operator should do better."""
        async with self._connection(self._readers) as connection:
            return await excess_rights(connection)

    def incarnation(self) -> Incarnation | None:
        """Return the database that answered last."""
        return self._incarnation

    def lane(self, log: int) -> int:
        """Return the log itself: each has a row, and so a queue, of its own."""
        return log

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        """Return a statement's rows; a read that was interrupted is done again."""
        patience = Patience(READ_SECONDS)
        while True:
            try:
                async with self._connection(self._readers) as connection:
                    return await fetch(connection, statement, *values)
            except InterruptedStorageError:
                if not await patience.wait():
                    raise

    async def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a registered source."""
        # Of whatever answers now: if another database does meanwhile, it is let go of.
        remembered = self._remembered
        known = remembered.source(log, uri)
        if known is None:
            known = await super().source(log, uri)
            if known is not None:
                remembered.keep_source(log, known)
        return known

    async def token(self, token_id: str) -> TokenRecord | None:
        """Return a token, revoked ones included, as it was a second ago or later."""
        remembered = self._remembered
        known = remembered.token(token_id)
        if known is None:
            asked = time.monotonic()
            known = await super().token(token_id)
            if known is not None:
                remembered.keep_token(known, asked)
        return known

    async def vitals(self) -> Vitals:
        """Return how the database is, and its standbys where the role may see them."""
        [row] = await self.fetch(_VITALS)
        return Vitals(*row)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Begin a write transaction; leaving it without `commit` rolls it back."""
        async with self._connection(self._writers) as connection:
            transaction = PostgresTransaction(connection)
            try:
                await execute(connection, "BEGIN")
                yield transaction
            except StorageBusyError as error:
                await _roll_back(connection)
                if await end_frozen_sessions(connection, self._lock_seconds):
                    raise InterruptedStorageError(
                        "a session that stood still in the way was ended"
                    ) from error
                raise
            except asyncio.CancelledError:
                # Perhaps in the middle of a statement: with the connection goes its
                # transaction.
                drop(connection)
                raise
            finally:
                await _roll_back(connection)
                self._remembered.forget_tokens(transaction.revoked)

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSnapshot]:
        """Begin reads that all see the rows as they were at one moment."""
        async with self._connection(self._readers) as connection:
            snapshot = PostgresSnapshot(connection)
            try:
                await snapshot.begin()
                yield snapshot
            except asyncio.CancelledError:
                drop(connection)
                raise
            finally:
                await _roll_back(connection)

    async def barrier(self, log: int) -> Head:
        """Durably commit a mark in the head row and return the head behind it."""
        return (await self.barriers([log]))[log]

    async def barriers(self, logs: Sequence[int]) -> dict[int, Head]:
        """Pass the barriers of several logs in one commit; return their heads."""
        async with self.transaction() as transaction:
            heads = await transaction.mark_all(logs)
            if len(heads) != len(set(logs)):
                raise StorageError("a log has no head row")
            await transaction.commit()
            return heads

    async def close(self) -> None:
        """Finish what runs and close the connections."""
        for pool in self._pools:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except (TimeoutError, OSError):
                pool.terminate()

    @property
    def _writers(self) -> Pool:
        return self._pools[0]

    @property
    def _readers(self) -> Pool:
        return self._pools[1]

    @contextlib.asynccontextmanager
    async def _connection(self, pool: Pool) -> AsyncIterator[Pooled]:
        """Yield a connection to the database that answers now.

        One that was made to another incarnation is closed: its server has gone, or it
        is the old primary, which does not know yet that it is none any more.
        """
        connection = await self._acquire(pool)
        try:
            yield connection
        finally:
            await _release(pool, connection)

    async def _acquire(self, pool: Pool) -> Pooled:
        while True:
            with translated():
                connection = await pool.acquire()
            found = incarnation_of(connection)
            known = self._incarnation
            if known is None or found == known:
                self._incarnation = found
                return connection
            if found not in self._left and _follows(found, known):
                logger.warning("the database was started anew or has failed over")
                # Never again: whoever finds the same one before and after a read
                # knows that nothing was read from another.
                self._left.add(known)
                self._incarnation = found
                # What was read from the other one need not be in this one.
                self._remembered = Remembered()
                for each in self._pools:
                    await each.expire_connections()
                return connection
            drop(connection)
            await _release(pool, connection)
            self._hosts.forget()
            raise InterruptedStorageError(
                "an older primary of the database answered; it is not used"
            )


def _follows(found: Incarnation, known: Incarnation) -> bool:
    """Tell whether another incarnation can have come after the one that is known.

    A promotion raises the timeline. Another cluster is let through: whether it may be
    used is for the guard to say.
    """
    return found.system != known.system or found.timeline >= known.timeline


async def _release(pool: Pool, connection: Pooled) -> None:
    """Hand a connection back. Never raises: what it was needed for is done."""
    if is_lost(connection):
        return drop(connection)
    try:
        # A read that was cancelled has to be given up by the database first.
        await pool.release(connection, timeout=CONNECT_SECONDS)
    except Exception as error:
        logger.warning("a connection was lost: %s", explain(error))


async def _roll_back(connection: Pooled) -> None:
    """End what is left of a transaction; a connection that cannot is closed."""
    try:
        if not is_lost(connection) and connection.is_in_transaction():
            await execute(connection, "ROLLBACK")
    except StorageError:
        drop(connection)
