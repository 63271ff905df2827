"""One log from entry 0 to its head: everything that is stored of it, recomputed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from provlog.merkle.encoding import JsonValue, decode_base64url
from provlog.merkle.entries import Entry
from provlog.merkle.hashing import EMPTY_ROOT, leaf_hash
from provlog.merkle.tiles import TILE_WIDTH
from provlog.server.announced import KINDS
from provlog.server.guard import ReleasedHead
from provlog.server.keyring import LogKeys
from provlog.server.selfcheck.chain import Chain
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.key_rows import KeyCheck
from provlog.server.selfcheck.members import check_comparison, check_id, open_members
from provlog.server.selfcheck.openings import check_openings
from provlog.server.selfcheck.private_rows import PrivateRows
from provlog.server.selfcheck.reader import CheckReader, UnreadableError
from provlog.server.selfcheck.rows import Chunk, HeadRow, LogRow, TileRow
from provlog.server.selfcheck.sources import SourceCheck
from provlog.server.selfcheck.tokens import CheckedLog, TokenCheck
from provlog.server.selfcheck.tree import Hashes, TreeCheck

STRIDE: Final = 8
"""Entries between two steps: whoever takes them may pause there."""

JsonObject = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Step:
    """How far a check is. `cost` is the work since the last step, in entries."""

    log: str
    done: int
    size: int
    cost: float


class LogCheck:
    """Checks one log up to the head that was read first.

    `released` is what the guard holds, None where it holds nothing. Memory is bounded:
    256 entries with their private rows, a few hundred hashes, the log's sources.
    """

    def __init__(
        self,
        name: str,
        row: LogRow,
        head: HeadRow,
        keys: LogKeys | None,
        released: ReleasedHead | None,
        reader: CheckReader,
        sources: SourceCheck,
        tokens: TokenCheck,
        report: Report,
    ) -> None:
        self._name = name
        self._log = row.log
        self._head = head
        self._keys = keys
        self._released = released
        self._reader = reader
        self._sources = sources
        self._tokens = tokens
        self._report = report
        self._size = head.size
        self._chain = Chain(row, keys, report)
        self._key_rows = KeyCheck(reader, row.log, report)
        self._private = PrivateRows(report)
        marks = [head.size] + ([] if released is None else [released.size])
        self._tree = TreeCheck(report, self._tile, marks)

    def steps(self) -> Iterator[Step]:
        """Check everything, a few entries at a time."""
        self._check_bounds()
        for start in range(0, self._size, TILE_WIDTH):
            end = min(start + TILE_WIDTH, self._size)
            try:
                chunk = self._reader.chunk(self._log, start, end)
            except UnreadableError as error:
                what = f"the rows of entries {start} to {end - 1}: {error}"
                self._report("entries", start, None, what)
                self._chain.lose()
                self._tree.add([None] * (end - start))
                yield self._step(end, end - start)
                continue
            yield from self._check_chunk(chunk)
        yield from self._finish()

    def result(self) -> CheckedLog:
        """Return what the check of tokens needs of a log that was read to its end."""
        began, ended = self._chain.began, self._chain.frozen
        return CheckedLog(self._log, began, self._sources, ended)

    def _step(self, done: int, cost: float) -> Step:
        return Step(self._name, done, self._size, cost)

    def _check_bounds(self) -> None:
        """Look for rows that no entry can have, and for the last entry there is."""
        try:
            for table, place, rows in self._reader.outside(self._log):
                what = f"{rows} rows that no entry of the log has"
                self._report(table, place, None, what)
            entries = self._reader.last_entry(self._log) + 1
        except UnreadableError as error:
            self._report("entries", None, None, str(error))
            return
        if self._head.size > entries:
            what = f"{self._head.size}, but the entries end at {entries}"
            self._report("heads", None, "size", what)
            self._size = entries

    def _check_chunk(self, chunk: Chunk) -> Iterator[Step]:
        hashes: Hashes = []
        for index in range(chunk.start, chunk.end):
            leaf = chunk.leaves.get(index)
            if leaf is None:
                self._report("entries", index, None, "the entry is missing")
                self._chain.lose()
                hashes.append(None)
            else:
                hashes.append(leaf_hash(leaf))
                entry = self._chain.add(index, leaf)
                if entry is not None:
                    self._check_entry(index, entry, chunk)
            if index % STRIDE == STRIDE - 1 and index + 1 < chunk.end:
                yield self._step(index + 1, STRIDE)
        self._key_rows.look_up()
        self._tree.add(hashes)
        yield self._step(chunk.end, (chunk.end - chunk.start - 1) % STRIDE + 1)

    def _check_entry(self, index: int, entry: Entry, chunk: Chunk) -> None:
        row = chunk.private.get(index)
        self._private.place(index, entry, row is not None)
        opened: JsonObject | None = None
        if row is not None and "members" in entry.body:
            opened = open_members(index, entry, row, self._report)
            check_comparison(index, entry, opened, row, self._report)
        key = None if self._keys is None else self._keys.epoch_keys.get(entry.epoch)
        opening = chunk.openings.get(index)
        check_openings(index, entry, opening, opened, key, self._report)
        if entry.kind == "event":
            identity = decode_base64url(str(entry.body["id"]))
            self._key_rows.event(index, identity)
            if opened is not None and self._keys is not None:
                check_id(index, entry, opened, self._keys.id_key, self._report)
            self._sources.event(index, entry, opened)
        elif entry.kind == "admin":
            self._sources.admin(index, entry, opened)
            self._tokens.admin(self._log, entry, opened)
        elif entry.kind == "params":
            self._sources.params(entry)
        elif entry.kind in KINDS:
            self._key_rows.announcement(index)

    def _finish(self) -> Iterator[Step]:
        self._chain.finish(self._head)
        self._check_roots()
        self._sources.finish()
        try:
            self._private.finish(self._reader, self._log, self._size)
            for cost in self._key_rows.finish(self._size, self._chain.events):
                yield self._step(self._size, cost)
        except UnreadableError as error:
            self._report("keys", None, None, str(error))

    def _check_roots(self) -> None:
        roots, head, released = self._tree.roots, self._head, self._released
        found = roots.get(head.size, EMPTY_ROOT if head.size == 0 else None)
        if found is not None and found != head.root:
            first = self._size - self._size % TILE_WIDTH
            what = (
                f"not the root of the {head.size} entries; no stored tile holds the"
                f" hashes of the entries from {first} on"
            )
            self._report("heads", None, "root", what)
        if released is None:
            return
        if released.size > head.size:
            what = (
                f"size {released.size} was released, the database ends at {head.size}"
            )
            self._report("guard", None, None, what)
        elif released.size in roots and roots[released.size] not in (
            released.root,
            None,
        ):
            what = f"the entries do not have the root released at size {released.size}"
            self._report("guard", None, None, what)
        elif released.size == head.size and released.root != head.root:
            self._report("heads", None, "root", "not the root that was released")

    def _tile(self, level: int, index: int) -> TileRow | None:
        try:
            return self._reader.tile(self._log, level, index)
        except UnreadableError as error:
            self._report("tiles", f"{level}/{index}", None, str(error))
            return None
