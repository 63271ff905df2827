"""Inclusion proofs (RFC 9162 section 2.1.3): needed nodes, build, verify.

A proof is the list of hashes from the leaf's sibling up to a child of the root.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import are_hashes, fold_right, node_hash
from provlog.merkle.nodes import Hashes, Node, decompose

MAX_PROOF_HASHES = 63
"""Length of the longest proof in a tree of at most 2^63 leaves."""


class Path(NamedTuple):
    """The siblings of a node and its ancestors, from below.

    First come `siblings`, perfect subtrees beside the path up to where it meets the
    tree's right border; then `rest`, all leaves right of that point, folded into one
    hash (none when empty); then `border`, the perfect subtrees left of the border.
    """

    siblings: list[Node]
    rest: list[Node]
    border: list[Node]

    def nodes(self) -> list[Node]:
        """Return every node of the path, sorted."""
        return sorted(self.siblings + self.rest + self.border)


def path_of(node: Node, size: int) -> Path:
    """Return the path from `node` to the root of a tree of `size` leaves.

    Raises `ValueError` when the tree does not have the node.
    """
    level, index = node
    if level < 0 or index < 0 or node.end > size:
        raise ValueError(f"a tree of {size} leaves does not have {node}")
    height = (index ^ ((size - 1) >> level)).bit_length()
    siblings = [Node(level + up, (index >> up) ^ 1) for up in range(height - 1)]
    rest, border = _tail(level + height, index >> height, size, above=height > 0)
    return Path(siblings, rest, border)


def _tail(
    level: int, index: int, size: int, *, above: bool
) -> tuple[list[Node], list[Node]]:
    """Return `rest` and `border` of a path that meets the right border at `level`.

    With `above` the path comes from the left child there, and the right one is `rest`.
    """
    half = (index << level) + (1 << level >> 1)
    rest = decompose(half, size) if above else []
    border = [
        Node(level + up, (index >> up) - 1)
        for up in range(index.bit_length())
        if index >> up & 1
    ]
    return rest, border


def inclusion_nodes(index: int, size: int) -> list[Node]:
    """Return the nodes `build_inclusion` needs, sorted.

    Raises `ValueError` unless 0 <= index < size.
    """
    return path_of(Node(0, index), size).nodes()


class InclusionBuilder:
    """Builds inclusion proofs in one tree; what they have in common it does once.

    `hashes` needs the `inclusion_nodes` of every index asked for.
    """

    def __init__(self, size: int, hashes: Hashes) -> None:
        self._size = size
        # A node equals the tuple of its numbers, and a tuple is several times cheaper.
        self._hashes = cast("Mapping[tuple[int, int], bytes]", hashes)
        self._tails: dict[int, list[bytes]] = {}

    def build(self, index: int) -> list[bytes]:
        """Return the proof that leaf `index` is in the tree.

        Raises `ValueError` unless 0 <= index < size, `KeyError` for a missing node.
        """
        if not 0 <= index < self._size:
            raise ValueError(f"a tree of {self._size} leaves has no leaf {index}")
        hashes = self._hashes
        height = (index ^ (self._size - 1)).bit_length()
        tail = self._tails.get(height)
        if tail is None:
            tail = self._tails[height] = self._build_tail(height)
        return [hashes[level, index >> level ^ 1] for level in range(height - 1)] + tail

    def _build_tail(self, height: int) -> list[bytes]:
        # All paths that meet the right border at one level go on in the same way.
        rest, border = _tail(
            height, (self._size - 1) >> height, self._size, above=height > 0
        )
        folded = [fold_right([self._hashes[node] for node in rest])] if rest else []
        return folded + [self._hashes[node] for node in border]


def build_inclusion(index: int, size: int, hashes: Hashes) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of the first `size` leaves.

    `hashes` needs the nodes of ``inclusion_nodes(index, size)``. Raises `ValueError`
    unless 0 <= index < size, `KeyError` for a missing node.
    """
    return InclusionBuilder(size, hashes).build(index)


def root_from_inclusion(
    index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes]
) -> bytes:
    """Return the root that `proof` leads to from the leaf; it proves nothing by itself.

    Raises `ProofError` when no tree of `size` leaves has such a proof for `index`.
    """
    if len(proof) > MAX_PROOF_HASHES or not are_hashes([leaf_hash, *proof]):
        raise ProofError("inclusion: too many hashes, or one that is not 32 bytes long")
    # RFC 9162 section 2.1.3.2, by its numbers.
    # 1. The leaf must be in the tree.
    if not 0 <= index < size:
        raise ProofError(f"inclusion: a tree of {size} leaves has no leaf {index}")
    # 2. and 3.
    fn, sn, r = index, size - 1, leaf_hash
    # 4. Go up by one hash of the proof at a time.
    for p in proof:
        if sn == 0:
            raise ProofError("inclusion: the proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    # 5. Having arrived at the root; its hash is for the caller to compare.
    if sn != 0:
        raise ProofError("inclusion: the proof is too short")
    return r


def verify_inclusion(
    index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if `proof` shows that the leaf is leaf `index` of the tree of that root.

    Raises `ProofError` otherwise (RFC 9162 section 2.1.3.2).
    """
    if root_from_inclusion(index, size, leaf_hash, proof) != root:
        raise ProofError(f"inclusion of leaf {index} in {size}: another root")
