"""The stored tree of one log: tiles, nodes, and the right edge at a head."""

from collections import OrderedDict
from collections.abc import Iterable

from provlog.merkle.compact import CompactRange
from provlog.merkle.edge import RightEdge, edge_shape
from provlog.merkle.hashing import HASH_SIZE
from provlog.merkle.nodes import Node, decompose
from provlog.merkle.tiles import TILE_WIDTH, Tile, nodes_from_tiles, tiles_for
from provlog.server.storage.base import Reads


class TileCache:
    """The full tiles that were read last, of all logs: at most `capacity` of 8 KiB.

    A full tile never changes, so nothing here grows stale.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._tiles: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()

    def get(self, log: int, level: int, index: int) -> bytes | None:
        """Return a tile's hashes if they are at hand."""
        key = (log, level, index)
        data = self._tiles.get(key)
        if data is not None:
            self._tiles.move_to_end(key)
        return data

    def put(self, log: int, level: int, index: int, data: bytes) -> None:
        """Keep a full tile, and let go of the one that was not used for longest."""
        self._tiles[log, level, index] = data
        if len(self._tiles) > self._capacity:
            self._tiles.popitem(last=False)


class Tree:
    """Reads the tree of one log.

    Only sizes up to a committed head may be asked for; `StorageError` otherwise.
    """

    def __init__(self, reads: Reads, log: int, cache: TileCache) -> None:
        self._reads = reads
        self._log = log
        self._cache = cache

    async def tile(self, tile: Tile) -> bytes:
        """Return a tile's hashes; a partial one is derived."""
        full = self._cache.get(self._log, tile.level, tile.index)
        if full is not None:
            return full[: tile.width * HASH_SIZE]
        if tile.width < TILE_WIDTH:
            return b"".join(await self._row(tile))
        [full] = await self._reads.tiles(
            self._log, tile.level, tile.index, tile.index + 1
        )
        self._cache.put(self._log, tile.level, tile.index, full)
        return full

    async def nodes(self, nodes: Iterable[Node], size: int) -> dict[Node, bytes]:
        """Return the hashes of nodes of the tree of the first `size` leaves."""
        wanted = list(nodes)
        fetched = {tile: await self.tile(tile) for tile in tiles_for(wanted, size)}
        return nodes_from_tiles(wanted, size, fetched)

    async def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves, `size` at least 1."""
        nodes = decompose(0, size)
        hashes = await self.nodes(nodes, size)
        return CompactRange(0, size, tuple(hashes[node] for node in nodes)).root()

    async def edge(self, size: int) -> RightEdge:
        """Return the right edge of the first `size` leaves, read and recomputed."""
        levels = []
        for level, width in enumerate(edge_shape(size)):
            index = size >> (8 * (level + 1))
            row = await self._row(Tile(level, index, width)) if width else ()
            levels.append(tuple(row))
        return RightEdge(size, tuple(levels))

    async def _row(self, tile: Tile) -> list[bytes]:
        # A partial tile's hashes: of leaves, or the roots of the full tiles below.
        start = tile.index * TILE_WIDTH
        end = start + tile.width
        if tile.level == 0:
            return await self._reads.leaf_hashes(self._log, start, end)
        return await self._reads.tile_roots(self._log, tile.level - 1, start, end)
