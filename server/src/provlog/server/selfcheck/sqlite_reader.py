"""Reads an SQLite file for a check.

Each call is a read transaction of its own, so a check of hours holds up no checkpoint
of the write-ahead log. Everything is cast to its column's type in SQL: a damaged row
is then a value that disagrees, and no exception.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import apsw

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
from provlog.server.storage.base import StorageError
from provlog.server.storage.sqlite_schema import apply_schema, require_schema

BUSY_MS: Final = 10_000
INTEGRITY_FINDINGS: Final = 100


def _bytes(column: str) -> str:
    return f"coalesce(CAST({column} AS BLOB), x'')"


def _integer(column: str) -> str:
    return f"coalesce(CAST({column} AS INTEGER), -1)"


def _select(table: str, *columns: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608  own names


_LEAVES = _select("entries", "idx", _bytes("leaf"))
_PRIVATE = _select(
    "private",
    "idx",
    _bytes("disclosures"),
    "CAST(compare_key AS BLOB)",
    "CAST(compare_digest AS BLOB)",
)
_OPENINGS = _select(
    "openings", "idx", _integer("epoch"), _bytes("nonce"), _bytes("labels")
)
_TILE = _select("tiles", _bytes("root"), _bytes("hashes"))
_PLACE = "SELECT idx FROM keys WHERE log = ? AND id = ?"
_RANGE = " WHERE log = ? AND idx >= ? AND idx < ?"
_LOGS = _select(
    "logs",
    "log",
    *map(_bytes, ("name", "origin", "log_key")),
    _integer("public"),
    _bytes("created"),
)
_HEADS = _select(
    "heads",
    "log",
    _integer("size"),
    _bytes("root"),
    *map(_integer, ("events", "epoch", "recorded", "barrier")),
)
_SOURCES = _select(
    "sources",
    "log",
    *map(_bytes, ("uri", "ns")),
    "CAST(connector AS BLOB)",
    _integer("idx"),
)
_CURSORS = _select(
    "cursors",
    "log",
    *map(_bytes, ("source", "position")),
    _integer("updated"),
    _bytes("digest"),
)
_TOKENS = _select(
    "tokens",
    *map(_bytes, ("id", "digest", "logs", "roles", "sources", "note")),
    "CAST(rate AS REAL)",
    _integer("created"),
    "CAST(expires AS INTEGER)",
    "CAST(revoked AS INTEGER)",
)


class SqliteReader:
    """A `CheckReader` of a file."""

    def __init__(self, path: Path) -> None:
        """Open a database; `SchemaError` if its version is another."""
        if not path.exists():
            raise StorageError(f"there is no database at {path}")
        with _translated():
            self._connection = apsw.Connection(
                str(path), flags=apsw.SQLITE_OPEN_READONLY
            )
            self._connection.set_busy_timeout(BUSY_MS)
            self._connection.execute("PRAGMA query_only=ON")
            self._connection.execute("PRAGMA trusted_schema=OFF")
            require_schema(self._connection, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def snapshot(self) -> Snapshot:
        """Return the small tables as they are at one moment."""
        with self._reading():
            return Snapshot(
                [LogRow(*row) for row in self._all(_LOGS + " ORDER BY name")],
                {row[0]: HeadRow(*row) for row in self._all(_HEADS)},
                [SourceRow(*row) for row in self._all(_SOURCES)],
                [TokenRow(*row) for row in self._all(_TOKENS)],
                [CursorRow(*row) for row in self._all(_CURSORS)],
            )

    def chunk(self, log: int, start: int, end: int) -> Chunk:
        """Return all rows of the entries [start, end)."""
        place = (log, start, end)
        with self._reading():
            leaves = self._all(_LEAVES + _RANGE, *place)
            private = self._all(_PRIVATE + _RANGE, *place)
            openings = self._all(_OPENINGS + _RANGE, *place)
        return Chunk(
            start,
            end,
            dict(leaves),
            {index: PrivateRow(*row) for index, *row in private},
            {index: OpeningRow(*row) for index, *row in openings},
        )

    def leaf(self, log: int, index: int) -> bytes | None:
        """Return the leaf at an index."""
        rows = self._all(_LEAVES + _RANGE, log, index, index + 1)
        return rows[0][1] if rows else None

    def tile(self, log: int, level: int, index: int) -> TileRow | None:
        """Return a stored tile."""
        where = " WHERE log = ? AND level = ? AND idx = ?"
        rows = self._all(_TILE + where, log, level, index)
        return TileRow(*rows[0]) if rows else None

    def places(self, log: int, ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return the indexes that blinded ids are said to stand at."""
        found = {}
        with self._reading():
            for entry_id in ids:
                for (index,) in self._all(_PLACE, log, entry_id):
                    found[entry_id] = index
        return found

    def keys(self, log: int, after: bytes, limit: int) -> tuple[int, list[KeyRow]]:
        """Return the log's size, and the next key rows by id at the same moment."""
        with self._reading():
            sizes = self._all("SELECT size FROM heads WHERE log = ?", log)
            rows = self._all(
                "SELECT id, idx FROM keys WHERE log = ? AND id > ? ORDER BY id LIMIT ?",
                log,
                after,
                limit,
            )
        return (sizes[0][0] if sizes else 0), [KeyRow(*row) for row in rows]

    def last_entry(self, log: int) -> int:
        """Return the largest index that has an entry, -1 where there is none."""
        [(last,)] = self._all("SELECT max(idx) FROM entries WHERE log = ?", log)
        return -1 if last is None else int(last)

    def outside(self, log: int) -> list[tuple[str, str, int]]:
        """Return (table, place, rows) of rows that no entry of the log can have."""
        with self._reading():
            sizes = self._all("SELECT size FROM heads WHERE log = ?", log)
            found = [
                (table, place, self._count(table, log, where))
                for table, place, where in places_outside(sizes[0][0] if sizes else 0)
            ]
        return [item for item in found if item[2]]

    def foreign(self, logs: set[int]) -> list[tuple[str, int]]:
        """Return (table, log number) of rows that belong to none of the logs."""
        found = []
        for table in TABLES_OF_LOGS:
            after = -(2**63)
            while (number := self._next_log(table, after)) is not None:
                if number not in logs and self._next_log("logs", number - 1) != number:
                    found.append((table, number))
                after = number
        return found

    def schema(self) -> list[str]:
        """Return the names in which the schema differs from this program's."""
        fresh = apsw.Connection(":memory:")
        try:
            apply_schema(fresh)
            expected = _objects(fresh)
        finally:
            fresh.close()
        with _translated():
            found = _objects(self._connection)
        return sorted({name for _, name, _ in found ^ expected})

    def integrity(self) -> Integrity:
        """Return what SQLite's own check of the whole file says.

        Pages, indexes, types and constraints. One long statement.
        """
        with _translated():
            rows = self._all(f"PRAGMA integrity_check({INTEGRITY_FINDINGS})")
        lines = [str(row[0]) for row in rows]
        return Integrity([] if lines == ["ok"] else lines, [])

    def _next_log(self, table: str, after: int) -> int | None:
        [(number,)] = self._all(
            f"SELECT min(log) FROM {table} WHERE log > ?",  # noqa: S608  own names
            after,
        )
        return None if number is None else int(number)

    def _count(self, table: str, log: int, where: str) -> int:
        statement = f"SELECT count(*) FROM {table} WHERE log = ? AND {where}"  # noqa: S608
        return int(self._all(statement, log)[0][0])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with _translated():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with _translated():
                self._connection.execute("COMMIT")

    def _all(self, statement: str, *values: int | bytes) -> list[Any]:
        with _translated():
            return list(self._connection.execute(statement, values))


def _objects(connection: apsw.Connection) -> set[tuple[str, str, str | None]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master")
    return {row for row in rows if not row[1].startswith("sqlite_stat")}


@contextmanager
def _translated() -> Iterator[None]:
    # SQLite's own messages name tables and columns, never values.
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error
    except apsw.Error as error:
        raise StorageError(f"{type(error).__name__}: {error}") from error
