"""Rows of a database in memory: how they are read, and what may be done to them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from provlog.merkle.hashing import leaf_hash
from provlog.merkle.receipts import Openings
from provlog.server.storage.base import (
    AlreadyExistsError,
    Cursor,
    Extension,
    Head,
    LogRecord,
    Private,
    SourceRecord,
    StorageError,
    StoredKey,
    TokenRecord,
)
from provlog.server.storage.rows import EMPTY_HEAD

_K = TypeVar("_K")
_V = TypeVar("_V")
_MAX_POSITION = 1024


@dataclass(slots=True)
class Tables:
    """The rows, by their keys. Rows are never changed, only replaced."""

    logs: dict[int, LogRecord] = field(default_factory=dict)
    heads: dict[int, Head] = field(default_factory=dict)
    entries: dict[tuple[int, int], bytes] = field(default_factory=dict)
    tiles: dict[tuple[int, int, int], tuple[bytes, bytes]] = field(default_factory=dict)
    keys: dict[tuple[int, bytes], int] = field(default_factory=dict)
    private: dict[tuple[int, int], Private] = field(default_factory=dict)
    openings: dict[tuple[int, int], Openings] = field(default_factory=dict)
    sources: dict[tuple[int, str], tuple[int, SourceRecord]] = field(
        default_factory=dict
    )
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    cursors: dict[tuple[int, str], Cursor] = field(default_factory=dict)

    def copy(self) -> "Tables":
        """Return other tables with the same rows."""
        return Tables(*(getattr(self, each.name).copy() for each in fields(self)))


class MemoryReads(ABC):
    """The `Reads` of the rows that `_rows` returns."""

    @abstractmethod
    def _rows(self) -> Tables:
        """Return what is to be read."""

    async def logs(self) -> list[LogRecord]:
        """Return every log, by name."""
        return sorted(self._rows().logs.values(), key=lambda log: log.name)

    async def log(self, name: str) -> LogRecord | None:
        """Return the log of that name."""
        found = (log for log in self._rows().logs.values() if log.name == name)
        return next(found, None)

    async def head(self, log: int) -> Head:
        """Return a log's newest committed head."""
        head = self._rows().heads.get(log)
        if head is None:
            raise StorageError(f"log {log} has no head row")
        return head

    async def heads(self) -> dict[int, Head]:
        """Return every log's newest committed head, by the log's number."""
        return dict(self._rows().heads)

    async def leaves(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the leaves at [start, end)."""
        entries = self._rows().entries
        found = [entries.get((log, index)) for index in range(start, end)]
        return _complete(found, "entries")

    async def leaf_hashes(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the RFC 9162 hashes of the leaves at [start, end)."""
        return [leaf_hash(leaf) for leaf in await self.leaves(log, start, end)]

    async def tiles(self, log: int, level: int, start: int, end: int) -> list[bytes]:
        """Return the hashes of the full tiles [start, end) of a level."""
        return self._tile_column(0, log, level, range(start, end))

    async def tile_roots(
        self, log: int, level: int, start: int, end: int
    ) -> list[bytes]:
        """Return the subtree roots of the full tiles [start, end) of a level."""
        return self._tile_column(1, log, level, range(start, end))

    async def find_keys(
        self, log: int, keys: Sequence[bytes]
    ) -> dict[bytes, StoredKey]:
        """Return those of the blinded ids that are taken."""
        rows = self._rows()
        indexes = {key: rows.keys[log, key] for key in keys if (log, key) in rows.keys}
        return {
            key: StoredKey(index, rows.private.get((log, index)))
            for key, index in indexes.items()
        }

    async def private(self, log: int, index: int) -> Private | None:
        """Return an entry's private side."""
        return self._rows().private.get((log, index))

    async def openings(self, log: int, index: int) -> Openings | None:
        """Return an entry's openings."""
        return self._rows().openings.get((log, index))

    async def private_rows(self, log: int, start: int, end: int) -> dict[int, Private]:
        """Return the private sides of the entries [start, end), by index."""
        return _ranged(self._rows().private, log, range(start, end))

    async def opening_rows(self, log: int, start: int, end: int) -> dict[int, Openings]:
        """Return the openings of the entries [start, end), by index."""
        return _ranged(self._rows().openings, log, range(start, end))

    async def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a registered source."""
        found = self._rows().sources.get((log, uri))
        return None if found is None else found[1]

    async def registrations(self, log: int) -> list[tuple[int, SourceRecord]]:
        """Return a log's sources by URI, each after the index that registered it."""
        rows = sorted(self._rows().sources.items(), key=lambda row: row[0])
        return [registered for (owner, _), registered in rows if owner == log]

    async def sources(self, log: int) -> list[SourceRecord]:
        """Return a log's sources, by URI."""
        return [source for _, source in await self.registrations(log)]

    async def cursor(self, log: int, source: str) -> Cursor | None:
        """Return how far a source has been polled."""
        return self._rows().cursors.get((log, source))

    async def polled(self, most: int) -> list[tuple[int, str, int]]:
        """Return log, source, and when its cursor was written, of `most` at most."""
        cursors = sorted(self._rows().cursors.items(), key=lambda row: row[0])
        return [(log, uri, cursor.updated) for (log, uri), cursor in cursors[:most]]

    async def token(self, token_id: str) -> TokenRecord | None:
        """Return a token by its public id, revoked ones included."""
        return self._rows().tokens.get(token_id)

    async def tokens(self, log: int | None) -> list[TokenRecord]:
        """Return the tokens that reach a log (None: all tokens), by id."""
        tokens = [token for _, token in sorted(self._rows().tokens.items())]
        if log is None:
            return tokens
        return [token for token in tokens if token.logs is None or log in token.logs]

    def _tile_column(
        self, column: int, log: int, level: int, indexes: range
    ) -> list[bytes]:
        tiles = self._rows().tiles
        rows = [tiles.get((log, level, index)) for index in indexes]
        return _complete([row and row[column] for row in rows], "tiles")


def _complete(found: Sequence[bytes | None], table: str) -> list[bytes]:
    rows = [row for row in found if row is not None]
    if len(rows) != len(found):
        raise StorageError(f"{len(found) - len(rows)} rows of {table} are missing")
    return rows


def _ranged(
    table: dict[tuple[int, int], _V], log: int, indexes: range
) -> dict[int, _V]:
    return {index: table[log, index] for index in indexes if (log, index) in table}


def require(condition: bool) -> None:
    """Raise `StorageError` unless a condition holds."""
    if not condition:
        raise StorageError("the rows do not allow that")


def create_log(tables: Tables, record: LogRecord) -> None:
    """Add a log with an empty head."""
    for log in tables.logs.values():
        if log.name == record.name or log.origin == record.origin:
            raise AlreadyExistsError("a log of that name or origin is there")
    tables.logs[record.id] = record
    tables.heads[record.id] = EMPTY_HEAD


def extend(tables: Tables, extension: Extension) -> None:
    """Add what an extension holds, and move the head."""
    log, head = extension.log, extension.head
    for entry in extension.entries:
        place = (log, entry.index)
        _insert(tables.entries, place, entry.leaf)
        if entry.key:
            _insert(tables.keys, (log, entry.key), entry.index)
        if entry.private:
            _insert(tables.private, place, entry.private)
        if entry.openings:
            _insert(tables.openings, place, entry.openings)
    for tile, data, root in extension.tiles:
        _insert(tables.tiles, (log, tile.level, tile.index), (data, root))
    for index, source in extension.sources:
        _insert(tables.sources, (log, source.uri), (index, source))
    for token in extension.tokens:
        _insert(tables.tokens, token.id, token)
    for token_id, at in extension.revoked_tokens.items():
        known = tables.tokens.get(token_id)
        if known is not None and known.revoked is None:
            tables.tokens[token_id] = replace(known, revoked=at)
    require(_grows(tables.heads[log], head))
    tables.heads[log] = head


def _grows(old: Head, new: Head) -> bool:
    pairs = [(old.size, new.size), (old.events, new.events), (old.epoch, new.epoch)]
    pairs.append((old.recorded, new.recorded))
    kept = new.size > old.size or new.root == old.root
    return kept and new.events <= new.size and all(a <= b for a, b in pairs)


def set_cursor(tables: Tables, log: int, cursor: Cursor) -> None:
    """Put a cursor in the place of the one before."""
    require((log, cursor.source) in tables.sources)
    require(1 <= len(cursor.position) <= _MAX_POSITION)
    tables.cursors[log, cursor.source] = cursor


def _insert(table: dict[_K, _V], key: _K, value: _V) -> None:
    if key in table:
        raise AlreadyExistsError("the row is there already")
    table[key] = value
