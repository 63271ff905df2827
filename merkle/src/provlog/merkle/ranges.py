"""Proofs that a tree holds a range of leaves: needed nodes, build, verify.

The proof of the leaves ``[start, end)`` in a tree of `size` is the two compact ranges
that complete them to the tree: the hashes of the maximal perfect subtrees left of the
range, then of those right of it, each from left to right.
"""

from collections.abc import Sequence

from provlog.merkle.compact import CompactRange
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import are_hashes
from provlog.merkle.nodes import Hashes, Node, decompose

MAX_SIZE = 2**63


def _sides(start: int, end: int, size: int) -> tuple[list[Node], list[Node]]:
    if not 0 <= start < end <= size <= MAX_SIZE:
        raise ValueError(f"a tree of {size} leaves has no range [{start}, {end})")
    return decompose(0, start), decompose(end, size)


def range_nodes(start: int, end: int, size: int) -> list[Node]:
    """Return the nodes `build_range` needs, sorted.

    Raises `ValueError` unless 0 <= start < end <= size.
    """
    left, right = _sides(start, end, size)
    return sorted(left + right)


def build_range(start: int, end: int, size: int, hashes: Hashes) -> list[bytes]:
    """Return the proof that the leaves ``[start, end)`` are in the tree of `size`.

    `hashes` needs the nodes of ``range_nodes(start, end, size)``. Raises `ValueError`
    unless 0 <= start < end <= size, `KeyError` for a missing node.
    """
    left, right = _sides(start, end, size)
    return [hashes[node] for node in left + right]


def verify_range(
    start: int,
    size: int,
    leaf_hashes: Sequence[bytes],
    proof: Sequence[bytes],
    root: bytes,
) -> None:
    """Return if the leaves stand at `start` and the following places, none left out.

    Raises `ProofError` otherwise, and for a range without leaves, which would prove
    nothing.
    """
    end = start + len(leaf_hashes)
    try:
        left, right = _sides(start, end, size)
    except ValueError as error:
        raise ProofError(f"range: {error}") from None
    if len(proof) != len(left) + len(right):
        raise ProofError("range: the proof does not have the length it needs")
    if not (are_hashes(leaf_hashes) and are_hashes(proof)):
        raise ProofError("range: a hash is not 32 bytes long")
    before = CompactRange(0, start, tuple(proof[: len(left)]))
    after = CompactRange(end, size, tuple(proof[len(left) :]))
    if before.extend(leaf_hashes).merge(after).root() != root:
        raise ProofError(f"range [{start}, {end}) in {size}: another root")
