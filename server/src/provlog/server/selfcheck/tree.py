"""Recomputing a log's tree from its leaves, and every stored tile on the way."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from provlog.merkle.edge import RightEdge, edge_shape
from provlog.merkle.hashing import HASH_SIZE, hash_pairs
from provlog.merkle.tiles import TILE_HEIGHT, TILE_WIDTH
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import TileRow

Hashes: TypeAlias = "list[bytes | None]"
"""Hashes in a row; None where an entry or tile is missing or cannot be read."""


class TreeCheck:
    """Takes a log's leaf hashes in order, 256 at a time, and checks the full tiles.

    What it holds is a few hundred hashes, however large the log. Where leaves and
    tiles disagree it goes on with the hashes that fit the root stored above them, so
    that one damaged row is one finding and not one for every level.

    `marks` are sizes; `roots` holds the root at each that was passed, None where it
    cannot be known.
    """

    def __init__(
        self,
        report: Report,
        tile: Callable[[int, int], TileRow | None],
        marks: Sequence[int],
    ) -> None:
        self._report = report
        self._tile = tile
        self._marks = marks
        # By tile level, what stands in the tile that is not full yet.
        self._edge: list[Hashes] = [[]]
        self._full: list[int] = [0]
        self.roots: dict[int, bytes | None] = {}

    def add(self, hashes: Hashes) -> None:
        """Take the next 256 leaf hashes; fewer are the log's last ones."""
        start = self._full[0] * TILE_WIDTH
        for mark in self._marks:
            if start <= mark < start + TILE_WIDTH and mark - start <= len(hashes):
                self.roots[mark] = self._root(mark, hashes[: mark - start])
        self._edge[0] = hashes
        if len(hashes) == TILE_WIDTH:
            self._complete()
            end = start + TILE_WIDTH
            if end in self._marks:
                self.roots[end] = self._root(end, [])

    def _complete(self) -> None:
        """Check the tiles that the last hashes made full, from the bottom up."""
        level = 0
        while len(self._edge[level]) == TILE_WIDTH:
            index = self._full[level]
            root = self._check(level, index, self._edge[level])
            self._edge[level] = []
            self._full[level] += 1
            level += 1
            if level == len(self._edge):
                self._edge.append([])
                self._full.append(0)
            self._edge[level].append(root)

    def _root(self, size: int, leaves: Hashes) -> bytes | None:
        levels = []
        for level, width in enumerate(edge_shape(size)):
            row = leaves if level == 0 else self._edge[level]
            known = tuple(item for item in row if item is not None)
            if len(known) != width:
                return None
            levels.append(known)
        return RightEdge(size, tuple(levels)).root()

    def _check(self, level: int, index: int, below: Hashes) -> bytes | None:
        """Compare a stored tile with what is below; return the root to go on with."""
        key = f"{level}/{index}"
        row = self._tile(level, index)
        root = _root_of([item for item in below if item is not None])
        if row is None:
            self._report("tiles", key, None, "the tile is missing")
            return root
        if len(row.hashes) != TILE_WIDTH * HASH_SIZE:
            self._report("tiles", key, "hashes", f"not {TILE_WIDTH} hashes")
            return root
        stored = _split(row.hashes)
        root_above = _root_of(stored)
        wrong = [
            place
            for place, pair in enumerate(zip(below, stored, strict=True))
            if pair[0] is not None and pair[0] != pair[1]
        ]
        if not wrong:
            if root_above != row.root:
                self._report("tiles", key, "root", "not the root of the tile's hashes")
            return root_above
        if root == row.root:
            for place in wrong:
                what = f"hash {place} is not that of what stands below"
                self._report("tiles", key, "hashes", what)
            return root
        if root_above == row.root:
            if root is not None and self._held_above(level, index) == root:
                what = "the tile is not the one that what stands below makes"
                self._report("tiles", key, None, what)
                return root
            for place in wrong:
                self._blame(level, index * TILE_WIDTH + place, key)
            return root_above
        what = f"neither hashes nor root fit what stands below, from hash {wrong[0]} on"
        self._report("tiles", key, None, what)
        return root

    def _held_above(self, level: int, index: int) -> bytes | None:
        """Return the root that the tile above holds of a tile, where there is one."""
        row = self._tile(level + 1, index // TILE_WIDTH)
        at = index % TILE_WIDTH * HASH_SIZE
        return None if row is None else row.hashes[at : at + HASH_SIZE]

    def _blame(self, level: int, index: int, key: str) -> None:
        """Report what stands below a tile that is in itself consistent."""
        if level == 0:
            what = f"the leaf does not have the hash that tile {key} holds"
            self._report("entries", index, "leaf", what)
        else:
            below = f"{level - 1}/{index}"
            what = f"the tile does not have the root that tile {key} holds"
            self._report("tiles", below, None, what)


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def _root_of(hashes: list[bytes]) -> bytes | None:
    """Return the root over a full tile's hashes, None where some are unknown."""
    if len(hashes) != TILE_WIDTH:
        return None
    for _ in range(TILE_HEIGHT):
        hashes = hash_pairs(hashes)
    return hashes[0]
