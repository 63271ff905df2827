import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.consistency import (
    build_consistency,
    consistency_nodes,
    verify_consistency,
)
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import EMPTY_ROOT, fold_right
from provlog.merkle.inclusion import root_from_inclusion
from provlog.merkle.nodes import decompose
from support.naive_tree import NaiveTree, leaf_hashes

SIZE = 130
TREE = NaiveTree(leaf_hashes(SIZE))
NODES = TREE.perfect_nodes()


def test_every_proof_of_every_small_tree_is_the_definitions_and_verifies() -> None:
    for new in range(1, SIZE + 1):
        for old in range(1, new + 1):
            fetched = {node: NODES[node] for node in consistency_nodes(old, new)}
            proof = build_consistency(old, new, fetched)
            assert proof == TREE.proof(0, old, new)
            verify_consistency(old, TREE.root(old), new, TREE.root(new), proof)


@given(st.data())
def test_needed_nodes_cover_a_huge_tree_once(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 2**63))
    old = data.draw(st.integers(1, new))
    needed = consistency_nodes(old, new)
    assert needed == sorted(set(needed))
    if old == new:
        assert needed == []
        return
    whole = [] if old & (old - 1) else decompose(0, old)
    at = 0
    for node in sorted([*needed, *whole], key=lambda node: node.start):
        assert node.start == at
        at = node.end
    assert at == new


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5), (-1, 5), (0, 0)])
def test_sizes_between_which_nothing_can_be_proved_are_refused(
    old: int, new: int
) -> None:
    with pytest.raises(ValueError, match="no consistency proof"):
        consistency_nodes(old, new)
    with pytest.raises(ValueError, match="no consistency proof"):
        build_consistency(old, new, NODES)
    with pytest.raises(ProofError, match="do not precede"):
        verify_consistency(old, EMPTY_ROOT, new, EMPTY_ROOT, [])


def test_equal_sizes_need_equal_roots_and_no_proof() -> None:
    root, other = TREE.root(5), TREE.root(6)
    verify_consistency(5, root, 5, root, [])
    with pytest.raises(ProofError, match="two roots"):
        verify_consistency(5, root, 5, other, [])
    with pytest.raises(ProofError, match="two roots"):
        verify_consistency(5, root, 5, root, [root])


def changed(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def test_any_change_to_a_proof_or_a_root_is_caught() -> None:
    for new in range(2, 20):
        for old in range(1, new):
            proof = TREE.proof(0, old, new)
            roots = TREE.root(old), TREE.root(new)
            wrong = [
                [*proof[:at], changed(hash_), *proof[at + 1 :]]
                for at, hash_ in enumerate(proof)
            ]
            wrong += [proof[:-1], proof[1:], [*proof, bytes(32)], [bytes(32), *proof]]
            for other in wrong:
                with pytest.raises(ProofError):
                    verify_consistency(old, roots[0], new, roots[1], other)
            with pytest.raises(ProofError):
                verify_consistency(old, changed(roots[0]), new, roots[1], proof)
            with pytest.raises(ProofError):
                verify_consistency(old, roots[0], new, changed(roots[1]), proof)


def test_a_tree_with_a_rewritten_leaf_is_not_consistent() -> None:
    rewritten = NaiveTree([bytes(32), *TREE.leaves[1:]])
    for old in range(1, 30):
        proof = rewritten.proof(0, old, 30)
        with pytest.raises(ProofError):
            verify_consistency(old, TREE.root(old), 30, rewritten.root(30), proof)


def test_the_longest_proof_is_taken() -> None:
    old, new = 2**63 - 1, 2**63
    hashes = {node: TREE.leaves[node.level] for node in consistency_nodes(old, new)}
    proof = build_consistency(old, new, hashes)
    assert len(proof) == 64
    old_root = fold_right([hashes[node] for node in decompose(0, old)])
    new_root = root_from_inclusion(old - 1, new, proof[0], proof[1:])
    verify_consistency(old, old_root, new, new_root, proof)


@pytest.mark.parametrize("old", [3, 4])
def test_a_proof_of_the_wrong_length_is_called_that(old: int) -> None:
    roots, proof = (TREE.root(old), TREE.root(7)), TREE.proof(0, old, 7)
    for other, fault in (
        ([], "empty"),
        (proof[:-1], "too short|empty"),
        ([*proof, bytes(32)], "too long"),
    ):
        with pytest.raises(ProofError, match=fault):
            verify_consistency(old, roots[0], 7, roots[1], other)


def test_lengths_are_checked_before_anything_is_hashed() -> None:
    root = TREE.root(8)
    with pytest.raises(ProofError, match="too many"):
        verify_consistency(4, root, 2**64, root, [bytes(32)] * 65)
    for bad in (b"", bytes(31), bytes(33)):
        with pytest.raises(ProofError, match="32 bytes"):
            verify_consistency(4, TREE.root(4), 8, root, [bad])
        with pytest.raises(ProofError, match="32 bytes"):
            verify_consistency(8, bad, 8, bad, [])
