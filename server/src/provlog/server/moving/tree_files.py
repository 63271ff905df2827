"""The public part of a log as files: checkpoint, tiles, entry bundles (tlog-tiles).

Paths and contents are those that the server serves below a log's URL. A folder holds
the parts of the tree of one size, the partial ones at its right edge included, and
perhaps partial ones of smaller sizes.
"""

from collections.abc import Callable, Iterator
from typing import Final

from provlog.merkle.edge import edge_shape
from provlog.merkle.hashing import HASH_SIZE
from provlog.merkle.tiles import (
    MAX_ENTRY_SIZE,
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Tile,
    encode_bundle,
)
from provlog.server.moving.folders import Folder
from provlog.server.storage.base import Reads
from provlog.server.tree import TileCache, Tree

CHECKPOINT: Final = "checkpoint"
MAX_TILE: Final = TILE_WIDTH * HASH_SIZE
MAX_BUNDLE: Final = TILE_WIDTH * (MAX_ENTRY_SIZE + 2)
BATCH: Final = 16
"""How many tiles or bundles are read at a time."""

OnProgress = Callable[[int], None]


def bundles(start: int, end: int) -> Iterator[Bundle]:
    """Yield the bundles of the tree of `end` entries that hold entries from `start`."""
    for index in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        yield Bundle(index, min(TILE_WIDTH, end - index * TILE_WIDTH))


def partial_tiles(size: int) -> Iterator[Tile]:
    """Yield the partial tiles at the right edge of a tree."""
    for level, width in enumerate(edge_shape(size)):
        if width:
            yield Tile(level, size >> (TILE_HEIGHT * (level + 1)), width)


async def write_tree(
    folder: Folder,
    reads: Reads,
    log: int,
    before: int,
    size: int,
    on_progress: OnProgress,
) -> None:
    """Write what the tree of `size` has and that of `before` entries had not.

    `on_progress` is called with the number of entries written since its last call.
    """
    tree = Tree(reads, log, TileCache(0))
    for level in range(len(edge_shape(size))):
        await _write_full(folder, reads, log, level, before, size)
    for tile in partial_tiles(size):
        folder.write(tile.path(), await tree.tile(tile))
    for bundle in bundles(before, size):
        start = bundle.index * TILE_WIDTH
        leaves = await reads.leaves(log, start, start + bundle.width)
        folder.write(bundle.path(), encode_bundle(leaves))
        on_progress(start + bundle.width - max(start, before))


async def _write_full(
    folder: Folder, reads: Reads, log: int, level: int, before: int, size: int
) -> None:
    shift = TILE_HEIGHT * (level + 1)
    last = size >> shift
    for start in range(before >> shift, last, BATCH):
        tiles = await reads.tiles(log, level, start, min(start + BATCH, last))
        for index, data in enumerate(tiles, start):
            folder.write(Tile(level, index).path(), data)
