"""The spool: what is in an outbox's file, and every change that is made to it."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from provlog.client.errors import OutboxFullError, SpoolError, UsageError
from provlog.client.events import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from provlog.client.outbox.files import explained, open_file
from provlog.client.outbox.items import Failure, Item, Settled
from provlog.client.outbox.lease import Lease
from provlog.client.outbox.together import Place, Ticket, Together

MAX_EVENTS: Final = 1_000_000
MAX_BYTES: Final = 1 << 30
COLUMNS: Final = "source, id, format, body, number, queued, failure, digest"

T = TypeVar("T")


class Spool:
    """An outbox's file.

    At most `max_events` items and `max_bytes` of their bodies, waiting and failed, are
    in it; what would not fit is refused whole (`OutboxFullError`). Receipts do not
    count. With `numbered` each event that has neither an `id` nor a `sequence` of its
    own gets the next number of its source, from 1: one that never arrives can then be
    seen to be missing.

    Every method returns when what it did is on disk, and may be called by any thread;
    processes may have one each. Raises `UsageError`, `SpoolError` and
    `OutboxFullError`, and `UnavailableError` when another process holds the file for
    half a minute.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        numbered: bool = False,
        create: bool = True,
    ) -> None:
        self.path = Path(path)
        self.lease = Lease(self.path.with_name(f"{self.path.name}.sender"))
        self._most = max_events, max_bytes
        self._is_numbered = numbered
        self._connection = open_file(self.path, create=create)
        self._identity = self._identify()
        self._process = os.getpid()
        self._is_closed = False
        self._turn = threading.RLock()
        self._puts = Together(self._commit)

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._is_closed = True
            self._connection.close()

    def put(self, items: Sequence[Item], place: Place | None = None) -> None:
        """Keep the items, all or none, and with them how far their file was read.

        Callers that wait for the disk at the same time share a commit. If the process
        dies before this returns, all of them are in the file or none.
        """
        self._puts.put(Ticket(items, place))

    def _commit(self, tickets: Sequence[Ticket]) -> None:
        with self.transaction() as db:
            for ticket in tickets:
                self._put_one(db, ticket)

    def _put_one(self, db: sqlite3.Connection, ticket: Ticket) -> None:
        events, size = self._number(db, "items"), self._number(db, "bytes")
        most_events, most_bytes = self._most
        if events + len(ticket.items) > most_events or size + ticket.bytes > most_bytes:
            ticket.error = OutboxFullError(
                f"{self.path}: full ({events} events, {size} bytes); nothing was put"
            )
            return
        now = time.time_ns() // 1_000_000
        for item in ticket.items:
            each = self._counted(db, item)
            failure = None if each.failure is None else each.failure.encoded()
            db.execute(
                "INSERT INTO items (source, id, format, body, digest, queued, failure)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(each.source, each.id, each.format, each.body),
                    *(each.digest(), now, failure),
                ),
            )
        if ticket.place is not None:
            db.execute("REPLACE INTO places VALUES (?, ?, ?, ?)", ticket.place)

    def _counted(self, db: sqlite3.Connection, item: Item) -> Item:
        if not self._is_numbered or not item.is_countable:
            return item
        query = "SELECT newest FROM sequences WHERE source = ?"
        row = db.execute(query, (item.source,)).fetchone()
        sequence = 1 if row is None else row[0] + 1
        db.execute("REPLACE INTO sequences VALUES (?, ?)", (item.source, sequence))
        return item.counted(sequence)

    def place(self, name: str) -> Place | None:
        """Return how far the file of this name was read, None if it never was."""
        query = "SELECT name, device, file, offset FROM places WHERE name = ?"
        row = self.read(lambda db: db.execute(query, (name,)).fetchone())
        return None if row is None else (row[0], row[1], row[2], row[3])

    def batch(self, without: Sequence[str] = ()) -> list[Item]:
        """Return the oldest waiting items that can be sent together, in their order.

        They are events, or records of one source in one format, and fit into one body.
        Items of the sources in `without` are passed over.
        """
        marks = ",".join("?" * len(without))
        query = (
            f"SELECT {COLUMNS} FROM items WHERE failure IS NULL"  # noqa: S608  marks
            f" AND source NOT IN ({marks}) ORDER BY number LIMIT {MAX_BATCH_EVENTS}"
        )

        def take(db: sqlite3.Connection) -> list[Item]:
            batch: list[Item] = []
            size = 2
            for row in db.execute(query, without):
                item = self.item(row)
                size += len(item.body) + 1
                if batch and (size > MAX_BATCH_BYTES or not _alike(batch[0], item)):
                    break
                batch.append(item)
            return batch

        return self.read(take)

    def settle(self, settled: Sequence[Settled]) -> None:
        """Store receipts and take their items out, or mark these as failed, in one.

        - If the process dies before the commit, the log has the entries and the items
          are here: they are sent again, are known to the log, and come back to here.
        - After it, the items are gone and the receipts are kept.
        """
        with self.transaction() as db:
            for each in settled:
                self._settle(db, each)
            _set(db, "trouble", None)

    def _settle(self, db: sqlite3.Connection, settled: Settled) -> None:
        for each in settled.receipts:
            # An event that was put twice has one entry, and needs one receipt.
            db.execute(
                "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?)",
                (each.index, each.source, each.id, each.data),
            )
        if settled.failure is None:
            gone = db.execute("DELETE FROM items WHERE number = ?", (settled.number,))
            _add(db, "sent", gone.rowcount)
        else:
            judged = db.execute(
                "UPDATE items SET failure = ? WHERE number = ? AND failure IS NULL",
                (settled.failure.encoded(), settled.number),
            )
            _add(db, "refused", judged.rowcount)

    def note_trouble(self, trouble: str | None) -> None:
        """Write down why nothing gets on, for others to see; None when it does."""
        if self.read(lambda db: _get(db, "trouble")) != trouble:
            with self.transaction() as db:
                _set(db, "trouble", trouble)

    def bind(self, origin: str) -> None:
        """Make this the outbox of one log, or raise `UsageError` if it is another's.

        Its receipts are told apart by their index alone.
        """
        with self.transaction() as db:
            bound = _get(db, "origin")
            if bound is None:
                _set(db, "origin", origin)
            elif bound != origin:
                raise UsageError(
                    f"{self.path} is the outbox of another log ({bound}): give each "
                    "log a file of its own"
                )

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Return the answer to a question that changes nothing."""
        with self._turn, explained(self.path):
            self._require_usable()
            return question(self._connection)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done in the block, or nothing of it."""
        with self._turn, explained(self.path):
            self._require_usable()
            db = self._connection
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def item(self, row: tuple[Any, ...]) -> Item:
        """Return the item of a row of `COLUMNS`; raise `SpoolError` if it is damaged.

        A database notices damage to its own structure, not to what it holds: an event
        with a flipped bit would be logged under the right id for good.
        """
        source, name, format_, body, number, queued, failure, digest = row
        try:
            read = None if failure is None else Failure.decoded(failure)
            item = Item(source, name, format_, body, number, queued, read)
            if item.digest() == digest:
                return item
        except (AttributeError, TypeError, ValueError):
            pass  # another type than we write
        raise SpoolError(
            f"{self.path}: item {number} is damaged; nothing was sent of it"
        )

    def _number(self, db: sqlite3.Connection, name: str) -> int:
        value = _get(db, name)
        assert isinstance(value, int)  # noqa: S101  from our own schema
        return value

    def _require_usable(self) -> None:
        if self._is_closed:
            raise UsageError("the outbox is closed")
        if os.getpid() != self._process:
            raise UsageError("an outbox is opened after a fork, not before it")
        if self._identify() != self._identity:
            raise SpoolError(
                f"{self.path}: moved away or replaced while it was open; put it back, "
                "or open the outbox anew"
            )

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _alike(first: Item, other: Item) -> bool:
    if first.format is None:
        return other.format is None
    return (first.format, first.source) == (other.format, other.source)


def _get(db: sqlite3.Connection, name: str) -> object:
    query = "SELECT value FROM state WHERE name = ?"
    [value] = db.execute(query, (name,)).fetchone()
    return value


def _set(db: sqlite3.Connection, name: str, value: object) -> None:
    db.execute("UPDATE state SET value = ? WHERE name = ?", (value, name))


def _add(db: sqlite3.Connection, name: str, more: int) -> None:
    query = "UPDATE state SET value = value + ? WHERE name = ?"
    db.execute(query, (more, name))
