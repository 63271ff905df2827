import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.compact import CompactRange
from provlog.merkle.nodes import Node, decompose, row_nodes
from support.naive_tree import NaiveTree, leaf_hashes

SIZE = 130
TREE = NaiveTree(leaf_hashes(SIZE))
BIG = st.integers(0, 2**62)


def hashes_of(start: int, end: int) -> tuple[bytes, ...]:
    return tuple(TREE.mth(node.start, node.end) for node in decompose(start, end))


@given(BIG, BIG)
def test_a_range_decomposes_into_touching_maximal_subtrees(a: int, b: int) -> None:
    start, end = min(a, b), max(a, b)
    nodes = decompose(start, end)
    at = start
    for node in nodes:
        assert node.start == at
        at = node.end
    assert at == end
    # No two neighbours are the halves of one perfect subtree.
    for left, right in pairwise(nodes):
        assert (left.level, left.index // 2) != (right.level, right.index // 2)


def test_a_range_from_leaf_0_decomposes_by_the_bits_of_its_size() -> None:
    assert decompose(0, 13) == [Node(3, 0), Node(2, 2), Node(0, 12)]
    assert decompose(5, 13) == [Node(0, 5), Node(1, 3), Node(2, 2), Node(0, 12)]
    assert decompose(4, 4) == []


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 2)])
def test_what_is_no_range_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        decompose(start, end)


def test_a_row_of_nodes_is_made_of_nodes() -> None:
    (first, second) = row_nodes(3, 5, 2)
    assert (first, second) == (Node(3, 5), Node(3, 6))
    assert (first.start, first.end, second.start) == (40, 48, 48)


def test_appending_leaf_by_leaf_gives_every_root() -> None:
    grown = CompactRange.empty()
    for size in range(SIZE):
        assert grown.root() == TREE.root(size)
        grown = grown.append(TREE.leaves[size])
    assert grown.root() == TREE.root()


def test_extending_gives_the_same_as_the_definition_for_every_range() -> None:
    for start in range(34):
        for middle in range(start, 67):
            held = CompactRange(start, middle, hashes_of(start, middle))
            for end in (middle, middle + 1, middle + 5, SIZE):
                grown = held.extend(TREE.leaves[middle:end])
                assert grown == CompactRange(start, end, hashes_of(start, end))


@given(st.lists(st.integers(0, SIZE), min_size=3, max_size=3).map(sorted))
def test_touching_ranges_merge_to_the_range_over_both(cuts: list[int]) -> None:
    start, middle, end = cuts
    left = CompactRange(start, middle, hashes_of(start, middle))
    right = CompactRange(middle, end, hashes_of(middle, end))
    assert left.merge(right) == CompactRange(start, end, hashes_of(start, end))


def test_nodes_names_each_hash() -> None:
    held = CompactRange(5, 13, hashes_of(5, 13))
    assert held.nodes() == {
        node: TREE.mth(node.start, node.end) for node in decompose(5, 13)
    }


def test_ranges_that_do_not_touch_do_not_merge() -> None:
    left = CompactRange(0, 4, hashes_of(0, 4))
    for start in (3, 5):
        with pytest.raises(ValueError, match="do not touch"):
            left.merge(CompactRange(start, 6, hashes_of(start, 6)))


def test_a_range_that_does_not_start_at_leaf_0_has_no_root() -> None:
    with pytest.raises(ValueError, match="no root"):
        CompactRange(4, 8, hashes_of(4, 8)).root()


@pytest.mark.parametrize("hashes", [(), (bytes(32),) * 2, (bytes(31),)])
def test_hashes_that_cannot_be_the_range_are_refused(
    hashes: tuple[bytes, ...],
) -> None:
    with pytest.raises(ValueError, match="hash"):
        CompactRange(0, 4, hashes)


def test_a_range_is_never_changed() -> None:
    held = CompactRange(0, 5, hashes_of(0, 5))
    before = dataclasses.replace(held)
    held.append(TREE.leaves[5])
    held.merge(CompactRange(5, 9, hashes_of(5, 9)))
    assert held == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        held.end = 6  # type: ignore[misc]
