"""PostgreSQL's reads: each is one statement, and so one round trip."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from provlog.merkle.hashing import HASH_SIZE
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
    Row,
    cursor_record,
    log_record,
    openings_record,
    private_record,
    single_column,
    token_record,
)

_LOG: Final = "SELECT log, name, origin, log_key, public, created FROM logs"
_HEAD: Final = "SELECT size, root, events, epoch, recorded FROM heads WHERE log = $1"
_HEADS: Final = "SELECT log, size, root, events, epoch, recorded FROM heads"
_LEAVES: Final = (
    "SELECT leaf FROM entries WHERE log = $1 AND idx >= $2 AND idx < $3 ORDER BY idx"
)
# RFC 9162, 2.1.1: a leaf is hashed behind a zero byte. Where the leaves stand, so that
# 32 bytes of each travel and not the whole.
_LEAF_HASHES: Final = r"""
SELECT count(*), string_agg(sha256('\x00'::bytea || leaf), ''::bytea ORDER BY idx)
FROM entries WHERE log = $1 AND idx >= $2 AND idx < $3
"""
_TILES: Final = (
    "SELECT hashes FROM tiles"
    " WHERE log = $1 AND level = $2 AND idx >= $3 AND idx < $4 ORDER BY idx"
)
_TILE_ROOTS: Final = """
SELECT count(*), string_agg(root, ''::bytea ORDER BY idx)
FROM tiles WHERE log = $1 AND level = $2 AND idx >= $3 AND idx < $4
"""
# Two look-ups by key for each id, whatever the tables' statistics say: OFFSET 0 keeps
# the planner from turning them into a join.
_KEYS: Final = """
SELECT k.id, k.idx, p.idx IS NOT NULL, p.disclosures, p.compare_key, p.compare_digest
FROM (SELECT id, idx FROM keys
      WHERE log = $1 AND id = ANY ($2::bytea[]) OFFSET 0) AS k
LEFT JOIN LATERAL (SELECT * FROM private
                   WHERE log = $1 AND idx = k.idx OFFSET 0) AS p ON true
"""
_PRIVATE: Final = (
    "SELECT disclosures, compare_key, compare_digest FROM private"
    " WHERE log = $1 AND idx = $2"
)
_OPENINGS: Final = "SELECT nonce, labels FROM openings WHERE log = $1 AND idx = $2"
_PRIVATE_ROWS: Final = (
    "SELECT idx, disclosures, compare_key, compare_digest FROM private"
    " WHERE log = $1 AND idx >= $2 AND idx < $3"
)
_OPENING_ROWS: Final = (
    "SELECT idx, nonce, labels FROM openings WHERE log = $1 AND idx >= $2 AND idx < $3"
)
_REGISTRATIONS: Final = (
    "SELECT idx, uri, ns, connector FROM sources WHERE log = $1"
    ' ORDER BY uri COLLATE "C"'
)
_SOURCE: Final = "SELECT uri, ns, connector FROM sources WHERE log = $1"
_CURSOR: Final = (
    "SELECT position, updated, digest FROM cursors WHERE log = $1 AND source = $2"
)
_TOKEN: Final = (
    "SELECT id, digest, logs, roles, sources, note, rate, created, expires, revoked"  # noqa: S105
    " FROM tokens"
)


class PostgresReads(ABC):
    """The `Reads` of a connection, or of whichever one is free."""

    @abstractmethod
    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        """Return a statement's rows; `StorageError` where that fails."""

    async def logs(self) -> list[LogRecord]:
        """Return every log, by name."""
        # As SQLite sorts them, whatever the database's own order is.
        rows = await self.fetch(f'{_LOG} ORDER BY name COLLATE "C"')
        return [log_record(row) for row in rows]

    async def log(self, name: str) -> LogRecord | None:
        """Return the log of that name."""
        rows = await self.fetch(f"{_LOG} WHERE name = $1", name)
        return log_record(rows[0]) if rows else None

    async def head(self, log: int) -> Head:
        """Return a log's newest committed head."""
        rows = await self.fetch(_HEAD, log)
        if not rows:
            raise StorageError(f"log {log} has no head row")
        return Head(*rows[0])

    async def heads(self) -> dict[int, Head]:
        """Return every log's newest committed head, by the log's number."""
        rows = await self.fetch(_HEADS)
        return {number: Head(*head) for number, *head in rows}

    async def leaves(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the leaves at [start, end)."""
        rows = await self.fetch(_LEAVES, log, start, end)
        return single_column(rows, end - start, "entries")

    async def leaf_hashes(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the RFC 9162 hashes of the leaves at [start, end)."""
        [(count, hashes)] = await self.fetch(_LEAF_HASHES, log, start, end)
        return _assembled(count, hashes, end - start, "entries")

    async def tiles(self, log: int, level: int, start: int, end: int) -> list[bytes]:
        """Return the hashes of the full tiles [start, end) of a level."""
        rows = await self.fetch(_TILES, log, level, start, end)
        return single_column(rows, end - start, "tiles")

    async def tile_roots(
        self, log: int, level: int, start: int, end: int
    ) -> list[bytes]:
        """Return the subtree roots of the full tiles [start, end) of a level."""
        [(count, roots)] = await self.fetch(_TILE_ROOTS, log, level, start, end)
        return _assembled(count, roots, end - start, "tiles")

    async def find_keys(
        self, log: int, keys: Sequence[bytes]
    ) -> dict[bytes, StoredKey]:
        """Return those of the blinded ids that are taken."""
        if not keys:
            return {}
        rows = await self.fetch(_KEYS, log, keys)
        return {
            key: StoredKey(index, private_record(private) if there else None)
            for key, index, there, *private in rows
        }

    async def private(self, log: int, index: int) -> Private | None:
        """Return an entry's private side, or None where it has none."""
        rows = await self.fetch(_PRIVATE, log, index)
        return private_record(rows[0]) if rows else None

    async def openings(self, log: int, index: int) -> Openings | None:
        """Return an entry's openings, or None where it has none."""
        rows = await self.fetch(_OPENINGS, log, index)
        return openings_record(rows[0]) if rows else None

    async def private_rows(self, log: int, start: int, end: int) -> dict[int, Private]:
        """Return the private sides of the entries [start, end), by index."""
        rows = await self.fetch(_PRIVATE_ROWS, log, start, end)
        return {index: private_record(private) for index, *private in rows}

    async def opening_rows(self, log: int, start: int, end: int) -> dict[int, Openings]:
        """Return the openings of the entries [start, end), by index."""
        rows = await self.fetch(_OPENING_ROWS, log, start, end)
        return {index: openings_record(opening) for index, *opening in rows}

    async def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a registered source."""
        rows = await self.fetch(f"{_SOURCE} AND uri = $2", log, uri)
        return SourceRecord(*rows[0]) if rows else None

    async def sources(self, log: int) -> list[SourceRecord]:
        """Return a log's sources, by URI."""
        rows = await self.fetch(f'{_SOURCE} ORDER BY uri COLLATE "C"', log)
        return [SourceRecord(*row) for row in rows]

    async def registrations(self, log: int) -> list[tuple[int, SourceRecord]]:
        """Return a log's sources by URI, each after the index that registered it."""
        rows = await self.fetch(_REGISTRATIONS, log)
        return [(index, SourceRecord(*source)) for index, *source in rows]

    async def cursor(self, log: int, source: str) -> Cursor | None:
        """Return how far a source has been polled."""
        rows = await self.fetch(_CURSOR, log, source)
        return cursor_record(log, source, rows[0]) if rows else None

    async def polled(self, most: int) -> list[tuple[int, str, int]]:
        """Return log, source, and when its cursor was written, of `most` at most."""
        rows = await self.fetch(
            "SELECT log, source, updated FROM cursors ORDER BY log, source LIMIT $1",
            most,
        )
        return [(log, source, updated) for log, source, updated in rows]

    async def token(self, token_id: str) -> TokenRecord | None:
        """Return a token by its public id, revoked ones included."""
        rows = await self.fetch(f"{_TOKEN} WHERE id = $1", token_id)
        return token_record(tuple(rows[0])) if rows else None

    async def tokens(self, log: int | None) -> list[TokenRecord]:
        """Return the tokens that reach a log (None: all tokens), by id."""
        rows = await self.fetch(f'{_TOKEN} ORDER BY id COLLATE "C"')
        tokens = [token_record(tuple(row)) for row in rows]
        if log is None:
            return tokens
        return [token for token in tokens if token.logs is None or log in token.logs]


def _assembled(
    count: int, hashes: bytes | None, expected: int, table: str
) -> list[bytes]:
    """Cut what the server put together; `StorageError` unless all of it is there."""
    if count != expected:
        raise StorageError(f"{expected - count} rows of {table} are missing")
    together = hashes or b""
    return [together[at : at + HASH_SIZE] for at in range(0, len(together), HASH_SIZE)]
