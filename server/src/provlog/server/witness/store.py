"""What a witness remembers, in one SQLite file that several processes may share.

What is read here is read on the caller's thread, in one short statement. What is
written goes through `settle`, one transaction under the file's write lock, which waits
for the disk: call it on one thread that may.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from provlog.merkle.witness_messages import origin_hash
from provlog.server.storage.base import StorageBusyError
from provlog.server.storage.sqlite import BUSY_SECONDS, BUSY_STEP_MS, translated
from provlog.server.witness.schema import open_database

DATABASE: Final = "witness.db"
MOST_EVIDENCE: Final = 16
"""How many checkpoints of each kind are kept as evidence against one log."""
_DAY: Final = 86_400

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint of a log that was cosigned.

    `note` is its text with the log's verified signatures, `lines` the cosignatures that
    were answered, each with its newline; `time` is theirs, in POSIX seconds.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    lines: str
    time: int

    @property
    def text(self) -> str:
        """The text that was signed."""
        return self.note[: self.note.rindex(b"\n\n") + 1].decode()

    @property
    def cosigned(self) -> bytes:
        """The note with the log's signatures and the witness's own."""
        return self.note + self.lines.encode()


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log as its operator added it: keys as vkeys in the order of their addition."""

    origin: str
    rate: int
    contact: str
    vkeys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A validly signed checkpoint that was not cosigned.

    `known` is the one that was remembered then. If `convicts`, both have one size and
    two roots; else no proof led from `known` to it, which may be the sender's mistake.
    """

    number: int
    origin: str
    convicts: bool
    size: int
    known: bytes
    note: bytes
    time: int


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

    def settle(self, work: Callable[["Writing"], T]) -> T:
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
        yield from _heads(self._reader, where, values)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated():
            return self._reader.execute(query, values).fetchall()


class Writing:
    """One transaction: what is read in it is what is changed. `wrote`: anything was."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.wrote = False

    def head(self, origin: str) -> Head | None:
        """Return the head that no other process can change before this one ends."""
        return next(_heads(self._connection, "WHERE origin = ?", (origin,)), None)

    def put(self, head: Head) -> None:
        """Replace a log's head, which a trigger lets only grow."""
        self._run(
            "INSERT INTO heads (origin, hash, size, root, note, lines, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET"
            " (size, root, note, lines, time) = (excluded.size, excluded.root,"
            " excluded.note, excluded.lines, excluded.time)",
            head.origin,
            origin_hash(head.origin),
            head.size,
            head.root,
            head.note,
            head.lines,
            head.time,
        )

    def spend(self, origin: str, rate: int, now: int) -> float:
        """Take one of a log's requests of a day and return 0, or the seconds to wait.

        A log that did not ask for a day has a whole day's requests at once.
        """
        found = self._connection.execute(
            "SELECT remaining, time FROM allowances WHERE origin = ?", (origin,)
        ).fetchone()
        remaining, since = found if found is not None else (float(rate), now)
        remaining = min(rate, remaining + max(0, now - since) * rate / _DAY)
        if remaining < 1:
            return (1 - remaining) * _DAY / rate
        self._run(
            "INSERT INTO allowances (origin, remaining, time) VALUES (?, ?, ?)"
            " ON CONFLICT (origin) DO UPDATE SET"
            " (remaining, time) = (excluded.remaining, excluded.time)",
            origin,
            remaining - 1,
            max(now, since),
        )
        return 0.0

    def keep(self, evidence: Evidence, root: bytes) -> bool:
        """Keep a checkpoint, unless there is enough; tell whether it was new.

        Its number is given here. The first ones stay: later ones prove no more.
        """
        [(count,)] = self._connection.execute(
            "SELECT count(*) FROM evidence WHERE origin = ? AND convicts = ?",
            (evidence.origin, int(evidence.convicts)),
        )
        if count >= MOST_EVIDENCE:
            return False
        before = self._connection.total_changes()
        self._run(
            "INSERT INTO evidence (origin, convicts, size, root, known, note, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            evidence.origin,
            int(evidence.convicts),
            evidence.size,
            root,
            evidence.known,
            evidence.note,
            evidence.time,
        )
        return self._connection.total_changes() > before

    def add_log(self, origin: str, vkey: str, rate: int | None, contact: str) -> None:
        """Add a key to a log, which is new or known; None leaves a known rate."""
        self._run(
            "INSERT INTO logs (origin, rate, contact) VALUES (?, ?, ?)"
            " ON CONFLICT (origin) DO UPDATE SET (rate, contact) ="
            " (coalesce(?, rate), iif(excluded.contact = '', contact,"
            " excluded.contact))",
            *(origin, rate or _DAY, contact, rate),
        )
        self._run(
            "INSERT INTO keys (origin, vkey) VALUES (?, ?) ON CONFLICT DO NOTHING",
            *(origin, vkey),
        )

    def remove_key(self, origin: str, vkey: str) -> bool:
        """Remove a key, and its log with the last one; tell whether it was there."""
        before = self._connection.total_changes()
        self._run("DELETE FROM keys WHERE origin = ? AND vkey = ?", origin, vkey)
        found = self._connection.total_changes() > before
        self._run(
            "DELETE FROM logs WHERE origin = ?"
            " AND origin NOT IN (SELECT origin FROM keys)",
            origin,
        )
        return found

    def _run(self, statement: str, *values: Any) -> None:  # noqa: ANN401  SQLite's
        self.wrote = True
        self._connection.execute(statement, values)


def _heads(
    connection: apsw.Connection, where: str, values: Sequence[str]
) -> Iterator[Head]:
    query = f"SELECT origin, size, root, note, lines, time FROM heads {where}"  # noqa: S608  ours
    with translated():
        rows: list[Any] = connection.execute(query, values).fetchall()
    for row in rows:
        yield Head(*row)


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
