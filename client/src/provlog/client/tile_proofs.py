"""Proofs in one tree made of its tiles, which many proofs share.

Nothing is verified here: whoever has both roots verifies the proof.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from provlog.client.auditing_parts import Part
from provlog.client.errors import RefusedError
from provlog.client.fetching import Served
from provlog.client.memory import LeafPath
from provlog.merkle.consistency import build_consistency, consistency_nodes
from provlog.merkle.errors import MalformedError
from provlog.merkle.inclusion import build_inclusion, inclusion_nodes
from provlog.merkle.nodes import Node
from provlog.merkle.tiles import Tile, nodes_from_tiles, tiles_for

MAX_CACHED: Final = 2048
"""Tiles that are kept, of 8 KiB each at most."""


class TileProofs:
    """Makes proofs of the tiles of the tree of `size` leaves, fetched with `fetch`.

    Where a tile is not served, or a token does not reach it, there are no proofs.
    """

    def __init__(self, fetch: Callable[[Part], Awaitable[Served]], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._tiles: OrderedDict[Tile, bytes] = OrderedDict()
        self._missing = False
        self._lock = asyncio.Lock()

    async def consistency(self, older: int, newer: int) -> tuple[bytes, ...] | None:
        """Return a consistency proof up to this tree, unverified."""
        if newer != self._size:
            return None
        hashes = await self._nodes(consistency_nodes(older, newer))
        return (
            None if hashes is None else tuple(build_consistency(older, newer, hashes))
        )

    async def path(self, index: int, size: int) -> LeafPath | None:
        """Return an inclusion proof in this tree, unverified."""
        if size != self._size:
            return None
        leaf = Node(0, index)
        hashes = await self._nodes(sorted({leaf, *inclusion_nodes(index, size)}))
        if hashes is None:
            return None
        return LeafPath(
            index, hashes[leaf], tuple(build_inclusion(index, size, hashes))
        )

    async def _nodes(self, nodes: Sequence[Node]) -> "dict[Node, bytes] | None":
        tiles: dict[Tile, bytes] = {}
        try:
            for tile in tiles_for(nodes, self._size):
                # One at a time: proofs that are made at once want the same ones.
                async with self._lock:
                    data = await self._tile(tile)
                if data is None:
                    return None
                tiles[tile] = data
            return dict(nodes_from_tiles(nodes, self._size, tiles))
        except (RefusedError, MalformedError):
            self._missing = True
            return None

    async def _tile(self, tile: Tile) -> bytes | None:
        known = self._tiles.get(tile)
        if known is not None:
            self._tiles.move_to_end(tile)
            return known
        if self._missing:
            return None
        data = (await self._fetch(tile)).data
        if data is None:
            # Asked once, and not again for each of thousands of heads.
            self._missing = True
            return None
        self._tiles[tile] = data
        if len(self._tiles) > MAX_CACHED:
            self._tiles.popitem(last=False)
        return data
