import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.edge import edge_shape
from provlog.merkle.errors import MalformedError
from provlog.merkle.inclusion import build_inclusion, inclusion_nodes
from provlog.merkle.nodes import Node
from provlog.merkle.tiles import (
    MAX_ENTRY_SIZE,
    TILE_WIDTH,
    Bundle,
    Tile,
    decode_bundle,
    encode_bundle,
    nodes_from_tiles,
    parse_path,
    partial_width,
    tiles_for,
)
from support.naive_tree import NaiveTree, leaf_hashes
from support.vectors import vectors_root

TREE = NaiveTree(leaf_hashes(1500))
TILES = st.builds(
    Tile, st.integers(0, 63), st.integers(0, 2**55 - 1), st.integers(1, TILE_WIDTH)
)
BUNDLES = st.builds(Bundle, st.integers(0, 2**55 - 1), st.integers(1, TILE_WIDTH))
PATHS: dict[str, Tile | Bundle] = {
    "tile/0/000": Tile(0, 0),
    "tile/0/x001/067.p/5": Tile(0, 1067, 5),
    "tile/63/x001/x234/067": Tile(63, 1234067),
    "tile/1/999.p/255": Tile(1, 999, 255),
    "tile/entries/000": Bundle(0),
    "tile/entries/x001/000.p/1": Bundle(1000, 1),
}


def tile_data(tile: Tile) -> bytes:
    """Return the content of a tile of `TREE`, by the definition."""
    span = TILE_WIDTH**tile.level
    first = tile.index * TILE_WIDTH
    return b"".join(
        TREE.mth(place * span, (place + 1) * span)
        for place in range(first, first + tile.width)
    )


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_those_of_the_specification(path: str) -> None:
    assert PATHS[path].path() == path
    assert parse_path(path) == PATHS[path]


@given(TILES | BUNDLES)
def test_every_path_reads_back_as_its_tile(place: Tile | Bundle) -> None:
    assert parse_path(place.path()) == place


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/005",
        "tile/0/000/005",
        "tile/0/x001",
        "tile/0/x001/x002",
        "tile/0/X001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/05",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/x999/x999/x999/x999/x999/999",
        "tile/0/x001/x000/x000/x000/x000/x000/000",
        "tile/0/٠٠٠",
    ],
)
def test_any_other_spelling_is_refused(path: str) -> None:
    with pytest.raises(MalformedError, match="path"):
        parse_path(path)


ALPHABET = st.sampled_from([*"0123456789x/.p", "tile/", "entries/", "000"])


@given(st.text() | st.lists(ALPHABET, max_size=12).map("".join))
def test_a_path_is_parsed_to_what_it_spells_or_refused(path: str) -> None:
    try:
        place = parse_path(path)
    except MalformedError:
        return
    assert place.path() == path


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0)]
)
def test_a_tile_that_cannot_be_is_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(ValueError, match="no tile has"):
        Tile(level, index, width)


@pytest.mark.parametrize(("index", "width"), [(-1, 1), (0, 0), (0, 257)])
def test_a_bundle_that_cannot_be_is_refused(index: int, width: int) -> None:
    with pytest.raises(ValueError, match="no tile has"):
        Bundle(index, width)


def test_partial_widths_are_those_of_the_specification() -> None:
    assert [partial_width(level, 70_000) for level in range(4)] == [112, 17, 1, 0]
    assert [partial_width(level, 256) for level in range(3)] == [0, 1, 0]


def test_needed_tiles_have_the_width_the_size_implies() -> None:
    nodes = [Node(0, 69_999), Node(8, 272), Node(7, 0), Node(16, 0), Node(0, 69_888)]
    assert tiles_for(nodes, 70_000) == [
        Tile(0, 0),
        Tile(0, 273, 112),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert tiles_for([], 70_000) == []


@pytest.mark.parametrize(
    "node", [Node(0, 10), Node(1, 5), Node(4, 0), Node(-1, 0), Node(0, -1)]
)
def test_a_node_the_tree_does_not_have_is_refused(node: Node) -> None:
    with pytest.raises(ValueError, match="does not have"):
        tiles_for([node], 10)


def test_every_node_of_a_tree_is_computed_from_its_tiles() -> None:
    size = len(TREE.leaves)
    nodes = TREE.perfect_nodes()
    tiles = {tile: tile_data(tile) for tile in tiles_for(nodes, size)}
    assert nodes_from_tiles(nodes, size, tiles) == nodes


@given(st.data())
def test_a_proof_is_built_from_the_tiles_that_were_asked_for(
    data: st.DataObject,
) -> None:
    size = data.draw(st.integers(1, len(TREE.leaves)))
    index = data.draw(st.integers(0, size - 1))
    nodes = inclusion_nodes(index, size)
    fetched = {tile: tile_data(tile) for tile in tiles_for(nodes, size)}
    hashes = nodes_from_tiles(nodes, size, fetched)
    assert set(hashes) == set(nodes)
    assert build_inclusion(index, size, hashes) == TREE.path(index, size)


def test_a_full_tile_stands_in_for_its_partial_one() -> None:
    nodes = inclusion_nodes(3, 300)
    partial = {tile: tile_data(tile) for tile in tiles_for(nodes, 300)}
    full = {
        Tile(tile.level, tile.index): tile_data(Tile(tile.level, tile.index))
        for tile in partial
        if tile.level == 0
    }
    assert len(full) == 2
    expected = nodes_from_tiles(nodes, 300, partial)
    assert nodes_from_tiles(nodes, 300, full) == expected


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_a_tile_of_another_length_is_refused(change: int) -> None:
    data = bytes(44 * 32 + change)
    with pytest.raises(MalformedError, match=r"tile/0/001.p/44"):
        nodes_from_tiles([Node(0, 299)], 300, {Tile(0, 1, 44): data})


def test_a_tile_that_was_not_fetched_is_named() -> None:
    with pytest.raises(ValueError, match=r"tile/0/001.p/44 was not fetched"):
        nodes_from_tiles([Node(0, 299)], 300, {Tile(0, 0): bytes(8192)})


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=TILE_WIDTH))
def test_a_bundle_reads_back_as_its_entries(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert len(data) == sum(2 + len(entry) for entry in entries)
    assert decode_bundle(data, len(entries)) == entries


def test_an_entry_is_preceded_by_its_length_big_endian() -> None:
    assert encode_bundle([b"ab", b"", b"c" * 258]) == (
        b"\x00\x02ab" + b"\x00\x00" + b"\x01\x02" + b"c" * 258
    )
    longest = bytes(MAX_ENTRY_SIZE)
    assert decode_bundle(encode_bundle([longest]), 1) == [longest]


def test_what_does_not_fit_a_bundle_is_refused() -> None:
    with pytest.raises(ValueError, match="65536 bytes"):
        encode_bundle([bytes(MAX_ENTRY_SIZE + 1)])
    for count in (0, TILE_WIDTH + 1):
        with pytest.raises(ValueError, match="width"):
            encode_bundle([b""] * count)


@given(
    st.binary(max_size=60)
    | st.lists(st.binary(max_size=5), min_size=1, max_size=4).map(encode_bundle),
    st.integers(1, 5),
)
def test_a_bundle_holds_its_exact_count_or_is_refused(data: bytes, count: int) -> None:
    try:
        entries = decode_bundle(data, count)
    except MalformedError:
        return
    assert len(entries) == count
    assert encode_bundle(entries) == data


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x02a", b"\xff\xff"])
def test_a_cut_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="ends inside entry 0"):
        decode_bundle(data, 1)


@pytest.mark.parametrize("data", [b"\x00\x01a\x00", b"\x00\x01a\x00\x00"])
def test_a_bundle_with_more_than_its_entries_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="bytes after entry 0"):
        decode_bundle(data, 1)


@pytest.mark.needs("vectors")
def test_the_spec_s_own_examples_of_layout_and_path() -> None:
    path = vectors_root() / "c2sp-spec-examples" / "examples.json"
    layout = json.loads(path.read_bytes())["tile_layout"]
    for index, place in layout["path"].items():
        assert Tile(0, int(index)).path() == f"tile/0/{place}"
    assert edge_shape(70_000) == [112, 17, 1]
    assert layout["70000"].startswith("273 full L0 + L0 partial 112; 1 full L1")
    assert edge_shape(256) == [0, 1]
