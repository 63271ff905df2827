"""Subtree proofs (draft-ietf-plants-merkle-tree-certs section 4): verification only.

A subtree is the Merkle tree over the leaves ``[start, end)`` by themselves, where
`start` is a multiple of the smallest power of two that is not below ``end - start``.
Witnesses sign such subtrees (C2SP tlog-witness, sign-subtree), and mirrors are fed in
terms of them.
"""

from collections.abc import Sequence

from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import EMPTY_ROOT, are_hashes, node_hash
from provlog.merkle.inclusion import MAX_PROOF_HASHES, verify_inclusion


def is_subtree(start: int, end: int) -> bool:
    """Tell whether ``[start, end)`` is a subtree that has leaves (section 4.1)."""
    if not 0 <= start < end:
        return False
    return start % (1 << (end - start - 1).bit_length()) == 0


def verify_subtree_inclusion(
    index: int,
    start: int,
    end: int,
    leaf_hash: bytes,
    proof: Sequence[bytes],
    subtree_root: bytes,
) -> None:
    """Return if `proof` shows that the leaf is leaf `index` of the whole tree.

    It leads from the leaf to the root of the subtree ``[start, end)``. Raises
    `ProofError` otherwise (section 4.3).
    """
    if not is_subtree(start, end) or not start <= index < end:
        raise ProofError(f"subtree: leaf {index} of no subtree [{start}, {end})")
    verify_inclusion(index - start, end - start, leaf_hash, proof, subtree_root)


def verify_subtree_consistency(
    start: int,
    end: int,
    subtree_root: bytes,
    size: int,
    root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Return if `proof` shows that the tree of `size` leaves contains the subtree.

    Raises `ProofError` otherwise (section 4.4). The subtree without leaves,
    ``start == end``, is contained in every tree: it has the empty root and an empty
    proof. A caller that signs subtrees excludes it with `is_subtree`.
    """
    if 0 <= start == end <= size:
        if proof or subtree_root != EMPTY_ROOT:
            raise ProofError("subtree: no leaves, and not the empty root")
        return
    if start == 0 < end == size:
        if proof or subtree_root != root:
            raise ProofError(f"subtree: two roots for {size} leaves")
        return
    if not is_subtree(start, end) or end > size:
        raise ProofError(f"subtree: a tree of {size} has no subtree [{start}, {end})")
    if len(proof) > MAX_PROOF_HASHES + 1 or not are_hashes(
        [subtree_root, root, *proof]
    ):
        raise ProofError("subtree: too many hashes, or one that is not 32 bytes long")
    if _roots(start, end, subtree_root, size, proof) != (subtree_root, root):
        raise ProofError(f"subtree [{start}, {end}) in {size}: other roots")


def _roots(
    start: int, end: int, subtree_root: bytes, size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Return the roots of subtree and tree that `proof` leads to (section 4.4)."""
    fn, sn, tn = start, end - 1, size - 1
    # Start at the largest perfect subtree that ends where [start, end) ends, or at
    # [start, end) itself where it reaches the end of the tree.
    while fn != sn and (sn == tn or sn & 1):
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    path = list(proof)
    if fn == sn:
        fr = sr = subtree_root
    elif path:
        fr = sr = path.pop(0)
    else:
        raise ProofError("subtree: the proof is empty")
    for c in path:
        if tn == 0:
            raise ProofError("subtree: the proof is too long")
        if sn & 1 or sn == tn:
            if fn < sn:
                fr = node_hash(c, fr)
            sr = node_hash(c, sr)
            while not sn & 1 and sn:
                fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    if tn != 0:
        raise ProofError("subtree: the proof is too short")
    return fr, sr
