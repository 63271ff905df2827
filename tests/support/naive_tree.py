"""The recursive definitions of RFC 6962 section 2.1, slow and plain, as an oracle."""

from collections.abc import Sequence
from hashlib import sha256

from provlog.merkle.nodes import Node


def entries(count: int) -> list[bytes]:
    """Return distinct entries, ``entry 0`` and so on."""
    return [b"entry %d" % index for index in range(count)]


def leaf(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + entry).digest()


def mth(leaves: Sequence[bytes]) -> bytes:
    """Return MTH, given the leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(count: int) -> int:
    """Return the largest power of two below `count`."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH(m, leaves)."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PROOF(m, leaves) for 0 < m <= len(leaves)."""
    return _subproof(m, leaves, complete=True)


def _subproof(m: int, leaves: Sequence[bytes], *, complete: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if complete else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], complete=complete), mth(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], complete=False), mth(leaves[:k])]


def perfect_nodes(leaves: Sequence[bytes]) -> dict[Node, bytes]:
    """Return every perfect subtree of the tree and its hash."""
    nodes = {}
    level = 0
    while 1 << level <= len(leaves):
        width = 1 << level
        for index in range(len(leaves) >> level):
            below = leaves[index * width : (index + 1) * width]
            nodes[Node(level, index)] = mth(below)
        level += 1
    return nodes
