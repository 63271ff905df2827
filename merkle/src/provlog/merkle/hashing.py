"""Leaf and node hashes of the Merkle tree (RFC 6962 section 2.1, RFC 9162 2.1.1)."""

from collections.abc import Sequence
from hashlib import sha256

HASH_SIZE = 32

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ entry): 32 bytes."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right): 32 bytes. Lengths are not checked."""
    return sha256(b"\x01" + left + right).digest()


def hash_pairs(row: Sequence[bytes]) -> list[bytes]:
    """Return the node hash of each pair of neighbours; an odd last hash is left out."""
    # A comprehension without a call of node_hash: growing a tree spends its time here.
    return [
        sha256(b"\x01" + left + right).digest()
        for left, right in zip(row[::2], row[1::2], strict=False)
    ]


def fold_right(hashes: Sequence[bytes]) -> bytes:
    """Return H(h0, H(h1, … H(hn-1, hn))): how maximal subtrees join up to a root.

    One hash stands for itself; none gives `EMPTY_ROOT`.
    """
    if not hashes:
        return EMPTY_ROOT
    folded = hashes[-1]
    for left in reversed(hashes[:-1]):
        folded = node_hash(left, folded)
    return folded


def are_hashes(values: Sequence[bytes]) -> bool:
    """Tell whether every value is `HASH_SIZE` bytes long."""
    return all(len(value) == HASH_SIZE for value in values)
