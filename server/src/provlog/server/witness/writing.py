"""The statements of one transaction on what a witness remembers."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import apsw

from provlog.merkle.witness_messages import origin_hash
from provlog.server.storage.sqlite import translated
from provlog.server.witness.records import Evidence, Head

MOST_EVIDENCE: Final = 16
"""How many checkpoints of each kind are kept as evidence against one log."""
_DAY: Final = 86_400


class Writing:
    """One transaction: what is read in it is what is changed. `wrote`: anything was."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.wrote = False

    def head(self, origin: str) -> Head | None:
        """Return the head that no other process can change before this one ends."""
        return next(read_heads(self._connection, "WHERE origin = ?", (origin,)), None)

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

    def drop_unproven(self, origin: str, size: int, root: bytes) -> None:
        """Forget that a checkpoint was not shown to be consistent: now it was."""
        self._run(
            "DELETE FROM evidence WHERE origin = ? AND convicts = 0 AND size = ?"
            " AND root = ?",
            *(origin, size, root),
        )

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


def read_heads(
    connection: apsw.Connection, where: str, values: Sequence[str]
) -> Iterator[Head]:
    """Yield the heads that an SQL condition chooses; `StorageError`."""
    query = f"SELECT origin, size, root, note, lines, time FROM heads {where}"  # noqa: S608  ours
    with translated():
        rows: list[Any] = connection.execute(query, values).fetchall()
    for row in rows:
        yield Head(*row)
