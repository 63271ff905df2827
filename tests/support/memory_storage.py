"""A storage in memory whose every write can fail, kept or not, seen or not.

It stands in for what no real engine can be made to do on demand. Its promises are those
of `provlog.server.storage.base`, and the same suite holds it to them as the engines.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TypeVar

from provlog.merkle.hashing import leaf_hash
from provlog.merkle.receipts import Openings
from provlog.server.storage.base import (
    AlreadyExistsError,
    CommitUnknownError,
    Cursor,
    Extension,
    Head,
    LogRecord,
    Private,
    SourceRecord,
    StorageBusyError,
    StorageError,
    StoredKey,
    TokenRecord,
)
from provlog.server.storage.rows import EMPTY_HEAD

_K = TypeVar("_K")
_V = TypeVar("_V")
_MAX_POSITION = 1024


class Fault(Enum):
    """How a write fails.

    Its value says whether the write is there for whoever asks before the next lock is
    taken, for whoever has the lock, and after a crash that comes before a commit.
    """

    LOST = (False, False, False)
    """It fails and is not persisted."""
    KEPT = (True, True, True)
    """It fails but is persisted."""
    LATE = (False, True, True)
    """It fails, and is persisted when whoever asks at once has found it lost."""
    VANISHING = (True, False, False)
    """It fails, and is lost when whoever asks at once has found it kept."""
    UNFLUSHED = (True, True, False)
    """It fails, and whoever asks finds it kept; only a later commit persists it."""


class Faults:
    """Which of the writes from now on fail. Counts all of them by name in `made`."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self._planned: dict[int, tuple[Fault, type[StorageError]]] = {}

    def plan(
        self, place: int, fault: Fault, error: type[StorageError] = StorageError
    ) -> None:
        """Let the write after `place` others fail; a commit with `CommitUnknownError`.

        `error` is what a write before the commit raises.
        """
        self._planned[len(self.made) + place] = fault, error

    def clear(self) -> None:
        """Let nothing fail any more."""
        self._planned.clear()

    def take(self, write: str) -> tuple[Fault, StorageError] | None:
        """Note a write; return how it is to fail."""
        planned = self._planned.pop(len(self.made), None)
        self.made.append(write)
        if planned is None:
            return None
        fault, error = planned
        kind = CommitUnknownError if write == "commit" else error
        return fault, kind(f"{write} was told to fail: {fault.name}")


@dataclass
class _Tables:
    """The rows, by their keys. Rows are never changed, only replaced."""

    logs: dict[int, LogRecord] = field(default_factory=dict)
    heads: dict[int, Head] = field(default_factory=dict)
    entries: dict[tuple[int, int], bytes] = field(default_factory=dict)
    tiles: dict[tuple[int, int, int], tuple[bytes, bytes]] = field(default_factory=dict)
    keys: dict[tuple[int, bytes], int] = field(default_factory=dict)
    private: dict[tuple[int, int], Private] = field(default_factory=dict)
    openings: dict[tuple[int, int], Openings] = field(default_factory=dict)
    sources: dict[tuple[int, str], SourceRecord] = field(default_factory=dict)
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    cursors: dict[tuple[int, str], Cursor] = field(default_factory=dict)

    def copy(self) -> "_Tables":
        return _Tables(*(getattr(self, each.name).copy() for each in fields(self)))


class MemoryDatabase:
    """What several storages open at once, on one event loop: rows, faults and the lock.

    `committed` is what reads see.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.committed = _Tables()
        self.lock = asyncio.Lock()
        # What a write that failed has left: under the lock, and on the disk.
        self._settled: _Tables | None = None
        self._flushed: _Tables | None = None

    def copy(self) -> "MemoryDatabase":
        """Return another database with the same rows, and no faults."""
        made = MemoryDatabase()
        made.committed = self.committed.copy()
        return made

    def settle(self) -> None:
        """Let whoever has the lock see what is there."""
        if self._settled is not None:
            self.committed, self._settled = self._settled, None

    def crash(self) -> None:
        """Lose what is not on the disk."""
        self.settle()
        if self._flushed is not None:
            self.committed, self._flushed = self._flushed, None

    def commit(self, written: _Tables) -> None:
        """Put rows in the place of the committed ones, and all of them on the disk."""
        self.committed, self._flushed = written, None

    def fail(self, fault: Fault, written: _Tables) -> None:
        """Keep or lose what was written, as the fault says."""
        seen, settled, flushed = fault.value
        before = self.committed
        on_disk = self._flushed or before
        self.committed = written if seen else before
        self._settled = written if settled else before
        self._flushed = written if flushed else on_disk


class MemoryReads:
    """The `Reads` of the rows that `_rows` returns."""

    def _rows(self) -> _Tables:
        raise NotImplementedError

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

    async def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a registered source."""
        return self._rows().sources.get((log, uri))

    async def sources(self, log: int) -> list[SourceRecord]:
        """Return a log's sources, by URI."""
        rows = sorted(self._rows().sources.items())
        return [source for (owner, _), source in rows if owner == log]

    async def cursor(self, log: int, source: str) -> Cursor | None:
        """Return how far a source has been polled."""
        return self._rows().cursors.get((log, source))

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


class MemoryTransaction(MemoryReads):
    """A `Transaction` on a copy of the rows, which a commit puts in their place.

    After a write that failed everything is refused, as PostgreSQL does.
    """

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._tables = database.committed.copy()
        self._usable = True
        self._written = False

    def _rows(self) -> _Tables:
        if not self._usable:
            raise StorageError("the transaction has ended")
        return self._tables

    @property
    def incarnation(self) -> None:
        """None: it has no life of its own."""

    def clock_offset_ms(self) -> None:
        """Return None: the clock is the process's own."""

    async def lock(self, log: int) -> Head:
        """Return the log's head; everything has been locked since the beginning."""
        return await self.head(log)

    async def mark(self, log: int) -> None:
        """Write a barrier's mark."""
        await self._write("mark", lambda tables: _require(log in tables.heads))

    async def create_log(self, record: LogRecord) -> int:
        """Register a log with an empty head and return its number."""
        number = len(self._rows().logs) + 1
        await self._write(
            "create_log", lambda tables: _create_log(tables, replace(record, id=number))
        )
        return number

    async def extend(self, extension: Extension) -> None:
        """Insert what the extension holds and move the log's head."""
        await self._write("extend", lambda tables: _extend(tables, extension))

    async def set_cursor(self, log: int, cursor: Cursor) -> None:
        """Write a source's cursor in the place of the one before."""
        await self._write("set_cursor", lambda tables: _set_cursor(tables, log, cursor))

    async def commit(self) -> None:
        """Put the rows in the place of the committed ones."""
        if not self._usable:
            raise CommitUnknownError("COMMIT of a transaction that had failed")
        await self._write("commit", lambda _: None)
        self._usable = False
        if self._written:  # without a write there is nothing that would be flushed
            self._database.commit(self._tables)

    async def _write(self, name: str, change: Callable[[_Tables], None]) -> None:
        """Make one change, or fail as planned. Others have their turn before it."""
        await asyncio.sleep(0)
        tables = self._rows()
        failure = self._database.faults.take(name)
        try:
            change(tables)
        except StorageError:
            self._usable = False
            raise
        self._written |= name != "commit"
        if failure is not None:
            self._usable = False
            fault, error = failure
            self._database.fail(fault, tables)
            raise error


class MemoryStorage(MemoryReads):
    """A `Storage` in a `MemoryDatabase`, which has one writer at a time."""

    def __init__(self, database: MemoryDatabase, busy_seconds: float = 10.0) -> None:
        self._database = database
        self._busy_seconds = busy_seconds

    def _rows(self) -> _Tables:
        return self._database.committed

    async def open(self) -> None:
        """Return: there is nothing that could be wrong."""

    async def advice(self) -> list[str]:
        """Return nothing."""
        return []

    def incarnation(self) -> None:
        """Return None: it has no life of its own."""

    def lane(self, log: int) -> int:
        """Return 0: one writer serves every log."""
        return 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        """Begin a write transaction; leaving it without `commit` rolls it back."""
        try:
            async with asyncio.timeout(self._busy_seconds):
                await self._database.lock.acquire()
        except TimeoutError:
            raise StorageBusyError("another one writes") from None
        try:
            self._database.settle()
            yield MemoryTransaction(self._database)
        finally:
            self._database.lock.release()

    async def barrier(self, log: int) -> Head:
        """Commit a mark in the head row and return the head behind it."""
        return (await self.barriers([log]))[log]

    async def barriers(self, logs: Sequence[int]) -> dict[int, Head]:
        """Pass the barriers of several logs in one commit; return their heads."""
        async with self.transaction() as transaction:
            heads = {log: await transaction.lock(log) for log in logs}
            for log in logs:
                await transaction.mark(log)
            await transaction.commit()
            return heads

    async def close(self) -> None:
        """Return: nothing is open."""


def _complete(found: Sequence[bytes | None], table: str) -> list[bytes]:
    rows = [row for row in found if row is not None]
    if len(rows) != len(found):
        raise StorageError(f"{len(found) - len(rows)} rows of {table} are missing")
    return rows


def _require(condition: bool) -> None:
    if not condition:
        raise StorageError("the rows do not allow that")


def _create_log(tables: _Tables, record: LogRecord) -> None:
    for log in tables.logs.values():
        if log.name == record.name or log.origin == record.origin:
            raise AlreadyExistsError("a log of that name or origin is there")
    tables.logs[record.id] = record
    tables.heads[record.id] = EMPTY_HEAD


def _extend(tables: _Tables, extension: Extension) -> None:
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
    for _, source in extension.sources:
        _insert(tables.sources, (log, source.uri), source)
    for token in extension.tokens:
        _insert(tables.tokens, token.id, token)
    for token_id, at in extension.revoked_tokens.items():
        known = tables.tokens.get(token_id)
        if known is not None and known.revoked is None:
            tables.tokens[token_id] = replace(known, revoked=at)
    _require(_grows(tables.heads[log], head))
    tables.heads[log] = head


def _grows(old: Head, new: Head) -> bool:
    pairs = [(old.size, new.size), (old.events, new.events), (old.epoch, new.epoch)]
    pairs.append((old.recorded, new.recorded))
    kept = new.size > old.size or new.root == old.root
    return kept and new.events <= new.size and all(a <= b for a, b in pairs)


def _set_cursor(tables: _Tables, log: int, cursor: Cursor) -> None:
    _require((log, cursor.source) in tables.sources)
    _require(1 <= len(cursor.position) <= _MAX_POSITION)
    tables.cursors[log, cursor.source] = cursor


def _insert(table: dict[_K, _V], key: _K, value: _V) -> None:
    if key in table:
        raise AlreadyExistsError("the row is there already")
    table[key] = value
