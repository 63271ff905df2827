import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import node_hash
from provlog.merkle.inclusion import (
    MAX_PROOF_HASHES,
    InclusionBuilder,
    build_inclusion,
    inclusion_nodes,
    path_of,
    root_from_inclusion,
    verify_inclusion,
)
from provlog.merkle.nodes import Node
from support.naive_tree import NaiveTree, leaf_hashes

SIZE = 130
TREE = NaiveTree(leaf_hashes(SIZE))
NODES = TREE.perfect_nodes()


def test_every_proof_of_every_small_tree_is_the_definitions_and_verifies() -> None:
    for size in range(1, SIZE + 1):
        root = TREE.root(size)
        for index in range(size):
            # Only what was asked for is at hand.
            fetched = {node: NODES[node] for node in inclusion_nodes(index, size)}
            proof = build_inclusion(index, size, fetched)
            assert proof == TREE.path(index, size)
            verify_inclusion(index, size, TREE.leaves[index], proof, root)


def test_one_builder_serves_every_leaf_of_a_tree() -> None:
    for size in (1, 2, 7, 64, 100, SIZE):
        builder = InclusionBuilder(size, NODES)
        for index in reversed(range(size)):
            assert builder.build(index) == TREE.path(index, size)


@given(st.data())
def test_needed_nodes_and_the_leaf_cover_a_huge_tree_once(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 2**63))
    index = data.draw(st.integers(0, size - 1))
    needed = inclusion_nodes(index, size)
    assert needed == sorted(set(needed))
    at = 0
    for node in sorted([*needed, Node(0, index)], key=lambda node: node.start):
        assert node.start == at
        at = node.end
    assert at == size


def test_a_path_can_start_at_any_perfect_subtree() -> None:
    path = path_of(Node(2, 1), 13)
    assert path.siblings == [Node(2, 0)]
    assert path.rest == [Node(2, 2), Node(0, 12)]
    assert path.border == []


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (5, 3)])
def test_a_leaf_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="does not have"):
        inclusion_nodes(index, size)
    with pytest.raises(ValueError, match="has no leaf"):
        build_inclusion(index, size, NODES)
    with pytest.raises(ProofError, match="has no leaf"):
        verify_inclusion(index, size, TREE.leaves[0], [], TREE.leaves[0])


def test_a_missing_node_is_named() -> None:
    with pytest.raises(KeyError):
        build_inclusion(3, 8, {})


def test_the_root_that_a_proof_leads_to_is_returned() -> None:
    leaf, sibling = TREE.leaves[:2]
    assert root_from_inclusion(0, 1, leaf, []) == leaf
    assert root_from_inclusion(0, 2, leaf, [sibling]) == node_hash(leaf, sibling)
    assert root_from_inclusion(1, 2, leaf, [sibling]) == node_hash(sibling, leaf)


def mutations(proof: list[bytes]) -> list[list[bytes]]:
    """Return proofs that differ from `proof` in one place."""
    changed = [
        [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]
        for at in range(len(proof))
    ]
    added = [[*proof[:at], bytes(32), *proof[at:]] for at in range(len(proof) + 1)]
    dropped = [[*proof[:at], *proof[at + 1 :]] for at in range(len(proof))]
    return changed + added + dropped


def test_any_change_to_a_proof_or_what_it_is_about_is_caught() -> None:
    for size in range(1, 20):
        root = TREE.root(size)
        for index in range(size):
            leaf, proof = TREE.leaves[index], TREE.path(index, size)
            for other in mutations(proof):
                with pytest.raises(ProofError):
                    verify_inclusion(index, size, leaf, other, root)
            for elsewhere in set(range(size + 1)) - {index}:
                with pytest.raises(ProofError):
                    verify_inclusion(elsewhere, size, leaf, proof, root)
            with pytest.raises(ProofError):
                verify_inclusion(index, size, bytes(32), proof, root)
            with pytest.raises(ProofError):
                verify_inclusion(index, size, leaf, proof, bytes(32))


def test_a_proof_is_bounded_before_it_is_hashed() -> None:
    proof = [bytes(32)] * (MAX_PROOF_HASHES + 1)
    with pytest.raises(ProofError, match="too many"):
        verify_inclusion(0, 2**64, bytes(32), proof, bytes(32))


def test_the_longest_proof_is_taken() -> None:
    nodes = inclusion_nodes(5, 2**63)
    proof = build_inclusion(5, 2**63, {node: bytes(32) for node in nodes})
    assert len(proof) == MAX_PROOF_HASHES
    root = root_from_inclusion(5, 2**63, TREE.leaves[0], proof)
    verify_inclusion(5, 2**63, TREE.leaves[0], proof, root)


def test_a_proof_of_the_wrong_length_is_called_that() -> None:
    leaf, root = TREE.leaves[0], TREE.root(4)
    proof = TREE.path(0, 4)
    with pytest.raises(ProofError, match="too short"):
        verify_inclusion(0, 4, leaf, proof[:-1], root)
    with pytest.raises(ProofError, match="too long"):
        verify_inclusion(0, 4, leaf, [*proof, root], root)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_another_length_are_refused(length: int) -> None:
    leaf, sibling = TREE.leaves[:2]
    with pytest.raises(ProofError, match="32 bytes"):
        verify_inclusion(0, 2, leaf, [bytes(length)], TREE.root(2))
    with pytest.raises(ProofError, match="32 bytes"):
        verify_inclusion(0, 2, bytes(length), [sibling], TREE.root(2))
    with pytest.raises(ProofError):
        verify_inclusion(0, 1, bytes(length), [], bytes(length))
