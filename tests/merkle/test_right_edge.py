import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.compact import CompactRange
from provlog.merkle.consistency import build_consistency
from provlog.merkle.edge import RightEdge, edge_shape
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.inclusion import InclusionBuilder
from provlog.merkle.nodes import Node
from provlog.merkle.tiles import TILE_WIDTH, Tile
from support.naive_tree import NaiveTree, leaf_hashes

SIZE = 1400
TREE = NaiveTree(leaf_hashes(SIZE))
NODES = TREE.perfect_nodes()
SMALL = 130
PATHS = [[TREE.path(index, size) for index in range(size)] for size in range(SMALL + 1)]


def edge_of(size: int) -> RightEdge:
    """Return the edge by its definition, from the leaves and nodes of `TREE`."""
    levels = []
    for level, width in enumerate(edge_shape(size)):
        last = size // TILE_WIDTH**level
        places = range(last - width, last)
        levels.append(tuple(NODES[Node(8 * level, place)] for place in places))
    return RightEdge(size, tuple(levels))


def test_growth_from_every_small_size_to_every_other_is_complete() -> None:
    for old in range(SMALL):
        edge = edge_of(old)
        for new in range(old, SMALL + 1):
            growth = edge.grow(TREE.leaves[old:new])
            assert growth.edge == edge_of(new)
            assert growth.root == growth.edge.root() == TREE.root(new)
            assert all(growth.nodes[node] == NODES[node] for node in growth.nodes)
            if old:
                proof = build_consistency(old, new, growth.nodes)
                assert proof == TREE.proof(0, old, new)
            builder = InclusionBuilder(new, growth.nodes)
            proofs = [builder.build(index) for index in range(old, new)]
            assert proofs == PATHS[new][old:]


@given(st.lists(st.integers(0, SIZE), min_size=1, max_size=4).map(sorted))
def test_growing_in_any_steps_gives_one_tree(cuts: list[int]) -> None:
    edge, tiles = RightEdge.empty(), []
    for start, end in zip([0, *cuts], [*cuts, SIZE], strict=True):
        growth = edge.grow(TREE.leaves[start:end])
        assert growth.edge == edge_of(end)
        assert growth.edge.peaks == edge_of(end).peaks
        assert growth.root == TREE.root(end)
        assert all(growth.nodes[node] == NODES[node] for node in growth.nodes)
        edge = growth.edge
        tiles += growth.tiles
    assert sorted(tiles) == sorted(RightEdge.empty().grow(TREE.leaves).tiles)


def test_each_full_tile_comes_once_with_its_data_and_root() -> None:
    old, new = 250, 1030
    tiles = edge_of(old).grow(TREE.leaves[old:new]).tiles
    assert [full.tile for full in tiles] == [Tile(0, index) for index in range(4)]
    for tile, data, root in tiles:
        start, end = tile.index * TILE_WIDTH, (tile.index + 1) * TILE_WIDTH
        assert data == b"".join(TREE.leaves[start:end])
        assert root == TREE.mth(start, end)


def test_tiles_of_a_higher_level_hold_the_roots_of_those_below() -> None:
    leaves = leaf_hashes(65_537)
    edge = RightEdge.empty().grow(leaves[:-3]).edge
    assert [len(level) for level in edge.levels] == [254, 255]
    growth = edge.grow(leaves[-3:])
    assert [full.tile for full in growth.tiles] == [Tile(0, 255), Tile(1, 0)]
    lower, upper = growth.tiles
    assert upper.data == b"".join((*edge.levels[1], lower.root))
    assert growth.edge.levels == ((leaves[-1],), (), (upper.root,))
    assert growth.nodes[Node(16, 0)] == upper.root


def test_the_shape_is_the_widths_of_the_partial_tiles() -> None:
    assert edge_shape(0) == []
    assert edge_shape(255) == [255]
    assert edge_shape(256) == [0, 1]
    assert edge_shape(70_000) == [112, 17, 1]
    with pytest.raises(ValueError, match="-1 leaves"):
        edge_shape(-1)


def test_the_empty_edge_has_the_empty_root() -> None:
    empty = RightEdge.empty()
    assert (empty.size, empty.levels, empty.root()) == (0, (), EMPTY_ROOT)
    growth = empty.grow([])
    assert (growth.edge, growth.root) == (empty, EMPTY_ROOT)
    assert (growth.tiles, growth.nodes) == ([], {})


def test_an_edge_gives_the_compact_range_of_its_tree() -> None:
    for size in (0, 1, 255, 256, 257, 767, SIZE):
        expected = CompactRange.empty().extend(TREE.leaves[:size])
        assert edge_of(size).compact() == expected


def test_growing_does_not_change_the_edge() -> None:
    edge = edge_of(700)
    before = dataclasses.replace(edge)
    first = edge.grow(TREE.leaves[700:900])
    assert edge.grow(TREE.leaves[700:900]) == first
    assert (edge, edge.peaks) == (before, before.peaks)
    with pytest.raises(dataclasses.FrozenInstanceError):
        edge.size = 701  # type: ignore[misc]


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (1, ()),
        (0, ((),)),
        (2, ((bytes(32),),)),
        (256, ((), (bytes(32), bytes(32)))),
        (256, ((bytes(32),) * 256,)),
        (1, ((bytes(31),),)),
    ],
)
def test_hashes_that_are_no_edge_of_the_size_are_refused(
    size: int, levels: tuple[tuple[bytes, ...], ...]
) -> None:
    with pytest.raises(ValueError, match=r"no edge|32 bytes"):
        RightEdge(size, levels)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_leaf_hash_of_another_length_is_refused(length: int) -> None:
    # In a tile that becomes full it is no longer part of the edge.
    for others in (1, TILE_WIDTH - 1):
        with pytest.raises(ValueError, match="a leaf hash is not 32 bytes"):
            RightEdge.empty().grow([bytes(length), *[bytes(32)] * others])
