"""SQLite's reads, and how rows become records and records rows."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import apsw

from provlog.merkle.hashing import EMPTY_ROOT, leaf_hash
from provlog.merkle.labels import LABEL_SIZE, LabelKind
from provlog.merkle.receipts import Openings
from provlog.server.storage.base import (
    Cursor,
    DamagedCursorError,
    Head,
    LogRecord,
    Private,
    SourceRecord,
    StorageError,
    StoredKey,
    TokenRecord,
)

EMPTY_HEAD = Head(0, EMPTY_ROOT, 0, 1, 0)
# The tables are STRICT: SQLite has checked each column's type.
Row: TypeAlias = tuple[Any, ...]

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
        return [_log(row) for row in self._all(f"{_LOG} ORDER BY name")]

    async def log(self, name: str) -> LogRecord | None:
        """Return the log of that name."""
        row = self._one(f"{_LOG} WHERE name = ?", name)
        return None if row is None else _log(row)

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
        return _column(rows, end - start, "entries")

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
        return None if row is None else _private(row)

    async def openings(self, log: int, index: int) -> Openings | None:
        """Return an entry's openings, or None where it has none."""
        row = self._one(
            "SELECT nonce, labels FROM openings WHERE log = ? AND idx = ?", log, index
        )
        return None if row is None else _openings(row)

    async def private_rows(self, log: int, start: int, end: int) -> dict[int, Private]:
        """Return the private sides of the entries [start, end), by index."""
        rows = self._all(
            "SELECT idx, disclosures, compare_key, compare_digest FROM private"
            " WHERE log = ? AND idx >= ? AND idx < ?",
            log,
            start,
            end,
        )
        return {row[0]: _private(row[1:]) for row in rows}

    async def opening_rows(self, log: int, start: int, end: int) -> dict[int, Openings]:
        """Return the openings of the entries [start, end), by index."""
        rows = self._all(
            "SELECT idx, nonce, labels FROM openings"
            " WHERE log = ? AND idx >= ? AND idx < ?",
            log,
            start,
            end,
        )
        return {row[0]: _openings(row[1:]) for row in rows}

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
        if row is None:
            return None
        position, updated, digest = row
        cursor = Cursor(source, position, updated)
        if digest != cursor.digest(log):
            raise DamagedCursorError(f"the cursor of {source} is damaged")
        return cursor

    async def token(self, token_id: str) -> TokenRecord | None:
        """Return a token by its public id, revoked ones included."""
        row = self._one(f"{_TOKEN} WHERE id = ?", token_id)
        return None if row is None else _token(row)

    async def tokens(self, log: int | None) -> list[TokenRecord]:
        """Return the tokens that reach a log (None: all tokens), by id."""
        tokens = [_token(row) for row in self._all(f"{_TOKEN} ORDER BY id")]
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
        return _column(rows, end - start, "tiles")

    def _all(self, statement: str, *values: int | str | bytes) -> list[Row]:
        try:
            return list(self._connection.execute(statement, values))
        except apsw.Error as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error

    def _one(self, statement: str, *values: int | str | bytes) -> Row | None:
        rows = self._all(statement, *values)
        return rows[0] if rows else None


def _column(rows: list[Row], expected: int, table: str) -> list[bytes]:
    if len(rows) != expected:
        raise StorageError(f"{expected - len(rows)} rows of {table} are missing")
    return [row[0] for row in rows]


def _log(row: Row) -> LogRecord:
    number, name, origin, log_key, public, created = row
    return LogRecord(
        number,
        name,
        origin,
        log_key,
        bool(public),
        created,
    )


def _private(row: Sequence[Any]) -> Private:
    disclosures, compare_key, compare_digest = row
    texts = tuple(disclosures.split("~")) if disclosures else ()
    return Private(texts, compare_key, compare_digest)


def private_row(log: int, index: int, private: Private) -> tuple[object, ...]:
    """Return the row of an entry's private side."""
    return (
        log,
        index,
        "~".join(private.disclosures),
        private.compare_key,
        private.compare_digest,
    )


def _openings(row: Row) -> Openings:
    nonce, packed = row
    size = 1 + LABEL_SIZE
    items = (packed[at : at + size] for at in range(0, len(packed), size))
    return Openings(nonce, tuple((LabelKind(item[0]), item[1:]) for item in items))


def opening_row(
    log: int, index: int, epoch: int, openings: Openings
) -> tuple[object, ...]:
    """Return the row of an entry's openings."""
    packed = b"".join(bytes((kind,)) + label for kind, label in openings.labels)
    return log, index, epoch, openings.nonce, packed


@lru_cache(maxsize=1024)
def _token(row: Row) -> TokenRecord:
    # Every request reads its token's row; one that has not changed is not decoded anew.
    logs = row[2]
    return TokenRecord(
        id=row[0],
        digest=row[1],
        logs=None if logs == "*" else frozenset(json.loads(logs)),
        roles=frozenset(json.loads(row[3])),
        sources=tuple(json.loads(row[4])),
        note=row[5],
        rate=row[6],
        created=row[7],
        expires=row[8],
        revoked=row[9],
    )


def token_row(token: TokenRecord) -> tuple[object, ...]:
    """Return the row of a token."""
    return (
        token.id,
        token.digest,
        "*" if token.logs is None else _array(token.logs),
        _array(token.roles),
        _array(token.sources),
        token.note,
        token.rate,
        token.created,
        token.expires,
        token.revoked,
    )


def cursor_row(log: int, cursor: Cursor) -> tuple[object, ...]:
    """Return the row of a cursor."""
    return log, cursor.source, cursor.position, cursor.updated, cursor.digest(log)


def _array(items: Iterable[int | str]) -> str:
    return json.dumps(sorted(items, key=str))
