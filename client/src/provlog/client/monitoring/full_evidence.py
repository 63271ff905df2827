"""What shows that a log's content is not as it must be: kept in a file for people.

It holds the signed checkpoint, what was found, the leaves in question and the parts as
they were served. A leaf with its proof speaks for itself: the log signed a tree that
holds it. Parts that do not lead to the signed root prove what was served to whoever
believes this monitor, and nothing to others.
"""

import json
from collections.abc import Sequence
from typing import Final

from provlog.client.auditing_parts import Finding, Part
from provlog.client.chain import split_entries
from provlog.client.errors import ClientError
from provlog.client.fetching import LogReader
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.errors import MerkleError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.proof_file import format_proof
from provlog.merkle.tiles import TILE_WIDTH, Bundle, Tile
from provlog.merkle.trust import SignedCheckpoint

MAX_FINDINGS: Final = 20
MAX_PART: Final = 1 << 20
MAX_PARTS: Final = 4
MAX_PROOFS: Final = 5
MAX_BEFORE: Final = 2


class Exhibits:
    """Collects, within bounds, what shows the findings of a pass."""

    def __init__(self, signed: SignedCheckpoint) -> None:
        self._signed = signed
        self._findings: list[Finding] = []
        self._parts: dict[str, bytes] = {}
        self._leaves: dict[int, bytes] = {}
        # Of the right edge it is known in the end only which tile is wrong.
        self._edge: dict[str, bytes] = {}

    def hold(self, part: Part, data: bytes | None) -> None:
        """Hold on to a part that may turn out to be wrong later."""
        if isinstance(part, Tile) and part.width < TILE_WIDTH and data is not None:
            self._edge[part.path()] = data[:MAX_PART]

    def note(
        self,
        findings: Sequence[Finding],
        part: Part | None = None,
        data: bytes | None = None,
        first: int = 0,
    ) -> None:
        """Take in findings, and the part they were made in, as it was served.

        `first` is the index of a bundle's first entry.
        """
        room = MAX_FINDINGS - len(self._findings)
        self._findings += findings[:room]
        if part is None or data is None or not findings:
            return
        if len(self._parts) < MAX_PARTS:
            self._parts[part.path()] = data[:MAX_PART]
        if isinstance(part, Bundle):
            self._note_leaves(findings[:room], part, data, first)

    async def to_file(self, what: str, reader: LogReader) -> bytes:
        """Return the file; leaves come with proofs as far as the log gives them."""
        await self._add_predecessors(reader)
        checkpoint = self._signed.checkpoint
        parts = {**self._edge, **self._parts}
        value: dict[str, JsonValue] = {
            "v": 1,
            "what": what,
            "origin": checkpoint.origin,
            "checkpoint": self._signed.note.decode("utf-8"),
            "findings": [each.to_json() for each in self._findings],
            "leaves": [
                await self._leaf(index, data, reader, place < MAX_PROOFS)
                for place, (index, data) in enumerate(sorted(self._leaves.items()))
            ],
            "served": {path: encode_base64(data) for path, data in parts.items()},
        }
        return json.dumps(value, indent=2).encode()

    def _note_leaves(
        self, findings: Sequence[Finding], part: Bundle, data: bytes, first: int
    ) -> None:
        leaves = list(split_entries(data, part.width))
        for each in findings:
            # With the one before it, to which most rules relate a leaf.
            for index in (each.index, None if each.index is None else each.index - 1):
                if index is not None and 0 <= index - first < len(leaves):
                    self._leaves[index] = leaves[index - first]

    async def _add_predecessors(self, reader: LogReader) -> None:
        """Ask for the last entries of the bundles before those that begin wrong.

        Most rules relate a leaf to the one before it, which a pass may not have read.
        """
        found = {each.index for each in self._findings if each.index}
        firsts = [each for each in sorted(found) if each % TILE_WIDTH == 0]
        for index in firsts[:MAX_BEFORE]:
            before = Bundle(index // TILE_WIDTH - 1, TILE_WIDTH)
            try:
                data = (await reader.part(before)).data
            except (ClientError, MerkleError):
                continue
            leaves = list(split_entries(data or b"", TILE_WIDTH))
            if len(leaves) == TILE_WIDTH and index in self._leaves:
                self._leaves[index - 1] = leaves[-1]

    async def _leaf(
        self, index: int, data: bytes, reader: LogReader, proved: bool
    ) -> JsonValue:
        value: dict[str, JsonValue] = {"index": index, "leaf": encode_base64(data)}
        if not proved:
            return value
        checkpoint = self._signed.checkpoint
        try:
            claimed = await reader.inclusion(index, checkpoint.size)
        except (ClientError, MerkleError):
            return value
        if (claimed.root, claimed.leaf_hash) == (checkpoint.root, leaf_hash(data)):
            value["proof"] = format_proof(index, claimed.hashes, self._signed.note)
        return value
