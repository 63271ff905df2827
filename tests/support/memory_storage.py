"""A storage in memory whose every write can fail, kept or not, seen or not.

It stands in for what no real engine can be made to do on demand. Its promises are those
of `provlog.server.storage.base`, and the same suite holds it to them as the engines.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import Enum

from provlog.server.storage.base import (
    CommitUnknownError,
    Cursor,
    Extension,
    Head,
    LogRecord,
    StorageBusyError,
    StorageError,
    Vitals,
)
from support.memory_rows import (
    MemoryReads,
    Tables,
    create_log,
    extend,
    require,
    set_cursor,
)


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


class MemoryDatabase:
    """What several storages open at once, on one event loop: rows, faults and the lock.

    `committed` is what reads see.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.committed = Tables()
        self.lock = asyncio.Lock()
        # What a write that failed has left: under the lock, and on the disk.
        self._settled: Tables | None = None
        self._flushed: Tables | None = None

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

    def commit(self, written: Tables) -> None:
        """Put rows in the place of the committed ones, and all of them on the disk."""
        self.committed, self._flushed = written, None

    def fail(self, fault: Fault, written: Tables) -> None:
        """Keep or lose what was written, as the fault says."""
        seen, settled, flushed = fault.value
        before = self.committed
        on_disk = self._flushed or before
        self.committed = written if seen else before
        self._settled = written if settled else before
        self._flushed = written if flushed else on_disk


class MemorySnapshot(MemoryReads):
    """The `Reads` of rows that nobody changes any more."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def _rows(self) -> Tables:
        return self._tables


class MemoryTransaction(MemoryReads):
    """A `Transaction` on a copy of the rows, which a commit puts in their place.

    After a write that failed everything is refused, as PostgreSQL does.
    """

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._tables = database.committed.copy()
        self._usable = True
        self._written = False

    def _rows(self) -> Tables:
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
        await self._write("mark", lambda tables: require(log in tables.heads))

    async def create_log(self, record: LogRecord) -> int:
        """Register a log with an empty head and return its number."""
        number = len(self._rows().logs) + 1
        await self._write(
            "create_log", lambda tables: create_log(tables, replace(record, id=number))
        )
        return number

    async def extend(self, extension: Extension) -> None:
        """Insert what the extension holds and move the log's head."""
        await self._write("extend", lambda tables: extend(tables, extension))

    async def load(self, extension: Extension) -> None:
        """Do what `extend` does."""
        await self.extend(extension)

    async def set_cursor(self, log: int, cursor: Cursor) -> None:
        """Write a source's cursor in the place of the one before."""
        await self._write("set_cursor", lambda tables: set_cursor(tables, log, cursor))

    async def commit(self) -> None:
        """Put the rows in the place of the committed ones."""
        if not self._usable:
            raise CommitUnknownError("COMMIT of a transaction that had failed")
        await self._write("commit", lambda _: None)
        self._usable = False
        if self._written:  # without a write there is nothing that would be flushed
            self._database.commit(self._tables)

    async def _write(self, name: str, change: Callable[[Tables], None]) -> None:
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

    def _rows(self) -> Tables:
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

    async def vitals(self) -> Vitals:
        """Return nothing."""
        return Vitals()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MemoryReads]:
        """Begin reads that all see the rows as they are now."""
        # A transaction works on a copy, and nothing changes rows that were committed.
        yield MemorySnapshot(self._database.committed)

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
