"""Storing what was exported: group after group in one transaction, held together."""

from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from typing import TypeVar

import msgspec

from provlog.merkle.edge import RightEdge
from provlog.merkle.errors import MalformedError
from provlog.merkle.tiles import Tile
from provlog.server.announced import KINDS, Announced, announcement_id
from provlog.server.errors import ConfigurationError, DamagedError, ForkError
from provlog.server.guard import ReleasedHead
from provlog.server.log_opening import check_params
from provlog.server.moving.chain import Chain
from provlog.server.moving.checking import Checked
from provlog.server.moving.digests import digest_of, require_digest
from provlog.server.moving.exported import Export
from provlog.server.moving.folders import opened, read_bounded
from provlog.server.moving.manifest import CURSORS, ENTRIES, SOURCES, TOKENS
from provlog.server.moving.private_side import (
    CursorLine,
    Line,
    SourceLine,
    TokenLine,
    read_lines,
)
from provlog.server.moving.reading import checked_entries
from provlog.server.moving.tree_files import MAX_TILE, OnProgress, partial_tiles
from provlog.server.signing import missing_key
from provlog.server.storage.base import (
    Extension,
    Head,
    LogRecord,
    NewEntry,
    Transaction,
)

L = TypeVar("L", bound=Line)


class Loading:
    """One log that is loaded. `known` is what the guard has of it, None for nothing.

    Everything raises `DamagedError` where the export is not as it was written, and
    `ForkError` where its tree does not begin with what the guard knows.
    """

    def __init__(
        self,
        transaction: Transaction,
        record: LogRecord,
        export: Export,
        known: ReleasedHead | None,
    ) -> None:
        self._transaction = transaction
        self._record = record
        self._export = export
        self._known = known
        self._edge = RightEdge.empty()
        self._chain = Chain()
        self._announced = Announced(record.log_key)

    async def entries(self, on_progress: OnProgress) -> None:
        """Store every entry, and the tiles that come of them."""
        manifest = self._export.manifest
        size, digest = manifest.head.size, manifest.files[ENTRIES]
        async for checked in checked_entries(self._export.folder, size, digest):
            for part in self._parts(checked):
                await self._add(part)
            on_progress(len(checked.entries))

    async def require_head(self) -> None:
        """Hold the entries that were stored against head, right edge and keys."""
        head, record = self._export.manifest.head, self._record
        if self._head(self._edge.root()) != head:
            raise DamagedError("the entries do not come to the head that was exported")
        for tile in partial_tiles(head.size):
            self._compare(tile, b"".join(self._edge.levels[tile.level]))
        if record.created != self._chain.began:
            raise DamagedError("the log was not made when its entry 0 was")
        await check_params(self._transaction, record, self._export.keys)
        self._require_keys(head.size)

    def _require_keys(self, size: int) -> None:
        """Raise `ConfigurationError` unless all the keys are there that are to sign."""
        keys = self._export.keys
        missing = missing_key(keys.signers(), keys.last, self._announced, size)
        if missing is not None:
            key_id = missing.key_id.hex()
            raise ConfigurationError(
                f"the keys lack signing-{key_id}.key, or last-{key_id}.checkpoint if it"
                " is retired"
            )

    async def registers(self, *, with_tokens: bool) -> int:
        """Store sources, cursors and tokens; return how many tokens were left out."""
        log, head = self._record.id, self._export.manifest.head
        sources = [
            (each.index, each.record()) for each in self._lines(SOURCES, SourceLine)
        ]
        tokens = [each.record(log) for each in self._lines(TOKENS, TokenLine)]
        kept = tokens if with_tokens else []
        await self._transaction.load(Extension(log, head, [], [], sources, kept))
        for cursor in self._lines(CURSORS, CursorLine):
            await self._transaction.set_cursor(log, cursor.record())
        return len(tokens) - len(kept)

    def _parts(self, checked: Checked) -> Iterator[Checked]:
        """Cut entries where the epoch changes, and where the guard's tree ends.

        A commit of the storage's is of one epoch.
        """
        start, places = self._edge.size, checked.places
        known = -1 if self._known is None else self._known.size
        cuts = [
            place
            for place in range(1, len(places))
            if places[place].epoch != places[place - 1].epoch or start + place == known
        ]
        for begin, end in pairwise([0, *cuts, len(places)]):
            yield Checked(
                checked.entries[begin:end],
                checked.hashes[begin:end],
                places[begin:end],
            )

    async def _add(self, part: Checked) -> None:
        self._chain.add(part.places)
        entries = self._numbered(part)
        growth = self._edge.grow(part.hashes)
        self._edge = growth.edge
        self._require_guarded(growth.root)
        for full in growth.tiles:
            self._compare(full.tile, full.data)
        head = self._head(growth.root)
        await self._transaction.load(
            Extension(self._record.id, head, entries, growth.tiles)
        )

    def _numbered(self, part: Checked) -> list[NewEntry]:
        """Return entries, announcements under the ids of their numbers."""
        entries = [*part.entries]
        for place, (entry, where) in enumerate(
            zip(part.entries, part.places, strict=True)
        ):
            if where.kind in KINDS:
                number = announcement_id(len(self._announced.entries))
                entries[place] = msgspec.structs.replace(entry, key=number)
                self._announced = self._following(entry)
        return entries

    def _following(self, entry: NewEntry) -> Announced:
        try:
            return self._announced.adding(entry.index, entry.leaf)
        except MalformedError as error:
            raise DamagedError(f"entry {entry.index}: {error}") from None

    def _head(self, root: bytes) -> Head:
        chain = self._chain
        return Head(chain.size, root, chain.events, chain.epoch, chain.recorded)

    def _require_guarded(self, root: bytes) -> None:
        known = self._known
        if known is not None and known.size == self._edge.size and known.root != root:
            raise ForkError(
                f"another tree of size {known.size} of {self._record.origin} was"
                " released from this machine"
            )

    def _compare(self, tile: Tile, data: bytes) -> None:
        path = self._export.folder / tile.path()
        if read_bounded(path, MAX_TILE) != data:
            raise DamagedError(f"{tile.path()} is not the tile of the entries")

    def _lines(self, name: str, kind: type[L]) -> Iterator[L]:
        # Read once: what is parsed is what was digested, whoever else may write there.
        # How long it is says the manifest, which is authentic.
        expected = self._export.manifest.files[name]
        with opened(self._export.folder / name) as file:
            data = file.read(expected.bytes + 1)
        require_digest(name, digest_of(data), expected)
        return read_lines(BytesIO(data), kind, name)
