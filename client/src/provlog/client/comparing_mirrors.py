"""A static mirror in a folder: it proves what its tree begins with, and asks nobody."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from provlog.client.auditing_parts import MAX_TILE, Part
from provlog.client.comparing import Sighting
from provlog.client.cosigned import verify_gossip
from provlog.client.fetching import Served
from provlog.client.memory import LeafPath
from provlog.client.tile_proofs import TileProofs
from provlog.merkle.errors import MerkleError, ProofError
from provlog.merkle.hashing import HASH_SIZE
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.tiles import TILE_WIDTH
from provlog.merkle.trust import Trust

CHECKPOINT: Final = "checkpoint"
TILES: Final = "tile"


class FolderMirror:
    """A mirror's folder as a prover. It is not the log: it owes nobody a proof."""

    is_log = False

    def __init__(self, folder: Path, sighting: Sighting) -> None:
        self.place = str(folder)
        self.sighting = sighting
        self._folder = folder
        size = sighting.gossiped.signed.checkpoint.size
        self._tiles = TileProofs(self._fetch, size)

    async def consistency(
        self,
        older: int,
        newer: int,
        *,
        direct: bool = False,  # noqa: ARG002  tiles alone answer here
    ) -> tuple[bytes, ...]:
        """Return a consistency proof, unverified; `ProofError` if a tile is missing."""
        proof = await self._tiles.consistency(older, newer)
        if proof is None:
            raise ProofError("its tiles do not make the proof")
        return proof

    async def path(self, index: int, size: int) -> LeafPath:
        """Return an inclusion proof, unverified; `ProofError` if a tile is missing."""
        path = await self._tiles.path(index, size)
        if path is None:
            raise ProofError("its tiles do not make the proof")
        return path

    async def _fetch(self, part: Part) -> Served:
        return Served(await asyncio.to_thread(self._read, part))

    def _read(self, part: Part) -> bytes | None:
        for each in (part, replace(part, width=TILE_WIDTH)):
            try:
                with (self._folder / each.path()).open("rb") as file:
                    # Of the full tile, which may be all there is, the first hashes.
                    return file.read(MAX_TILE)[: part.width * HASH_SIZE]
            except OSError:
                continue
        return None


def find_mirror(folder: Path, trust: Trust) -> FolderMirror | None:
    """Return the mirror of a log that a folder is, None if it is none."""
    if not (folder / TILES).is_dir():
        return None
    try:
        with (folder / CHECKPOINT).open("rb") as file:
            note = file.read(MAX_NOTE_SIZE + 1)
        return FolderMirror(folder, Sighting(verify_gossip(note, trust)))
    except (OSError, MerkleError):
        # What is wrong with its checkpoint is told where files are read.
        return None
