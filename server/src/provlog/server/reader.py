"""Proofs, tiles and entries of one log, of any size up to the released head.

Nothing above the released head is ever read: a larger size or index is a
`BeyondHeadError`, whether or not the database has it.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from provlog.merkle.consistency import build_consistency, consistency_nodes
from provlog.merkle.inclusion import InclusionBuilder, inclusion_nodes
from provlog.merkle.nodes import Node
from provlog.merkle.ranges import build_range, range_nodes
from provlog.merkle.receipts import Openings
from provlog.merkle.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Tile,
    encode_bundle,
    nodes_from_tiles,
    tiles_for,
)
from provlog.server.guard import ReleasedHead
from provlog.server.log import Log
from provlog.server.storage.base import Reads


class BeyondHeadError(LookupError):
    """What was asked for is not below the released head."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it stands in the database.

    `disclosures` and `openings` are None once they have been erased, and for kinds of
    entries that never had any.
    """

    index: int
    leaf: bytes
    disclosures: tuple[str, ...] | None
    openings: Openings | None


class LogReader:
    """Reads one log as others may see it."""

    def __init__(self, log: Log, reads: Reads) -> None:
        self._log = log
        self._reads = reads

    async def head(self) -> ReleasedHead:
        """Return the newest released head, another process's included."""
        return await self._log.refresh()

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the proof that leaf `index` is in the tree of `size` leaves."""
        return (await self.inclusions([index], size))[index]

    async def inclusions(
        self, indexes: Collection[int], size: int
    ) -> dict[int, list[bytes]]:
        """Return the inclusion proofs of several leaves, by index."""
        await self._require(size)
        wanted: set[Node] = set()
        for index in indexes:
            if index >= size:
                raise BeyondHeadError(f"a tree of {size} entries has no index {index}")
            wanted.update(inclusion_nodes(index, size))
        builder = InclusionBuilder(size, await self._nodes(wanted, size))
        return {index: builder.build(index) for index in indexes}

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of `new` leaves extends the one of `old`.

        Empty for equal sizes. `ValueError` unless 0 < old <= new.
        """
        await self._require(new)
        hashes = await self._nodes(consistency_nodes(old, new), new)
        return build_consistency(old, new, hashes)

    async def range(self, start: int, end: int, size: int) -> list[bytes]:
        """Return the proof that the leaves [start, end) are in the tree of `size`.

        `ValueError` unless 0 <= start < end <= size.
        """
        await self._require(size)
        hashes = await self._nodes(range_nodes(start, end, size), size)
        return build_range(start, end, size, hashes)

    async def tile(self, tile: Tile) -> bytes:
        """Return the hashes of a full or partial tile that the head implies."""
        width = tile.index * TILE_WIDTH + tile.width
        if not await self._has(width << (TILE_HEIGHT * tile.level)):
            raise BeyondHeadError("the released tree does not have that tile")
        return await self._tile(tile)

    async def bundle(self, bundle: Bundle) -> bytes:
        """Return a full or partial bundle of entries that the head implies."""
        start = bundle.index * TILE_WIDTH
        end = start + bundle.width
        if not await self._has(end):
            raise BeyondHeadError("the released tree does not have that bundle")
        return encode_bundle(await self._reads.leaves(self._log.id, start, end))

    async def leaf(self, index: int) -> bytes:
        """Return the leaf at an index."""
        await self._require(index + 1)
        [leaf] = await self._reads.leaves(self._log.id, index, index + 1)
        return leaf

    async def entry(self, index: int) -> StoredEntry:
        """Return an entry with its private side."""
        return (await self.entries([index]))[index]

    async def entries(self, indexes: Iterable[int]) -> dict[int, StoredEntry]:
        """Return several entries with their private sides, by index."""
        found = {}
        for start, end in _runs(sorted(set(indexes))):
            await self._require(end)
            leaves = await self._reads.leaves(self._log.id, start, end)
            for index, leaf in enumerate(leaves, start):
                found[index] = await self._with_private(index, leaf)
        return found

    async def find(self, source: str, event_id: str) -> int | None:
        """Return where the event of a source and an id stands, None if nowhere."""
        key = self._log.drafter.key(source, event_id)
        found = (await self._reads.find_keys(self._log.id, [key])).get(key)
        if found is None or not await self._has(found.index + 1):
            return None
        return found.index

    async def _with_private(self, index: int, leaf: bytes) -> StoredEntry:
        private = await self._reads.private(self._log.id, index)
        openings = await self._reads.openings(self._log.id, index)
        disclosures = None if private is None else private.disclosures
        return StoredEntry(index, leaf, disclosures, openings)

    async def _nodes(self, nodes: Iterable[Node], size: int) -> dict[Node, bytes]:
        wanted = list(nodes)
        tiles = {tile: await self._tile(tile) for tile in tiles_for(wanted, size)}
        return nodes_from_tiles(wanted, size, tiles)

    async def _tile(self, tile: Tile) -> bytes:
        # The tree at hand ends in the partial tiles that almost every proof needs; from
        # the database they would have to be derived.
        edge = self._log.edge
        if tile.level < len(edge.levels):
            row = edge.levels[tile.level]
            place = edge.size >> (TILE_HEIGHT * (tile.level + 1))
            if tile.index == place and tile.width <= len(row):
                return b"".join(row[: tile.width])
        return await self._log.tree.tile(tile)

    async def _require(self, size: int) -> None:
        if not await self._has(size):
            raise BeyondHeadError(f"the log has no released size {size}")

    async def _has(self, size: int) -> bool:
        # Looking at the guard costs a file or a call; what this process released is at
        # hand.
        return size <= self._log.released.size or size <= (await self.head()).size


def _runs(indexes: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs [start, end) of neighbours in sorted, distinct indexes."""
    start = 0
    for place in range(1, len(indexes) + 1):
        if place == len(indexes) or indexes[place] != indexes[place - 1] + 1:
            yield indexes[start], indexes[place - 1] + 1
            start = place
