"""What a witness remembers, in one SQLite file that several processes may share.

What is read here is read on the caller's thread, in one short statement. What is
written goes through `settle`, one transaction under the file's write lock, which waits
for the disk: call it on one thread that may.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from provlog.server.storage.base import StorageBusyError
from provlog.server.storage.sqlite import BUSY_SECONDS, BUSY_STEP_MS, translated
from provlog.server.witness.records import Evidence, Head, LogRow
from provlog.server.witness.schema import open_database
from provlog.server.witness.writing import Writing, read_heads

DATABASE: Final = "witness.db"

T = TypeVar("T")


class WitnessStore:
    """The database of a witness, open for reading and for writing."""

    def __init__(self, path: Path) -> None:
        """Open it; raises what `open_database` does."""
        self._path = path
        self._reader = open_database(path)
        self._writer: apsw.Connection | None = open_database(path)
        self._reader.execute("PRAGMA query_only=ON")

    def close(self) -> None:
        """Close the file; nothing is being written then."""
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def revision(self) -> int:
        """Return a number that changes with the logs and their keys."""
        return int(self._rows("SELECT number FROM revision")[0][0])

    def logs(self) -> list[LogRow]:
        """Return the logs that were added, by origin."""
        keys: dict[str, list[str]] = {}
        for origin, vkey in self._rows("SELECT origin, vkey FROM keys ORDER BY number"):
            keys.setdefault(origin, []).append(vkey)
        rows = self._rows("SELECT origin, rate, contact FROM logs ORDER BY origin")
        return [
            LogRow(origin, rate, contact, tuple(keys.get(origin, ())))
            for origin, rate, contact in rows
        ]

    def head(self, origin: str) -> Head | None:
        """Return what was last cosigned of a log, None where nothing ever was."""
        return next(self._heads("WHERE origin = ?", (origin,)), None)

    def head_by_hash(self, digest: str) -> Head | None:
        """Return the head of the log whose origin has this SHA-256, in hex."""
        return next(self._heads("WHERE hash = ?", (digest,)), None)

    def sizes(self, most: int) -> list[tuple[str, int, int]]:
        """Return origin, size and time of up to `most` heads, those first written."""
        return self._rows(
            "SELECT origin, size, time FROM heads ORDER BY rowid LIMIT ?", (most,)
        )

    def evidence(self) -> list[Evidence]:
        """Return what is kept against all logs, the oldest first."""
        rows = self._rows(
            "SELECT number, origin, convicts, size, known, note, time FROM evidence"
            " ORDER BY number"
        )
        return [Evidence(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]

    def keep(self, evidence: Evidence, root: bytes) -> bool:
        """Keep evidence, durably, as `Writing.keep` does."""
        return self.settle(lambda writing: writing.keep(evidence, root))

    def settle(self, work: Callable[[Writing], T]) -> T:
        """Return what `work` comes to, with everything it wrote durable.

        It runs under the file's write lock, so what it reads nobody else changes
        meanwhile. If we crash before the commit, or it raises, nothing was written; if
        the commit fails (`StorageError`) that is not known, and the caller must tell
        nobody what would rest on it.
        """
        with translated(), self._transaction() as connection:
            writing = Writing(connection)
            result = work(writing)
            if writing.wrote:
                connection.execute("COMMIT")
            return result

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        connection = self._writer
        if connection is None:
            connection = self._writer = open_database(self._path)
        _begin(connection)
        try:
            yield connection
        finally:
            self._roll_back(connection)

    def _roll_back(self, connection: apsw.Connection) -> None:
        """End what is left of a transaction; never raises, whatever came before."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            # Closing rolls back as a crash would; the next one opens another.
            self._writer = None
            with suppress(apsw.Error):
                connection.close(True)

    def _heads(self, where: str, values: Sequence[str]) -> Iterator[Head]:
        yield from read_heads(self._reader, where, values)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated():
            return self._reader.execute(query, values).fetchall()


def _begin(connection: apsw.Connection) -> None:
    """Take the write lock; `StorageBusyError` where another process keeps it."""
    deadline = time.monotonic() + BUSY_SECONDS
    connection.set_busy_timeout(BUSY_STEP_MS)
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise StorageBusyError("another process holds the database") from None
        else:
            return
