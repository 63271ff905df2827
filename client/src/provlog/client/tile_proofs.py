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
from provlog.merkle.hashing import HASH_SIZE, hash_pairs
from provlog.merkle.inclusion import build_inclusion, inclusion_nodes
from provlog.merkle.nodes import Node
from provlog.merkle.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, tiles_for

MAX_CACHED: Final = 512
"""Tiles that are kept, each with the nodes above it: some 40 KiB."""


class TileProofs:
    """Makes proofs of the tiles of the tree of `size` leaves, fetched with `fetch`.

    Where a tile is not served, or a token does not reach it, there are no proofs.
    """

    def __init__(self, fetch: Callable[[Part], Awaitable[Served]], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._rows: OrderedDict[Tile, list[list[bytes]]] = OrderedDict()
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

    async def _nodes(self, nodes: Sequence[Node]) -> dict[Node, bytes] | None:
        hashes: dict[Node, bytes] = {}
        for node in nodes:
            [tile] = tiles_for([node], self._size)
            rows = self._rows.get(tile)
            if rows is None:
                # One at a time: proofs that are made at once want the same ones.
                async with self._lock:
                    rows = await self._tile(tile)
            if rows is None:
                return None
            height = node.level % TILE_HEIGHT
            hashes[node] = rows[height][node.index % (TILE_WIDTH >> height)]
        return hashes

    async def _tile(self, tile: Tile) -> list[list[bytes]] | None:
        """Return the hashes in a tile and all that they make, row by row."""
        known = self._rows.get(tile)
        if known is not None:
            self._rows.move_to_end(tile)
            return known
        if self._missing:
            return None
        data = await self._fetched(tile)
        if data is None:
            # Asked once, and not again for each of thousands of heads.
            self._missing = True
            return None
        rows = [[data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]]
        for _ in range(TILE_HEIGHT - 1):
            rows.append(hash_pairs(rows[-1]))
        self._rows[tile] = rows
        if len(self._rows) > MAX_CACHED:
            self._rows.popitem(last=False)
        return rows

    async def _fetched(self, tile: Tile) -> bytes | None:
        try:
            data = (await self._fetch(tile)).data
        except RefusedError:
            # A submitter's token does not reach tiles.
            return None
        return data if data and len(data) == tile.width * HASH_SIZE else None
