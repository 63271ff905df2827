"""Histories of one log's key that share a beginning, or all of it, and their proofs."""

import json
from functools import lru_cache

from provlog.client.comparing import Sighting
from provlog.client.cosigned import verify_gossip
from provlog.client.errors import UnavailableError
from provlog.client.memory import LeafPath
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.consistency import build_consistency
from provlog.merkle.edge import Growth, RightEdge
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.hashing import EMPTY_ROOT, leaf_hash
from provlog.merkle.inclusion import build_inclusion
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof
from provlog.merkle.trust import Trust

ORIGIN = "log.example/main"
KEY = SigningKey.from_seed(ORIGIN, bytes(range(32)))
TRUST = Trust.from_log_key(KEY.verifier().vkey())


@lru_cache(maxsize=512)
def grow(leaves: tuple[bytes, ...]) -> Growth:
    """Return the tree over these leaves with all its nodes."""
    return RightEdge.empty().grow([leaf_hash(each) for each in leaves])


@lru_cache(maxsize=4096)
def signed(size: int, root: bytes, origin: str = ORIGIN) -> bytes:
    """Return a note that the log signed."""
    return sign_note(Checkpoint(origin, size, root).text(), [KEY])


class Fork:
    """One history; it proves what it is asked, and signs every size."""

    is_log = True

    def __init__(self, leaves: tuple[bytes, ...], place: str = "a fork") -> None:
        self.leaves = leaves
        self.place = place
        self.asked = 0

    @classmethod
    def of(cls, name: str, shared: int, size: int) -> "Fork":
        """Return a history whose first leaves are those of every other one."""
        own = [f"{name} {index}".encode() for index in range(shared, size)]
        common = [f"common {index}".encode() for index in range(shared)]
        return cls((*common, *own), name)

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return len(self.leaves)

    def root(self, size: int) -> bytes:
        """Return the root of its first leaves."""
        return grow(self.leaves[:size]).root if size else EMPTY_ROOT

    def note(self, size: int | None = None) -> bytes:
        """Return a signed checkpoint, of all leaves unless told otherwise."""
        size = self.size if size is None else size
        return signed(size, self.root(size))

    def leaf_path(self, index: int, size: int) -> LeafPath:
        """Return the path of a leaf in the tree of a size."""
        hashes = build_inclusion(index, size, grow(self.leaves[:size]).nodes)
        return LeafPath(index, leaf_hash(self.leaves[index]), tuple(hashes))

    def sighting(self, size: int, *indexes: int, trust: Trust = TRUST) -> Sighting:
        """Return what somebody sees who has a checkpoint, and receipts of leaves."""
        paths = tuple(self.leaf_path(index, size) for index in indexes)
        return Sighting(verify_gossip(self.note(size), trust), paths)

    def receipt(self, index: int, size: int, note: bytes | None = None) -> JsonValue:
        """Return what a comparison reads of a receipt."""
        path = self.leaf_path(index, size)
        proof = format_proof(index, path.hashes, note or self.note(size))
        leaf = encode_base64(self.leaves[index])
        return {"v": 1, "leaf": leaf, "index": index, "proof": proof}

    def receipt_bytes(self, index: int, size: int, note: bytes | None = None) -> bytes:
        """Return a receipt as the content of a file."""
        return json.dumps(self.receipt(index, size, note)).encode()

    async def consistency(
        self, older: int, newer: int, *, direct: bool = False
    ) -> tuple[bytes, ...]:
        """Return a consistency proof."""
        self._ask(newer)
        return tuple(build_consistency(older, newer, grow(self.leaves[:newer]).nodes))

    async def path(self, index: int, size: int) -> LeafPath:
        """Return an inclusion proof."""
        self._ask(size)
        return self.leaf_path(index, size)

    def _ask(self, size: int) -> None:
        self.asked += 1
        if size > self.size:
            raise UnavailableError("a tree of that size is not here")


def conflict(one: tuple[Fork, int], other: tuple[Fork, int]) -> bool:
    """Tell whether two heads are of two histories."""
    size = min(one[1], other[1])
    return one[0].leaves[:size] != other[0].leaves[:size]
