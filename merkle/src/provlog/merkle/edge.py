"""The right edge of a tiled tree: all that is needed to append to it.

A tree of n leaves keeps its full tiles and, for each tile level, the hashes of the one
tile that is not full yet. These hashes are the edge. Growing it yields the tiles that
become full and every node that a proof for a new leaf needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from provlog.merkle.compact import CompactRange, Row, completed_rows
from provlog.merkle.hashing import are_hashes, fold_right, hash_pairs
from provlog.merkle.nodes import Node, decompose, row_nodes
from provlog.merkle.tiles import TILE_HEIGHT, TILE_WIDTH, Tile


class FullTile(NamedTuple):
    """A tile that is full: `data` is its 8192 bytes, `root` the root over them."""

    tile: Tile
    data: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class Growth:
    """What comes of appending leaves.

    `tiles` are those that became full, by level and index. `nodes` holds the compact
    range of the old tree and every perfect subtree that was completed, new leaves
    included: enough for the inclusion proof of each new leaf and for the consistency
    proof from the old size, both at the new size.
    """

    edge: "RightEdge"
    root: bytes
    tiles: list[FullTile]
    nodes: dict[Node, bytes]


def edge_shape(size: int) -> list[int]:
    """Return how many hashes each tile level's partial tile holds in a tree of `size`.

    The list ends at the highest level that has any tile, so it is empty for size 0 and
    ``[0, 1]`` for size 256. Raises `ValueError` for a negative size.
    """
    if size < 0:
        raise ValueError(f"a tree does not have {size} leaves")
    shape = []
    while size:
        shape.append(size % TILE_WIDTH)
        size //= TILE_WIDTH
    return shape


@dataclass(frozen=True, slots=True)
class RightEdge:
    """The partial tiles of a tree of `size` leaves, `levels[k]` of tile level k.

    ``levels[0]`` are leaf hashes, ``levels[k]`` roots of full tiles of level k - 1; the
    widths are those of `edge_shape`. `peaks` (the hashes of the compact range) is
    computed when left out. Raises `ValueError` when the widths do not fit the size.
    Immutable.
    """

    size: int
    levels: tuple[tuple[bytes, ...], ...]
    peaks: tuple[bytes, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if [len(level) for level in self.levels] != edge_shape(self.size):
            raise ValueError(f"these widths are no edge of {self.size} leaves")
        if not all(are_hashes(level) for level in self.levels):
            raise ValueError("a hash is not 32 bytes long")
        if not self.peaks:
            object.__setattr__(self, "peaks", _peaks(self.levels))

    @classmethod
    def empty(cls) -> Self:
        """Return the edge of the tree without leaves."""
        return cls(0, ())

    def root(self) -> bytes:
        """Return the root of the tree (32 bytes)."""
        return fold_right(self.peaks)

    def compact(self) -> CompactRange:
        """Return the tree as a compact range from leaf 0."""
        return CompactRange(0, self.size, self.peaks)

    def grow(self, leaf_hashes: Sequence[bytes]) -> Growth:
        """Return the tree with `leaf_hashes` appended, and what was completed.

        Raises `ValueError` when one is not 32 bytes long.
        """
        if not are_hashes(leaf_hashes):
            raise ValueError("a leaf hash is not 32 bytes long")
        nodes = self.compact().nodes()
        rows = completed_rows(nodes, self.size, leaf_hashes)
        for level, (first, row) in enumerate(rows):
            nodes.update(zip(row_nodes(level, first, len(row)), row, strict=True))
        size = self.size + len(leaf_hashes)
        tiles, levels = self._retile(rows, size)
        peaks = tuple(nodes[node] for node in decompose(0, size))
        edge = type(self)(size, levels, peaks)
        return Growth(edge, fold_right(peaks), tiles, nodes)

    def _retile(
        self, rows: list[Row], size: int
    ) -> tuple[list[FullTile], tuple[tuple[bytes, ...], ...]]:
        tiles: list[FullTile] = []
        levels = []
        for level in range(len(edge_shape(size))):
            held = self.levels[level] if level < len(self.levels) else ()
            if level * TILE_HEIGHT < len(rows):
                roots = rows[(level + 1) * TILE_HEIGHT : (level + 1) * TILE_HEIGHT + 1]
                full, held = _cut(level, held, rows[level * TILE_HEIGHT], roots)
                tiles += full
            levels.append(held)
        return tiles, tuple(levels)


def _cut(
    level: int, held: tuple[bytes, ...], added: Row, above: list[Row]
) -> tuple[list[FullTile], tuple[bytes, ...]]:
    hashes = [*held, *added.hashes]
    roots = above[0].hashes if above else []
    # The nodes completed eight levels up are the roots of the tiles that became full.
    tiles = [
        FullTile(
            Tile(level, added.first // TILE_WIDTH + place),
            b"".join(hashes[place * TILE_WIDTH : (place + 1) * TILE_WIDTH]),
            root,
        )
        for place, root in enumerate(roots)
    ]
    return tiles, tuple(hashes[len(roots) * TILE_WIDTH :])


def _peaks(levels: tuple[tuple[bytes, ...], ...]) -> tuple[bytes, ...]:
    """Return the compact range: each level's bits of the size, highest first."""
    peaks: list[bytes] = []
    for row in levels:
        hashes = list(row)
        for _ in range(TILE_HEIGHT):
            if len(hashes) % 2:
                peaks.append(hashes[-1])
            hashes = hash_pairs(hashes)
    return tuple(reversed(peaks))
