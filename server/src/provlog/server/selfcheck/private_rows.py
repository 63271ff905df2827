"""Which entries have a private row: those with members, unless they were erased."""

from typing import Final

from provlog.merkle.entries import Entry, parse_entry
from provlog.merkle.errors import MalformedError
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.reader import CheckReader

MOST: Final = 1000


class PrivateRows:
    """Accounts for private rows that are gone: an erasure is itself a later entry."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._gone: list[int] = []
        self._more = 0

    def place(self, index: int, entry: Entry, stored: bool) -> None:
        """Take an entry and whether it has a private row."""
        if entry.kind == "erasure":
            self._forget()
        has_members = "members" in entry.body
        if stored and not has_members:
            what = f"stands beside a {entry.kind} entry, which has no members"
            self._report("private", index, None, what)
        elif entry.members and not stored:
            if len(self._gone) < MOST:
                self._gone.append(index)
            else:
                self._more += 1

    def finish(self, reader: CheckReader, log: int, size: int) -> None:
        """Report what no erasure accounts for, not even one since the check began."""
        if self._gone and _erased_since(reader, log, size):
            self._forget()
        for index in self._gone:
            what = "the row is gone, and no erasure was logged after the entry"
            self._report("private", index, None, what)
        if self._more:
            what = f"{self._more} further rows are gone without an erasure"
            self._report("private", None, None, what)

    def _forget(self) -> None:
        self._gone.clear()
        self._more = 0


def _erased_since(reader: CheckReader, log: int, size: int) -> bool:
    """Look for an erasure at or above `size`."""
    last = reader.last_entry(log)
    for index in range(size, last + 1):
        leaf = reader.leaf(log, index)
        try:
            if leaf is not None and parse_entry(leaf).kind == "erasure":
                return True
        except MalformedError:
            continue
    return False
