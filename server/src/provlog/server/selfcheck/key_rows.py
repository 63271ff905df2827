"""The table of blinded ids, against the leaves, both ways.

Announcements have rows in it as well, under ids made from their numbers.
"""

from collections.abc import Iterator
from typing import Final

from provlog.merkle.encoding import encode_base64url
from provlog.merkle.entries import parse_entry
from provlog.merkle.errors import MalformedError
from provlog.server.announced import announcement_id
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.reader import CheckReader, UnreadableError

ROWS: Final = 1024
ROW_COST: Final = 1 / 64
"""What passing over a row costs, in entries; looking up its leaf costs far more."""
LOOK_UP_COST: Final = 1 / 4


class KeyCheck:
    """Every event and announcement has its row, and every row is one's.

    If each one's row points at it, and there are as many rows as of both, then there
    is no row beside them: only where that fails is each row held against its leaf.
    """

    def __init__(self, reader: CheckReader, log: int, report: Report) -> None:
        self._reader = reader
        self._log = log
        self._report = report
        self._failed = False
        self._waiting: list[tuple[int, bytes]] = []
        self._announced: dict[bytes, int] = {}

    def announcement(self, index: int) -> None:
        """Take the next announcement, to be looked up like an event."""
        number = announcement_id(len(self._announced))
        self._announced[number] = index
        self._waiting.append((index, number))

    def event(self, index: int, entry_id: bytes) -> None:
        """Take an event's id, to be looked up with others."""
        self._waiting.append((index, entry_id))

    def look_up(self) -> None:
        """Look up the ids that were taken: many at a time are one way to the engine."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            found = self._reader.places(self._log, [each for _, each in waiting])
        except UnreadableError as error:
            first, last = waiting[0][0], waiting[-1][0]
            what = f"the ids of entries {first} to {last}: {error}"
            self._report("keys", None, None, what)
            return
        for index, entry_id in waiting:
            if found.get(entry_id) != index:
                self._failed = True
                self._report_place(index, entry_id, found.get(entry_id))

    def _report_place(self, index: int, entry_id: bytes, found: int | None) -> None:
        if found is None:
            what = f"the id of entry {index} has no row"
        else:
            what = f"the id of entry {index} is said to stand at {found}"
        self._report("keys", entry_id.hex(), "idx" if found is not None else None, what)

    def finish(self, size: int, events: int | None) -> Iterator[float]:
        """Go over the rows; yield what each part of that cost, in entries."""
        rows = 0
        after = b""
        while True:
            now, found = self._reader.keys(self._log, after, ROWS)
            for row in found:
                rows += 0 <= row.idx < size
                if not 0 <= row.idx < now:
                    what = f"points at {row.idx}, outside of the log"
                    self._report("keys", row.id.hex(), "idx", what)
            yield len(found) * ROW_COST
            if len(found) < ROWS:
                break
            after = found[-1].id
        expected = None if events is None else events + len(self._announced)
        if self._failed or rows != expected:
            yield from self._compare(size)

    def _compare(self, size: int) -> Iterator[float]:
        after = b""
        while True:
            _, found = self._reader.keys(self._log, after, ROWS)
            for row in found:
                if 0 <= row.idx < size and not self._fits(row.idx, row.id):
                    what = f"not the id of entry {row.idx}, at which it points"
                    self._report("keys", row.id.hex(), "id", what)
                yield LOOK_UP_COST
            if len(found) < ROWS:
                break
            after = found[-1].id

    def _fits(self, index: int, entry_id: bytes) -> bool:
        if entry_id in self._announced:
            return self._announced[entry_id] == index
        leaf = self._reader.leaf(self._log, index)
        try:
            entry = None if leaf is None else parse_entry(leaf)
        except MalformedError:
            entry = None
        if entry is None or not entry.understood:
            # Reported where the entries were read.
            return True
        return entry.body.get("id") == encode_base64url(entry_id)
