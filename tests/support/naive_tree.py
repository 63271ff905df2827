"""The recursive definitions of RFC 6962 section 2.1, plain and slow, as an oracle."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from provlog.merkle.nodes import Node


def leaf_hashes(count: int) -> list[bytes]:
    """Return the hashes of distinct leaves, ``entry 0`` and so on."""
    return [sha256(b"\x00entry %d" % index).digest() for index in range(count)]


def split(count: int) -> int:
    """Return the largest power of two below `count`."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


class NaiveTree:
    """The tree over given leaf hashes, and over every range of them."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)
        self.mth = cache(self._mth)

    def _mth(self, start: int, end: int) -> bytes:
        """Return MTH(D[start:end])."""
        if start == end:
            return sha256(b"").digest()
        if start + 1 == end:
            return self.leaves[start]
        k = start + split(end - start)
        return sha256(b"\x01" + self.mth(start, k) + self.mth(k, end)).digest()

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves."""
        return self.mth(0, len(self.leaves) if size is None else size)

    def path(self, index: int, end: int, start: int = 0) -> list[bytes]:
        """Return PATH(index - start, D[start:end])."""
        if start + 1 == end:
            return []
        k = start + split(end - start)
        if index < k:
            return [*self.path(index, k, start), self.mth(k, end)]
        return [*self.path(index, end, k), self.mth(start, k)]

    def proof(self, start: int, end: int, size: int) -> list[bytes]:
        """Return the consistency proof of the subtree ``[start, end)`` with the tree.

        That is SUBTREE_PROOF of draft-ietf-plants-merkle-tree-certs, and PROOF(end,
        D[size]) where `start` is 0.
        """
        return self._proof(start, end, 0, size, known=True)

    def _proof(
        self, start: int, end: int, low: int, high: int, *, known: bool
    ) -> list[bytes]:
        if (start, end) == (low, high):
            return [] if known else [self.mth(low, high)]
        k = low + split(high - low)
        if end <= k:
            below = self._proof(start, end, low, k, known=known)
            return [*below, self.mth(k, high)]
        if start >= k:
            below = self._proof(start, end, k, high, known=known)
        else:
            below = self._proof(k, end, k, high, known=False)
        return [*below, self.mth(low, k)]

    def perfect_nodes(self) -> dict[Node, bytes]:
        """Return every perfect subtree and its hash."""
        count = len(self.leaves)
        return {
            node: self.mth(node.start, node.end)
            for level in range(count.bit_length())
            for node in (Node(level, index) for index in range(count >> level))
        }
