"""SQLite's reads."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import apsw

from provlog.merkle.hashing import leaf_hash
from provlog.merkle.receipts import Openings
from provlog.server.storage.base import (
    Cursor,
    Head,
    LogRecord,
    Private,
    SourceRecord,
    StorageError,
    StoredKey,
    TokenRecord,
)
from provlog.server.storage.rows import (
    cursor_record,
    log_record,
    openings_record,
    private_record,
    single_column,
    token_record,
)

# The tables are STRICT: SQLite has checked each column's type.
Columns: TypeAlias = tuple[Any, ...]

_LOG = "SELECT log, name, origin, log_key, public, created FROM logs"
_TOKEN = (
    "SELECT id, digest, logs, roles, sources, note, rate, created, expires, revoked"  # noqa: S105
    " FROM tokens"
)
_KEY = "SELECT idx FROM keys WHERE log = ? AND id = ?"


class SqliteReads:
    """The `Reads` of one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def logs(self) -> list[LogRecord]:
        """Return every log, by name."""
        return [log_record(row) for row in self._all(f"{_LOG} ORDER BY name")]

    async def log(self, name: str) -> LogRecord | None:
        """Return the log of that name."""
        row = self._one(f"{_LOG} WHERE name = ?", name)
        return None if row is None else log_record(row)

    async def head(self, log: int) -> Head:
        """Return a log's newest committed head."""
        row = self._one(
            "SELECT size, root, events, epoch, recorded FROM heads WHERE log = ?", log
        )
        if row is None:
            raise StorageError(f"log {log} has no head row")
        return Head(*row)

    async def heads(self) -> dict[int, Head]:
        """Return every log's newest committed head, by the log's number."""
        rows = self._all("SELECT log, size, root, events, epoch, recorded FROM heads")
        return {row[0]: Head(*row[1:]) for row in rows}

    async def leaves(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the leaves at [start, end)."""
        rows = self._all(
            "SELECT leaf FROM entries WHERE log = ? AND idx >= ? AND idx < ?"
            " ORDER BY idx",
            log,
            start,
            end,
        )
        return single_column(rows, end - start, "entries")

    async def leaf_hashes(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the RFC 9162 hashes of the leaves at [start, end)."""
        return [leaf_hash(leaf) for leaf in await self.leaves(log, start, end)]

    async def tiles(self, log: int, level: int, start: int, end: int) -> list[bytes]:
        """Return the hashes of the full tiles [start, end) of a level."""
        return self._tile_column("hashes", log, level, start, end)

    async def tile_roots(
        self, log: int, level: int, start: int, end: int
    ) -> list[bytes]:
        """Return the subtree roots of the full tiles [start, end) of a level."""
        return self._tile_column("root", log, level, start, end)

    async def find_keys(
        self, log: int, keys: Sequence[bytes]
    ) -> dict[bytes, StoredKey]:
        """Return those of the blinded ids that are taken."""
        found = {}
        for key in keys:
            row = self._one(_KEY, log, key)
            if row is not None:
                index = row[0]
                found[key] = StoredKey(index, await self.private(log, index))
        return found

    async def private(self, log: int, index: int) -> Private | None:
        """Return an entry's private side, or None where it has none."""
        row = self._one(
            "SELECT disclosures, compare_key, compare_digest FROM private"
            " WHERE log = ? AND idx = ?",
            log,
            index,
        )
        return None if row is None else private_record(row)

    async def openings(self, log: int, index: int) -> Openings | None:
        """Return an entry's openings, or None where it has none."""
        row = self._one(
            "SELECT nonce, labels FROM openings WHERE log = ? AND idx = ?", log, index
        )
        return None if row is None else openings_record(row)

    async def private_rows(self, log: int, start: int, end: int) -> dict[int, Private]:
        """Return the private sides of the entries [start, end), by index."""
        rows = self._all(
            "SELECT idx, disclosures, compare_key, compare_digest FROM private"
            " WHERE log = ? AND idx >= ? AND idx < ?",
            log,
            start,
            end,
        )
        return {row[0]: private_record(row[1:]) for row in rows}

    async def opening_rows(self, log: int, start: int, end: int) -> dict[int, Openings]:
        """Return the openings of the entries [start, end), by index."""
        rows = self._all(
            "SELECT idx, nonce, labels FROM openings"
            " WHERE log = ? AND idx >= ? AND idx < ?",
            log,
            start,
            end,
        )
        return {row[0]: openings_record(row[1:]) for row in rows}

    async def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a registered source."""
        row = self._one(
            "SELECT uri, ns, connector FROM sources WHERE log = ? AND uri = ?", log, uri
        )
        return None if row is None else SourceRecord(*row)

    async def sources(self, log: int) -> list[SourceRecord]:
        """Return a log's sources, by URI."""
        rows = self._all(
            "SELECT uri, ns, connector FROM sources WHERE log = ? ORDER BY uri", log
        )
        return [SourceRecord(*row) for row in rows]

    async def registrations(self, log: int) -> list[tuple[int, SourceRecord]]:
        """Return a log's sources by URI, each after the index that registered it."""
        rows = self._all(
            "SELECT idx, uri, ns, connector FROM sources WHERE log = ? ORDER BY uri",
            log,
        )
        return [(row[0], SourceRecord(*row[1:])) for row in rows]

    async def cursor(self, log: int, source: str) -> Cursor | None:
        """Return how far a source has been polled."""
        row = self._one(
            "SELECT position, updated, digest FROM cursors"
            " WHERE log = ? AND source = ?",
            log,
            source,
        )
        return None if row is None else cursor_record(log, source, row)

    async def polled(self, most: int) -> list[tuple[int, str, int]]:
        """Return log, source, and when its cursor was written, of `most` at most."""
        rows = self._all(
            "SELECT log, source, updated FROM cursors ORDER BY log, source LIMIT ?",
            most,
        )
        return [(log, source, updated) for log, source, updated in rows]

    async def token(self, token_id: str) -> TokenRecord | None:
        """Return a token by its public id, revoked ones included."""
        row = self._one(f"{_TOKEN} WHERE id = ?", token_id)
        return None if row is None else token_record(row)

    async def tokens(self, log: int | None) -> list[TokenRecord]:
        """Return the tokens that reach a log (None: all tokens), by id."""
        tokens = [token_record(row) for row in self._all(f"{_TOKEN} ORDER BY id")]
        if log is None:
            return tokens
        return [token for token in tokens if token.logs is None or log in token.logs]

    def _tile_column(
        self, column: str, log: int, level: int, start: int, end: int
    ) -> list[bytes]:
        rows = self._all(
            f"SELECT {column} FROM tiles"  # noqa: S608  one of two literals
            " WHERE log = ? AND level = ? AND idx >= ? AND idx < ? ORDER BY idx",
            log,
            level,
            start,
            end,
        )
        return single_column(rows, end - start, "tiles")

    def _all(self, statement: str, *values: int | str | bytes) -> list[Columns]:
        try:
            return list(self._connection.execute(statement, values))
        except apsw.Error as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error

    def _one(self, statement: str, *values: int | str | bytes) -> Columns | None:
        rows = self._all(statement, *values)
        return rows[0] if rows else None
