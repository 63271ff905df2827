"""Reads a PostgreSQL database for a check.

A connection of its own, on an event loop of its own that runs on the thread of the
check for as long as a call takes. Each call sees one moment: it is one statement, or
some in one transaction that is read-only and repeatable; none is open between calls, so
a check of hours keeps no vacuum from its work.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, Self, TypeVar, cast

import asyncpg

from provlog.server.errors import ConfigurationError
from provlog.server.selfcheck import postgres_statements as statements
from provlog.server.selfcheck.postgres_integrity import DAMAGE, check_integrity
from provlog.server.selfcheck.postgres_schema import (
    catalog_query,
    describe_schema,
    differing_names,
    expected_schema,
)
from provlog.server.selfcheck.reader import (
    TABLES_OF_LOGS,
    UnreadableError,
    places_outside,
)
from provlog.server.selfcheck.rows import (
    Chunk,
    CursorRow,
    HeadRow,
    Integrity,
    KeyRow,
    LogRow,
    OpeningRow,
    PrivateRow,
    Snapshot,
    SourceRow,
    TileRow,
    TokenRow,
)
from provlog.server.storage.postgres.connecting import Plain, connect
from provlog.server.storage.postgres.schema import require_schema
from provlog.server.storage.postgres.translation import explain, translated
from provlog.server.storage.rows import Row

T = TypeVar("T")

STATEMENT_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 5.0

# Nothing but PostgreSQL's own functions may answer. A statement that a key's index can
# serve is served by it, however old the statistics are.
_SETTINGS: Final = f"""
SET search_path TO pg_catalog;
SET default_transaction_read_only TO on;
SET statement_timeout TO '{STATEMENT_SECONDS:.0f}s';
SET lock_timeout TO '10s';
SET idle_in_transaction_session_timeout TO '60s';
SET enable_seqscan TO off;
SET enable_hashjoin TO off;
SET enable_mergejoin TO off;
SET jit TO off;
"""


class PostgresReader:
    """A `CheckReader` of a PostgreSQL database."""

    def __init__(self, url: str) -> None:
        """Connect. `SchemaError` if its version is another."""
        self._runner = asyncio.Runner()
        try:
            self._connection = self._runner.run(_connect(url))
        except BaseException:
            self._runner.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(_close(self._connection))

    def snapshot(self) -> Snapshot:
        """Return the small tables as they are at one moment."""
        logs, heads, sources, tokens, cursors = self._run(
            self._at_one_moment(
                (statements.LOGS,),
                (statements.HEADS,),
                (statements.SOURCES,),
                (statements.TOKENS,),
                (statements.CURSORS,),
            )
        )
        return Snapshot(
            [LogRow(*row) for row in logs],
            {row[0]: HeadRow(*row) for row in heads},
            [SourceRow(*row) for row in sources],
            [TokenRow(*row) for row in tokens],
            [CursorRow(*row) for row in cursors],
        )

    def chunk(self, log: int, start: int, end: int) -> Chunk:
        """Return all rows of the entries [start, end)."""
        place = (log, start, end)
        leaves, private, openings = self._run(
            self._at_one_moment(
                (statements.LEAVES, *place),
                (statements.PRIVATE, *place),
                (statements.OPENINGS, *place),
            )
        )
        return Chunk(
            start,
            end,
            {row[0]: row[1] for row in leaves},
            {index: PrivateRow(*row) for index, *row in private},
            {index: OpeningRow(*row) for index, *row in openings},
        )

    def leaf(self, log: int, index: int) -> bytes | None:
        """Return the leaf at an index."""
        rows = self._run(self._rows(statements.LEAVES, log, index, index + 1))
        return rows[0][1] if rows else None

    def tile(self, log: int, level: int, index: int) -> TileRow | None:
        """Return a stored tile."""
        rows = self._run(self._rows(statements.TILE, log, level, index))
        return TileRow(*rows[0]) if rows else None

    def places(self, log: int, ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return the indexes that blinded ids are said to stand at."""
        rows = self._run(self._rows(statements.PLACES, log, ids))
        return {row[0]: row[1] for row in rows}

    def keys(self, log: int, after: bytes, limit: int) -> tuple[int, list[KeyRow]]:
        """Return the log's size, and the next key rows by id at the same moment."""
        sizes, rows = self._run(
            self._at_one_moment(
                (statements.SIZE, log), (statements.KEYS_AFTER, log, after, limit)
            )
        )
        return (sizes[0][0] if sizes else 0), [KeyRow(*row) for row in rows]

    def last_entry(self, log: int) -> int:
        """Return the largest index that has an entry, -1 where there is none."""
        [(last,)] = self._run(self._rows(statements.LAST_ENTRY, log))
        return -1 if last is None else int(last)

    def outside(self, log: int) -> list[tuple[str, str, int]]:
        """Return (table, place, rows) of rows that no entry of the log can have."""
        return self._run(self._outside(log))

    def foreign(self, logs: set[int]) -> list[tuple[str, int]]:
        """Return (table, log number) of rows that belong to none of the logs."""
        found = []
        for table in TABLES_OF_LOGS:
            rows = self._run(self._rows(statements.FOREIGN.format(table), sorted(logs)))
            found += [(table, number) for (number,) in rows]
        return found

    def schema(self) -> list[str]:
        """Return the names in which the schema differs from this program's."""
        return differing_names(self.description(), expected_schema())

    def description(self) -> str:
        """Return what stands in the schema, in the words of `postgres-schema.txt`."""
        return describe_schema(self._run(self._rows(catalog_query())))

    def integrity(self) -> Integrity:
        """Return what PostgreSQL can say of its files, and of what this role may do."""
        return self._run(check_integrity(self._connection))

    async def _outside(self, log: int) -> list[tuple[str, str, int]]:
        async with self._moment():
            sizes = await self._rows(statements.SIZE, log)
            places = places_outside(sizes[0][0] if sizes else 0)
            counts = (
                f"SELECT {number}, count(*) FROM provlog.{table}"  # noqa: S608
                f" WHERE log = $1 AND {where}"
                for number, (table, _, where) in enumerate(places)
            )
            rows = await self._rows(" UNION ALL ".join(counts), log)
        return [(*places[number][:2], count) for number, count in rows if count]

    async def _at_one_moment(self, *asked: tuple[object, ...]) -> list[Sequence[Row]]:
        """Return the rows of some statements, each given with its values."""
        async with self._moment():
            return [await self._rows(str(text), *rest) for text, *rest in asked]

    def _moment(self) -> AbstractAsyncContextManager[object]:
        return self._connection.transaction(isolation="repeatable_read", readonly=True)

    async def _rows(self, statement: str, *values: object) -> Sequence[Row]:
        rows = await self._connection.fetch(
            # Later than the server's own limit: for one that no longer answers.
            statement,
            *values,
            timeout=STATEMENT_SECONDS + 10,
        )
        return cast("Sequence[Row]", rows)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with _told_apart():
            return self._runner.run(work)


async def _connect(url: str) -> Plain:
    connection = await connect(url)
    try:
        await require_schema(connection)
        with translated():
            await connection.execute(_SETTINGS)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _close(connection: Plain) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        # Nothing is lost with a connection that only read.
        connection.terminate()


@contextmanager
def _told_apart() -> Iterator[None]:
    """Raise `UnreadableError` for damage, `StorageError` for what may be over later."""
    with translated():
        try:
            yield
        except DAMAGE as error:
            # What PostgreSQL says of damage names blocks and objects, never values.
            raise UnreadableError(f"{explain(error)}: {error}") from error
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigurationError(
                f"the database's role may not read what a check reads: {error}"
            ) from error
        except asyncpg.SyntaxOrAccessError as error:
            # A table or column is gone, or of another type.
            raise UnreadableError(explain(error)) from error
