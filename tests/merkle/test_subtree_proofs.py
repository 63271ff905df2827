from collections.abc import Iterator

import pytest

from provlog.merkle.consistency import build_consistency, consistency_nodes
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import EMPTY_ROOT, fold_right
from provlog.merkle.inclusion import root_from_inclusion
from provlog.merkle.nodes import decompose
from provlog.merkle.subtrees import (
    is_subtree,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from support.naive_tree import NaiveTree, leaf_hashes

SIZE = 40
TREE = NaiveTree(leaf_hashes(SIZE))


def subtrees(size: int) -> Iterator[tuple[int, int]]:
    for start in range(size):
        for end in range(start + 1, size + 1):
            if is_subtree(start, end):
                yield start, end


def test_a_subtree_starts_at_a_multiple_of_its_rounded_size() -> None:
    assert all(is_subtree(start, start + 1) for start in range(9))
    assert all(is_subtree(0, end) for end in range(1, 9))
    assert is_subtree(4, 7)
    assert is_subtree(8, 13)
    assert not is_subtree(4, 9)
    assert not is_subtree(2, 5)
    assert not is_subtree(4, 4)
    assert not is_subtree(0, 0)
    assert not is_subtree(4, 3)
    assert not is_subtree(-4, 0)


def test_every_subtree_of_every_small_tree_is_consistent_with_it() -> None:
    for size in range(1, SIZE + 1):
        for start, end in subtrees(size):
            proof = TREE.proof(start, end, size)
            verify_subtree_consistency(
                start, end, TREE.mth(start, end), size, TREE.root(size), proof
            )


def test_any_change_to_a_subtree_consistency_proof_is_caught() -> None:
    for size in range(1, 18):
        root = TREE.root(size)
        for start, end in subtrees(size):
            inner, proof = TREE.mth(start, end), TREE.proof(start, end, size)
            wrong = [
                (inner, root, [*proof, bytes(32)]),
                (inner, root, [bytes(32), *proof]),
                (bytes(32), root, proof),
                (inner, bytes(32), proof),
            ]
            for at in range(len(proof)):
                wrong.append((inner, root, [*proof[:at], *proof[at + 1 :]]))
                swapped = [*proof[:at], bytes(32), *proof[at + 1 :]]
                wrong.append((inner, root, swapped))
            for given_inner, given_root, given_proof in wrong:
                with pytest.raises(ProofError):
                    verify_subtree_consistency(
                        start, end, given_inner, size, given_root, given_proof
                    )


@pytest.mark.parametrize(
    ("start", "end", "size"), [(1, 3, 8), (2, 6, 8), (4, 3, 8), (4, 8, 7), (-4, 0, 8)]
)
def test_what_is_no_subtree_of_the_tree_is_refused(
    start: int, end: int, size: int
) -> None:
    with pytest.raises(ProofError, match="has no subtree"):
        verify_subtree_consistency(start, end, bytes(32), size, bytes(32), [])


def test_the_empty_subtree_has_the_empty_root_and_no_proof() -> None:
    root = TREE.root(8)
    for at in (0, 3, 8):
        verify_subtree_consistency(at, at, EMPTY_ROOT, 8, root, [])
    for inner, proof in ((root, []), (EMPTY_ROOT, [root])):
        with pytest.raises(ProofError, match="no leaves"):
            verify_subtree_consistency(3, 3, inner, 8, root, proof)
    with pytest.raises(ProofError, match="has no subtree"):
        verify_subtree_consistency(9, 9, EMPTY_ROOT, 8, root, [])


def test_every_leaf_of_every_subtree_is_proved_within_it() -> None:
    for start, end in subtrees(SIZE):
        root = TREE.mth(start, end)
        for index in range(start, end):
            proof = TREE.path(index, end, start)
            leaf = TREE.leaves[index]
            verify_subtree_inclusion(index, start, end, leaf, proof, root)
            with pytest.raises(ProofError):
                verify_subtree_inclusion(index, start, end, bytes(32), proof, root)


@pytest.mark.parametrize(
    ("index", "start", "end"), [(3, 4, 8), (8, 4, 8), (2, 2, 5), (3, 3, 3)]
)
def test_a_leaf_outside_a_subtree_is_refused(index: int, start: int, end: int) -> None:
    with pytest.raises(ProofError, match="no subtree"):
        verify_subtree_inclusion(index, start, end, bytes(32), [], bytes(32))


def test_the_longest_proof_is_taken() -> None:
    old, new = 2**63 - 1, 2**63
    hashes = {node: TREE.leaves[node.level % 7] for node in consistency_nodes(old, new)}
    proof = build_consistency(old, new, hashes)
    assert len(proof) == 64
    inner = fold_right([hashes[node] for node in decompose(0, old)])
    root = root_from_inclusion(old - 1, new, proof[0], proof[1:])
    verify_subtree_consistency(0, old, inner, new, root, proof)


def test_a_proof_of_the_wrong_length_is_called_that() -> None:
    inner, root, proof = TREE.mth(4, 7), TREE.root(12), TREE.proof(4, 7, 12)
    for other, fault in (
        ([], "empty"),
        (proof[:-1], "too short"),
        ([*proof, bytes(32)], "too long"),
    ):
        with pytest.raises(ProofError, match=fault):
            verify_subtree_consistency(4, 7, inner, 12, root, other)


def test_lengths_are_checked_before_anything_is_hashed() -> None:
    inner, root = TREE.mth(4, 8), TREE.root(12)
    for proof in ([bytes(31)], [bytes(32)] * 65):
        with pytest.raises(ProofError, match="32 bytes long"):
            verify_subtree_consistency(4, 8, inner, 12, root, proof)
    with pytest.raises(ProofError, match="32 bytes long"):
        verify_subtree_consistency(4, 8, b"short", 12, root, [])
