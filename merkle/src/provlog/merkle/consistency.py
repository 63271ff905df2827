"""Consistency proofs (RFC 9162 section 2.1.4): needed nodes, build, verify.

The proof that a tree of `new` leaves extends one of `old` leaves is the path, through
the newer tree, of the last perfect subtree of the older one, preceded by that subtree's
hash unless it is the whole older tree.
"""

from collections.abc import Sequence

from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import are_hashes, fold_right, node_hash
from provlog.merkle.inclusion import MAX_PROOF_HASHES, path_of
from provlog.merkle.nodes import Hashes, Node


def _start(old: int, new: int) -> tuple[Node, bool]:
    """Return the last perfect subtree of the older tree, and if it is all of it."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new} leaves")
    level = (old & -old).bit_length() - 1
    index = (old >> level) - 1
    return Node(level, index), index == 0


def consistency_nodes(old: int, new: int) -> list[Node]:
    """Return the nodes `build_consistency` needs, sorted; none for equal sizes.

    Raises `ValueError` unless 0 < old <= new: an empty tree is extended by every other,
    which needs no proof.
    """
    start, whole = _start(old, new)
    if old == new:
        return []
    nodes = path_of(start, new).nodes()
    return nodes if whole else sorted([start, *nodes])


def build_consistency(old: int, new: int, hashes: Hashes) -> list[bytes]:
    """Return the proof that the tree of `new` leaves extends the one of `old` leaves.

    `hashes` needs the nodes of ``consistency_nodes(old, new)``. Raises `ValueError`
    unless 0 < old <= new, `KeyError` for a missing node.
    """
    start, whole = _start(old, new)
    if old == new:
        return []
    path = path_of(start, new)
    proof = [] if whole else [hashes[start]]
    proof += [hashes[node] for node in path.siblings]
    if path.rest:
        proof.append(fold_right([hashes[node] for node in path.rest]))
    return proof + [hashes[node] for node in path.border]


def verify_consistency(
    old_size: int,
    old_root: bytes,
    new_size: int,
    new_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Return if `proof` shows that the newer tree extends the older one.

    Raises `ProofError` otherwise (RFC 9162 section 2.1.4.2). Trees of equal size need
    equal roots and an empty proof. An older tree without leaves is refused: its root
    says nothing, so what to make of it is the caller's rule.
    """
    if len(proof) > MAX_PROOF_HASHES + 1 or not are_hashes(
        [old_root, new_root, *proof]
    ):
        raise ProofError("consistency: too many hashes, or one that is not 32 bytes")
    if not 0 < old_size <= new_size:
        raise ProofError(f"consistency: {old_size} leaves do not precede {new_size}")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ProofError(f"consistency: two roots for {old_size} leaves")
        return
    roots = roots_from_consistency(old_size, old_root, new_size, proof)
    if roots != (old_root, new_root):
        raise ProofError(f"consistency from {old_size} to {new_size}: other roots")


def roots_from_consistency(
    old_size: int, old_root: bytes, new_size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Return the older and the newer root that `proof` leads to.

    RFC 9162 section 2.1.4.2, by its numbers, for 0 < `old_size` < `new_size`. Raises
    `ProofError` for a proof of another length. Where `old_size` is a power of two,
    `old_root` is where it starts, and the older root is that one whatever it is.
    """
    # 1. Trees of different sizes have something to prove.
    if not proof:
        raise ProofError("consistency: the proof is empty")
    # 2. A perfect older tree is a node of the newer one.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    # 3.
    fn, sn = old_size - 1, new_size - 1
    # 4. Start at the last perfect subtree of the older tree.
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # 5.
    fr = sr = path[0]
    # 6. Go up in both trees at once.
    for c in path[1:]:
        if sn == 0:
            raise ProofError("consistency: the proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    # 7. Having arrived at both roots; they are compared by the caller.
    if sn != 0:
        raise ProofError("consistency: the proof is too short")
    return fr, sr
