import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.errors import ProofError
from provlog.merkle.nodes import decompose
from provlog.merkle.ranges import build_range, range_nodes, verify_range
from support.naive_tree import NaiveTree, leaf_hashes

SIZE = 40
TREE = NaiveTree(leaf_hashes(SIZE))
NODES = TREE.perfect_nodes()


def test_every_range_of_every_small_tree_is_proved_from_the_needed_nodes() -> None:
    for size in range(1, SIZE + 1):
        root = TREE.root(size)
        for end in range(1, size + 1):
            for start in range(end):
                nodes = range_nodes(start, end, size)
                assert nodes == sorted(nodes)
                fetched = {node: NODES[node] for node in nodes}
                proof = build_range(start, end, size, fetched)
                verify_range(start, size, TREE.leaves[start:end], proof, root)


def test_a_proof_is_left_of_the_range_then_right_of_it() -> None:
    nodes = decompose(0, 11) + decompose(14, 39)
    assert build_range(11, 14, 39, NODES) == [NODES[node] for node in nodes]


@given(st.data())
def test_a_changed_shifted_or_shortened_range_is_caught(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, SIZE))
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    root, leaves = TREE.root(size), TREE.leaves[start:end]
    proof = build_range(start, end, size, NODES)
    at = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves[:at], bytes(32), *leaves[at + 1 :]]
    wrong = [
        (start, changed, proof),
        (start, leaves[:-1], proof),
        (start, [*leaves, bytes(32)], proof),
        (start + 1, leaves, proof),
        (start, leaves, [*proof, bytes(32)]),
    ]
    if proof:
        wrong += [(start, leaves, proof[:-1]), (start, leaves, [bytes(32), *proof[1:]])]
    if len(leaves) > 1:
        wrong.append((start, leaves[::-1], proof))
    for place, hashes, given_proof in wrong:
        with pytest.raises(ProofError):
            verify_range(place, size, hashes, given_proof, root)
    with pytest.raises(ProofError, match="another root"):
        verify_range(start, size, leaves, proof, bytes(32))


@pytest.mark.parametrize(
    ("start", "end", "size"), [(2, 2, 5), (3, 2, 5), (-1, 2, 5), (2, 6, 5), (0, 1, 0)]
)
def test_an_empty_or_impossible_range_is_refused(
    start: int, end: int, size: int
) -> None:
    with pytest.raises(ValueError, match="no range"):
        range_nodes(start, end, size)
    with pytest.raises(ValueError, match="no range"):
        build_range(start, end, size, NODES)
    leaves = [bytes(32)] * (end - start)
    with pytest.raises(ProofError, match="no range"):
        verify_range(start, size, leaves, [], bytes(32))


def test_hashes_of_another_length_are_refused() -> None:
    proof = build_range(1, 3, 8, NODES)
    leaves = TREE.leaves[1:3]
    for bad in (b"", bytes(31), bytes(33)):
        with pytest.raises(ProofError, match="32 bytes"):
            verify_range(1, 8, [bad, leaves[1]], proof, TREE.root(8))
        with pytest.raises(ProofError, match="32 bytes"):
            verify_range(1, 8, leaves, [bad, *proof[1:]], TREE.root(8))


def test_a_size_no_log_can_have_is_refused() -> None:
    assert len(range_nodes(5, 6, 2**63)) == 63
    with pytest.raises(ProofError, match="no range"):
        verify_range(0, 2**63 + 1, [bytes(32)], [bytes(32)] * 63, bytes(32))
