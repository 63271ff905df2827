"""A write transaction: one log's row lock, one statement for all it adds, one commit.

Durability: COMMIT returns after the write-ahead log is flushed, here and, where
`synchronous_commit` and `synchronous_standby_names` say so, on the standby.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from typing import Any, Final, TypeAlias

from provlog.server.storage.base import (
    CommitUnknownError,
    Cursor,
    Extension,
    Head,
    Incarnation,
    LogRecord,
    StorageError,
)
from provlog.server.storage.postgres.connecting import (
    Pooled,
    fetch,
    incarnation_of,
    is_lost,
    limited,
)
from provlog.server.storage.postgres.reads import PostgresReads
from provlog.server.storage.postgres.translation import explain
from provlog.server.storage.rows import (
    EMPTY_HEAD,
    Row,
    cursor_row,
    head_row,
    opening_row,
    private_row,
    token_row,
)

logger = logging.getLogger(__name__)

# The clock is read once the row is locked, however long that took.
_LOCK: Final = """
WITH locked AS MATERIALIZED (
    SELECT size, root, events, epoch, recorded FROM heads WHERE log = $1 FOR UPDATE)
SELECT *, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM locked
"""
_LOCK_ALL: Final = """
WITH locked AS MATERIALIZED (
    SELECT log, size, root, events, epoch, recorded FROM heads
    WHERE log = ANY ($1::bigint[]) ORDER BY log FOR UPDATE)
UPDATE heads h SET barrier = barrier + 1 FROM locked l WHERE h.log = l.log
RETURNING l.*
"""
_MARK: Final = "UPDATE heads SET barrier = barrier + 1 WHERE log = $1"
_NEW_LOG: Final = (
    "INSERT INTO logs (name, origin, log_key, public, created)"
    " VALUES ($1, $2, $3, $4, $5) RETURNING log"
)
_NEW_HEAD: Final = (
    "INSERT INTO heads (log, size, root, events, epoch, recorded)"
    " VALUES ($1, $2, $3, $4, $5, $6)"
)
_NEW_SOURCE: Final = (
    "INSERT INTO sources (log, uri, ns, connector, idx) VALUES ($1, $2, $3, $4, $5)"
)
_NEW_TOKEN: Final = (
    "INSERT INTO tokens (id, digest, logs, roles, sources, note, rate, created,"  # noqa: S105
    " expires, revoked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
)
_REVOKE: Final = "UPDATE tokens SET revoked = $1 WHERE id = $2 AND revoked IS NULL"
_SET_CURSOR: Final = (
    "INSERT INTO cursors (log, source, position, updated, digest)"
    " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (log, source) DO UPDATE SET"
    " (position, updated, digest)"
    " = (excluded.position, excluded.updated, excluded.digest)"
)
_EXTEND: Final = (
    resources.files("provlog.server.storage") / "sql" / "postgres-extend.sql"
).read_text(encoding="utf-8")


SLOW_SECONDS: Final = 5.0
"""After how long a COMMIT is said to take long."""


class PostgresTransaction(PostgresReads):
    """A `Transaction` on a connection that has begun one."""

    def __init__(self, connection: Pooled) -> None:
        self._connection = connection
        self._incarnation = incarnation_of(connection)
        self._offset: int | None = None
        self._warnings: list[str] = []
        # What other processes and caches are to hear of once it is committed.
        self.revoked: set[str] = set()

    @property
    def incarnation(self) -> Incarnation:
        """Which database this transaction runs in."""
        return self._incarnation

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        """Return a statement's rows; `StorageError` where that fails."""
        return await fetch(self._connection, statement, *values)

    async def lock(self, log: int) -> Head:
        """Lock a log's row until the transaction ends and return its newest head.

        `StorageBusyError` where somebody else holds it for too long.
        """
        before = time.time_ns() // 1_000_000
        rows = await self.fetch(_LOCK, log)
        after = time.time_ns() // 1_000_000
        if not rows:
            raise StorageError(f"log {log} has no head row")
        *head, clock = rows[0]
        # The answer may have waited: the clock was read somewhere in between.
        self._offset = max(0, clock - after) + min(0, clock - before)
        return Head(*head)

    def clock_offset_ms(self) -> int | None:
        """Return how far the database's clock was ahead of ours at the last lock."""
        return self._offset

    async def mark(self, log: int) -> None:
        """Change a log's head row in nothing but its count of barriers."""
        await self.fetch(_MARK, log)

    async def mark_all(self, logs: Sequence[int]) -> dict[int, Head]:
        """Lock and mark several logs; return their heads by the log's number."""
        rows = await self.fetch(_LOCK_ALL, logs)
        return {number: Head(*head) for number, *head in rows}

    async def create_log(self, record: LogRecord) -> int:
        """Register a log with an empty head and return its number."""
        [(number,)] = await self.fetch(
            _NEW_LOG,
            record.name,
            record.origin,
            record.log_key,
            record.public,
            record.created,
        )
        await self.fetch(_NEW_HEAD, number, *head_row(EMPTY_HEAD))
        return int(number)

    async def extend(self, extension: Extension) -> None:
        """Insert what the extension holds and move the log's head, in one statement.

        Sources, tokens and revocations, which are rare, have statements of their own.
        """
        await self.fetch(_EXTEND, *_columns(extension))
        log = extension.log
        for index, source in extension.sources:
            await self.fetch(
                _NEW_SOURCE, log, source.uri, source.ns, source.connector, index
            )
        for token in extension.tokens:
            await self.fetch(_NEW_TOKEN, *token_row(token))
        for token_id, at in extension.revoked_tokens.items():
            await self.fetch(_REVOKE, at, token_id)
            self.revoked.add(token_id)

    async def load(self, extension: Extension) -> None:
        """Do what `extend` does, with COPY for entries and tiles."""
        log, tiles = extension.log, extension.tiles
        keyed, private, openings = _sides(extension)
        for table, columns, rows in (
            ("entries", "log idx leaf", [(e.index, e.leaf) for e in extension.entries]),
            ("keys", "log id idx", keyed),
            ("private", "log idx disclosures compare_key compare_digest", private),
            ("openings", "log idx epoch nonce labels", openings),
            (
                "tiles",
                "log level idx root hashes",
                [(tile.level, tile.index, root, data) for tile, data, root in tiles],
            ),
        ):
            await self._copy(table, columns.split(), [(log, *row) for row in rows])
        await self.extend(replace(extension, entries=(), tiles=()))

    async def _copy(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        if rows:
            with limited(self._connection) as seconds:
                await self._connection.copy_records_to_table(
                    table,
                    schema_name="provlog",
                    columns=columns,
                    records=rows,
                    timeout=seconds,
                )

    async def set_cursor(self, log: int, cursor: Cursor) -> None:
        """Write a source's cursor in the place of the one before."""
        await self.fetch(_SET_CURSOR, *cursor_row(log, cursor))

    async def commit(self) -> None:
        """Make everything durable; `CommitUnknownError` where that is not known.

        No time limit: to give up on a COMMIT is not to know. A warning counts as not
        knowing, too: PostgreSQL warns where it gave up waiting for a standby.
        """
        if is_lost(self._connection):
            raise CommitUnknownError("the connection was lost before the COMMIT")
        self._connection.add_log_listener(self._note)
        committing = asyncio.ensure_future(self._connection.execute("COMMIT"))
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, _warn_of_slow_commit)
        try:
            # Shielded: a caller that goes away must not send a cancel after it.
            status = await asyncio.shield(committing)
        except asyncio.CancelledError:
            await asyncio.wait([committing])
            raise
        except Exception as error:
            raise CommitUnknownError(explain(error)) from error
        finally:
            slow.cancel()
            if not is_lost(self._connection):
                self._connection.remove_log_listener(self._note)
        if status != "COMMIT" or self._warnings:
            raise CommitUnknownError(f"COMMIT was answered {[status, *self._warnings]}")

    def _note(self, _: object, message: object) -> None:
        state = getattr(message, "sqlstate", None)
        self._warnings.append(f"a warning, SQLSTATE {state}")


def _warn_of_slow_commit() -> None:
    # A start, too, waits for the commit of its barrier, and would do so without a word.
    logger.warning(
        "a COMMIT has taken %.0f s so far: does a synchronous standby not answer?",
        SLOW_SECONDS,
    )


def _columns(extension: Extension) -> list[object]:
    """Return the arguments of postgres-extend.sql."""
    tiles = [
        (tile.level, tile.index, root, hashes) for tile, hashes, root in extension.tiles
    ]
    keyed, private, openings = _sides(extension)
    return [
        extension.log,
        *_transposed([(each.index, each.leaf) for each in extension.entries], 2),
        *_transposed(keyed, 2),
        *_transposed(private, 4),
        extension.head.epoch,
        *_transposed(
            [(index, nonce, labels) for index, _, nonce, labels in openings], 3
        ),
        *_transposed(tiles, 4),
        *head_row(extension.head),
    ]


_Rows: TypeAlias = list[tuple[Any, ...]]


def _sides(extension: Extension) -> tuple[_Rows, _Rows, _Rows]:
    """Return the rows of keys, private sides and openings, without their log."""
    log, entries, epoch = extension.log, extension.entries, extension.head.epoch
    keyed: _Rows = [(entry.key, entry.index) for entry in entries if entry.key]
    private: _Rows = [
        private_row(log, entry.index, entry.private)[1:]
        for entry in entries
        if entry.private
    ]
    openings: _Rows = [
        opening_row(log, entry.index, epoch, entry.openings)[1:]
        for entry in entries
        if entry.openings
    ]
    return keyed, private, openings


def _transposed(rows: Sequence[Sequence[object]], width: int) -> list[Sequence[object]]:
    """Return the columns of rows of that width."""
    return [list(column) for column in zip(*rows, strict=True)] or [[]] * width
