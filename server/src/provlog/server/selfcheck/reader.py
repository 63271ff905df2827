"""What a check asks of an engine: rows as they are stored, and its own checks.

Each call is a short read-only transaction, so a check of hours stands in nobody's way.
A damaged row is a value that disagrees, and no exception.
"""

from collections.abc import Sequence
from typing import Final, Protocol, Self

from provlog.server.selfcheck.rows import (
    Chunk,
    Integrity,
    KeyRow,
    Snapshot,
    TileRow,
)
from provlog.server.storage.base import StorageError

TABLES_OF_LOGS: Final = (
    "heads", "entries", "tiles", "keys", "private", "openings", "sources", "cursors",
)  # fmt: skip


class UnreadableError(StorageError):
    """The engine finds the database damaged where the rows should stand."""


def places_outside(size: int) -> list[tuple[str, str, str]]:
    """Return where no row of a log of that size can stand.

    Table, place in words, and the place as a condition in SQL.
    """
    places = []
    for table in ("entries", "private", "openings"):
        places.append((table, f"{size} and above", f"idx >= {size:d}"))
        places.append((table, "below 0", "idx < 0"))
    for level in range(8):
        full = size >> (8 * (level + 1))
        where = f"level = {level:d} AND (idx >= {full:d} OR idx < 0)"
        places.append(("tiles", f"level {level}, outside of 0 to {full - 1}", where))
    where = "(level < 0 OR level > 7)"
    return [*places, ("tiles", "outside of levels 0 to 7", where)]


class CheckReader(Protocol):
    """A read-only connection for one thread. Use as a context manager.

    Every call raises `UnreadableError` where the database is damaged and
    `StorageError` where it cannot be read now.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def snapshot(self) -> Snapshot:
        """Return the small tables as they are at one moment."""

    def chunk(self, log: int, start: int, end: int) -> Chunk:
        """Return all rows of the entries [start, end)."""

    def leaf(self, log: int, index: int) -> bytes | None:
        """Return the leaf at an index."""

    def tile(self, log: int, level: int, index: int) -> TileRow | None:
        """Return a stored tile."""

    def places(self, log: int, ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return the indexes that blinded ids are said to stand at."""

    def keys(self, log: int, after: bytes, limit: int) -> tuple[int, list[KeyRow]]:
        """Return the log's size, and the next key rows by id at the same moment."""

    def last_entry(self, log: int) -> int:
        """Return the largest index that has an entry, -1 where there is none."""

    def outside(self, log: int) -> list[tuple[str, str, int]]:
        """Return (table, place, rows) of rows that no entry of the log can have.

        Read at the same moment as the head, so rows being written do not count.
        """

    def foreign(self, logs: set[int]) -> list[tuple[str, int]]:
        """Return (table, log number) of rows that belong to none of the logs.

        Nor to one that was made since `logs` were read: it comes with its rows.
        """

    def schema(self) -> list[str]:
        """Return the names in which the schema differs from this program's."""

    def integrity(self) -> Integrity:
        """Return what the engine's own check of everything says. Long statements."""
