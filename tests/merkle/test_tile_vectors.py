"""Logs on disk and recorded digests that other implementations published."""

from functools import cache
from hashlib import sha256

import pytest

from provlog.merkle.compact import CompactRange
from provlog.merkle.consistency import build_consistency
from provlog.merkle.edge import RightEdge
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import EMPTY_ROOT, HASH_SIZE, leaf_hash
from provlog.merkle.inclusion import build_inclusion
from provlog.merkle.nodes import Node, decompose
from provlog.merkle.tiles import (
    Bundle,
    Tile,
    decode_bundle,
    nodes_from_tiles,
    parse_path,
    tiles_for,
)
from support.vector_claims_tree import (
    MIRROR,
    NAVIGLI,
    TESSERA,
    ct_leaves,
    golang_tile_paths,
    golang_tree_note,
    gosumdb_lines,
    roots,
    tile_files,
)
from support.vectors import record


def fetched_tiles(log: str, pattern: str) -> dict[Tile, bytes]:
    """Return the tiles of a log on disk, checked to be as long as named."""
    tiles = {}
    for file in tile_files(log, pattern):
        tile = parse_path(file.path)
        assert isinstance(tile, Tile)
        assert len(file.data) == tile.width * HASH_SIZE
        tiles[tile] = file.data
    return tiles


def root_from_tiles(size: int, tiles: dict[Tile, bytes]) -> bytes:
    nodes = decompose(0, size)
    hashes = nodes_from_tiles(nodes, size, tiles)
    return CompactRange(0, size, tuple(hashes[node] for node in nodes)).root()


def test_entry_bundles_of_tessera_hash_to_its_tiles() -> None:
    tiles = fetched_tiles(TESSERA, "tile/0/**/*")
    bundles = tile_files(TESSERA, "tile/entries/**/*")
    for file in bundles:
        bundle = parse_path(file.path)
        assert isinstance(bundle, Bundle)
        hashes = [leaf_hash(entry) for entry in decode_bundle(file.data, bundle.width)]
        assert b"".join(hashes) == tiles[Tile(0, bundle.index, bundle.width)]
    record("tessera-testdata-log", len(tiles) + len(bundles))


def test_tiles_of_tessera_lead_to_the_roots_of_its_checkpoints() -> None:
    tiles = fetched_tiles(TESSERA, "tile/0/**/*")
    checkpoints = roots(TESSERA)
    for size, root in checkpoints:
        asked = {tile: tiles[tile] for tile in tiles_for(decompose(0, size), size)}
        assert root_from_tiles(size, asked) == root
    record("tessera-testdata-log", len(checkpoints))


def test_tiles_of_a_sunlight_mirror_lead_to_the_root_of_its_checkpoint() -> None:
    tiles = fetched_tiles(MIRROR, "tile/[01]/**/*")
    ((size, root),) = roots(MIRROR)
    assert root_from_tiles(size, tiles) == root
    leaves = hashes_in(tiles[Tile(0, 0)] + tiles[Tile(0, 1, 44)])
    growth = RightEdge.empty().grow(leaves)
    assert growth.root == root
    assert b"".join(growth.edge.levels[1]) == tiles[Tile(1, 0, 1)]
    record("sunlight-testdata", len(tiles) + 1)


def hashes_in(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def test_tiles_of_a_certificate_log_are_taken_apart_and_put_together_again() -> None:
    tiles = {
        parse_path(f"tile/{file.path}"): file.data
        for file in tile_files(NAVIGLI, "0/**/*")
    }
    full = [tiles[Tile(0, index)] for index in range(4)]
    assert full[3].startswith(tiles[Tile(0, 3, 10)])
    growth = RightEdge.empty().grow(hashes_in(b"".join(full)))
    assert [tile.data for tile in growth.tiles] == full
    wanted = [Node(7, index) for index in range(8)]
    fetched = {Tile(0, index): full[index] for index in range(4)}
    hashes = nodes_from_tiles(wanted, 1024, fetched)
    assert hashes == {node: growth.nodes[node] for node in wanted}
    record("sunlight-testdata", len(tiles))


def test_certificates_hash_to_the_tile_beside_them() -> None:
    (tile,) = tile_files(NAVIGLI, "0/003.p/10")
    leaves = ct_leaves()
    assert [leaf_hash(leaf) for leaf in leaves] == hashes_in(tile.data)
    record("sunlight-testdata", len(leaves))


@pytest.mark.parametrize(("path", "good"), golang_tile_paths())
def test_tile_paths_are_judged_as_by_golang(path: str, *, good: bool) -> None:
    if good:
        assert parse_path(path).path() == path
    else:
        with pytest.raises(MalformedError):
            parse_path(path)
    record("golang-mod-sumdb-note", 1)


def test_a_leaf_is_hashed_as_by_golang() -> None:
    entry, expected = golang_tree_note()
    assert leaf_hash(entry) == expected
    record("golang-mod-sumdb-note", 1)


@cache
def gosumdb_leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"entry %d" % index) for index in range(count)]


def tiles_digest(size: int) -> tuple[str, str]:
    """Return the digest over every tile of a tree, and the tree's root."""
    growth = RightEdge.empty().grow(gosumdb_leaves(size))
    tiles = [(tile, data) for tile, data, _ in growth.tiles]
    for level, row in enumerate(growth.edge.levels):
        if row:
            full = sum(tile.level == level for tile, _, _ in growth.tiles)
            tiles.append((Tile(level, full, len(row)), b"".join(row)))
    digest = sha256()
    for tile, data in sorted(tiles):
        digest.update(tile.level.to_bytes(1, "big") + tile.index.to_bytes(8, "big"))
        digest.update(tile.width.to_bytes(2, "big") + data)
    return digest.hexdigest(), growth.root.hex()


def proofs_digest(kind: str, largest: int) -> str:
    """Return the digest over all proofs of one kind, as the recorded file says."""
    growth = RightEdge.empty().grow(gosumdb_leaves(largest))
    digest = sha256()
    for size in range(1, largest + 1):
        for at in range(size):
            if kind == "inclusion":
                proof = build_inclusion(at, size, growth.nodes)
            else:
                proof = build_consistency(at + 1, size, growth.nodes)
            digest.update(b"".join(proof))
    return digest.hexdigest()


@pytest.mark.parametrize("words", gosumdb_lines(), ids=" ".join)
def test_roots_proofs_and_tiles_are_those_recorded_with_golang(
    words: list[str],
) -> None:
    kind, size, *expected = words[0], int(words[1]), *words[2:]
    if kind == "root":
        edge = RightEdge.empty().grow(gosumdb_leaves(size)).edge
        assert [edge.root().hex()] == expected
    elif kind == "tiles":
        assert list(tiles_digest(size)) == expected
    else:
        assert [proofs_digest(kind, size)] == expected
    record("thesmos-core-checkpoint", 1)


def test_the_root_of_no_entries_is_published_too() -> None:
    published = dict(roots(TESSERA))
    assert published[0] == EMPTY_ROOT
