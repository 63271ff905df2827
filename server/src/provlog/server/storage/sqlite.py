"""SQLite through apsw: one file, any number of processes on one machine.

`BEGIN IMMEDIATE` is the row lock (SQLite has one writer for the whole file, so all
logs share one lane). Statements run on the event loop's thread: they are short, hold
the interpreter anyway, and so cost no hand-over. What waits for the disk or for another
process, COMMIT above all, runs on one helper thread, and the loop goes on meanwhile.

Durability: WAL with `synchronous=FULL`, so COMMIT returns after the log is flushed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from provlog.server.storage.base import (
    AlreadyExistsError,
    CommitUnknownError,
    Cursor,
    Extension,
    Head,
    LogRecord,
    StorageBusyError,
    StorageError,
    Vitals,
)
from provlog.server.storage.rows import (
    EMPTY_HEAD,
    Row,
    cursor_row,
    head_row,
    opening_row,
    private_row,
    token_row,
)
from provlog.server.storage.sqlite_reads import SqliteReads
from provlog.server.storage.sqlite_schema import (
    SCHEMA_VERSION,
    apply_schema,
    require_schema,
    upgrade,
)

MINIMUM_LIBRARY: Final = (3, 51, 3)
BUSY_SECONDS: Final = 10.0
BUSY_STEP_MS: Final = 3
"""SQLite looks whether the lock is free after 1, 2, 5, 10 and in the end each 100 ms.
Against processes that lock again at once that loses for seconds; begun anew after so
long, it looks every other millisecond.
"""
CACHE_KIBIBYTES: Final = 65_536

T = TypeVar("T")


def create_database(path: Path) -> None:
    """Create an empty database of the current schema, mode 0600.

    Raises `AlreadyExistsError` if there is a file.
    """
    require_library()
    if path.exists():
        raise AlreadyExistsError(f"{path} exists")
    path.touch(mode=0o600, exist_ok=False)
    connection = connect(path)
    try:
        with connection:
            apply_schema(connection)
    finally:
        connection.close()


def migrate_database(path: Path) -> tuple[int, int]:
    """Bring a database up to the current schema; return the versions before and after.

    Raises `StorageBusyError` where another process goes on writing, and `SchemaError`
    where the database is newer than this program.
    """
    connection = connect(_require_file(path))
    try:
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        return upgrade(connection, path), SCHEMA_VERSION
    except apsw.BusyError as error:
        raise StorageBusyError("another process holds the database") from error
    except apsw.Error as error:
        raise StorageError(f"{path}: {_explain(error)}") from error
    finally:
        connection.close()


class SqliteStorage(SqliteReads):
    """A `Storage` in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open an existing database; `SchemaError` if its version is another."""
        self._path = _require_file(path)
        self._usable = True
        self._writer = connect(path)
        super().__init__(connect(path))
        require_schema(self._writer, path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Return: the file was opened, and its version compared, at the beginning."""

    async def advice(self) -> list[str]:
        """Return nothing: the file's mode was set when it was made."""
        return []

    def incarnation(self) -> None:
        """Return None: the file has no life of its own."""

    def lane(self, log: int) -> int:  # noqa: ARG002  one lane whatever the log
        """Return 0: one writer serves every log of the file."""
        return 0

    async def vitals(self) -> Vitals:
        """Return the size of the file and of the journal beside it."""
        size = 0
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        return Vitals(size=size)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["SqliteTransaction"]:
        """Begin a write transaction; leaving it without `commit` rolls it back."""
        async with self._lock:
            try:
                await self._begin()
                yield SqliteTransaction(self._writer, self._in_thread)
            finally:
                self._roll_back()

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqliteReads]:
        """Begin reads that all see the rows as they were at one moment.

        While it lasts, the write-ahead log keeps everything that is written.
        """
        connection = connect(self._path)
        try:
            with translated():
                connection.execute("PRAGMA query_only=ON; BEGIN")
                # BEGIN takes no snapshot yet; the first read does.
                connection.execute("SELECT count(*) FROM logs").fetchall()
            yield SqliteReads(connection)
        finally:
            connection.close()

    async def barrier(self, log: int) -> Head:
        """Durably commit a mark in the head row and return the head behind it."""
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
        """Finish what runs and close the database."""
        async with self._lock:
            self._thread.shutdown(wait=True)
            self._connection.close()
            self._writer.close()

    def _roll_back(self) -> None:
        """End what is left of a transaction; never raises, whatever came before.

        A connection that cannot roll back (the disk failed in COMMIT, say) is closed,
        which rolls back as a crash would, and the next transaction opens another.
        """
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except apsw.Error:
            with contextlib.suppress(apsw.Error):
                self._writer.close(True)
            self._usable = False

    async def _begin(self) -> None:
        try:
            if not self._usable:
                self._writer = connect(self._path)
                self._usable = True
            self._writer.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            # Another process writes. Waiting for it must not hold up the loop.
            await self._in_thread(self._begin_patiently)
        except apsw.Error as error:
            raise StorageError(_explain(error)) from error

    def _begin_patiently(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        self._writer.set_busy_timeout(BUSY_STEP_MS)
        try:
            while not self._begin_once():
                if time.monotonic() > deadline:
                    raise StorageBusyError("another process holds the database")
        except apsw.Error as error:
            raise StorageError(_explain(error)) from error
        finally:
            self._writer.set_busy_timeout(0)

    def _begin_once(self) -> bool:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            return False
        return True

    async def _in_thread(self, call: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not let the connection be used while the
        # thread still works with it.
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


class SqliteTransaction(SqliteReads):
    """A `Transaction` on the writer connection."""

    def __init__(
        self,
        connection: apsw.Connection,
        in_thread: Callable[[Callable[[], None]], Awaitable[None]],
    ) -> None:
        super().__init__(connection)
        self._in_thread = in_thread

    @property
    def incarnation(self) -> None:
        """None: the file has no life of its own."""

    def clock_offset_ms(self) -> None:
        """Return None: the clock is the process's own."""

    async def lock(self, log: int) -> Head:
        """Return the log's head; the whole file has been locked since BEGIN."""
        return await self.head(log)

    async def mark(self, log: int) -> None:
        """Change a log's head row in nothing but its count of barriers."""
        self._run("UPDATE heads SET barrier = barrier + 1 WHERE log = ?", [(log,)])

    async def create_log(self, record: LogRecord) -> int:
        """Register a log with an empty head and return its number."""
        self._run(
            "INSERT INTO logs (name, origin, log_key, public, created)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (
                    record.name,
                    record.origin,
                    record.log_key,
                    int(record.public),
                    record.created,
                )
            ],
        )
        number = self._connection.last_insert_rowid()
        self._run(
            "INSERT INTO heads (log, size, root, events, epoch, recorded)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(number, *head_row(EMPTY_HEAD))],
        )
        return number

    async def extend(self, extension: Extension) -> None:
        """Insert what the extension holds and move the log's head."""
        log, entries = extension.log, extension.entries
        self._run(
            "INSERT INTO entries (log, idx, leaf) VALUES (?, ?, ?)",
            [(log, entry.index, entry.leaf) for entry in entries],
        )
        self._run(
            "INSERT INTO keys (log, id, idx) VALUES (?, ?, ?)",
            [(log, entry.key, entry.index) for entry in entries if entry.key],
        )
        self._run(
            "INSERT INTO private (log, idx, disclosures, compare_key, compare_digest)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                private_row(log, entry.index, entry.private)
                for entry in entries
                if entry.private
            ],
        )
        self._run(
            "INSERT INTO openings (log, idx, epoch, nonce, labels)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                opening_row(log, entry.index, extension.head.epoch, entry.openings)
                for entry in entries
                if entry.openings
            ],
        )
        self._run(
            "INSERT INTO tiles (log, level, idx, hashes, root) VALUES (?, ?, ?, ?, ?)",
            [
                (log, tile.level, tile.index, hashes, root)
                for tile, hashes, root in extension.tiles
            ],
        )
        self._register(extension)
        self._run(
            "UPDATE heads SET size = ?, root = ?, events = ?, epoch = ?, recorded = ?"
            " WHERE log = ?",
            [(*head_row(extension.head), log)],
        )

    async def load(self, extension: Extension) -> None:
        """Do what `extend` does: there is no quicker way that keeps the triggers."""
        await self.extend(extension)

    async def set_cursor(self, log: int, cursor: Cursor) -> None:
        """Write a source's cursor in the place of the one before."""
        try:
            self._run(
                "INSERT INTO cursors (log, source, position, updated, digest)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " (position, updated, digest)"
                " = (excluded.position, excluded.updated, excluded.digest)",
                [cursor_row(log, cursor)],
            )
        except AlreadyExistsError as error:
            raise StorageError(str(error)) from error

    async def commit(self) -> None:
        """Make everything durable; `CommitUnknownError` where that is not known."""
        await self._in_thread(self._commit)

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            raise CommitUnknownError(_explain(error)) from error

    def _register(self, extension: Extension) -> None:
        log = extension.log
        self._run(
            "INSERT INTO sources (log, uri, ns, connector, idx) VALUES (?, ?, ?, ?, ?)",
            [
                (log, source.uri, source.ns, source.connector, index)
                for index, source in extension.sources
            ],
        )
        self._run(
            "INSERT INTO tokens (id, digest, logs, roles, sources, note, rate, created,"
            " expires, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [token_row(token) for token in extension.tokens],
        )
        self._run(
            "UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL",
            [(at, token) for token, at in extension.revoked_tokens.items()],
        )

    def _run(self, statement: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            self._connection.executemany(statement, rows)
        except apsw.ConstraintError as error:
            raise AlreadyExistsError(_explain(error)) from error
        except apsw.Error as error:
            raise StorageError(_explain(error)) from error


def connect(path: Path) -> apsw.Connection:
    """Return a connection as every one to a log is set up; `StorageError`."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "fullfsync=ON",
            "checkpoint_fullfsync=ON",
            "secure_delete=ON",
            "foreign_keys=ON",
            "recursive_triggers=ON",
            "trusted_schema=OFF",
            f"cache_size=-{CACHE_KIBIBYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except apsw.Error as error:
        raise StorageError(f"{path}: {_explain(error)}") from error
    connection.set_busy_timeout(0)
    return connection


def require_library() -> None:
    """Raise `StorageError` where SQLite is older than what several processes need."""
    # The WAL-reset bug up to 3.51.2 can corrupt a file shared by several processes.
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < MINIMUM_LIBRARY:
        raise StorageError(
            f"SQLite {apsw.sqlite_lib_version()} is too old;"
            f" {'.'.join(map(str, MINIMUM_LIBRARY))} or later is needed"
        )


def _require_file(path: Path) -> Path:
    require_library()
    if not path.exists():
        raise StorageError(f"there is no database at {path}")
    return path


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise `StorageError` in the place of SQLite's errors."""
    try:
        yield
    except apsw.Error as error:
        raise StorageError(_explain(error)) from error


def _explain(error: apsw.Error) -> str:
    # SQLite's own messages name tables and columns, never values.
    return f"{type(error).__name__}: {error}"
