"""Proofs, tiles and entries as the reader gives them, against the definitions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.merkle.consistency import verify_consistency
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.merkle.ranges import verify_range
from provlog.merkle.tiles import Bundle, Tile, decode_bundle
from provlog.server.guard import ReleasedHead
from provlog.server.reader import BeyondHeadError, LogReader
from support.instances import SOURCE, Served, served
from support.naive_tree import NaiveTree

SIZE = 600
SIZES = (1, 2, 3, 7, 8, 100, 255, 256, 257, 400, 511, 512, 513, 599, 600)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        await running.fill(SIZE)
        yield running


@pytest.fixture
def reader(log: Served) -> LogReader:
    return LogReader(log.log, log.service.storage)


@pytest.fixture
async def leaves(log: Served) -> list[bytes]:
    return await log.service.storage.leaves(log.log.id, 0, SIZE)


@pytest.fixture
def tree(leaves: list[bytes]) -> NaiveTree:
    return NaiveTree([leaf_hash(leaf) for leaf in leaves])


async def test_inclusion_of_any_leaf_in_any_size(
    reader: LogReader, tree: NaiveTree
) -> None:
    assert await reader.head() == ReleasedHead(SIZE, tree.root())
    for size in SIZES:
        indexes = sorted({*range(0, size, 37), *SIZES} & set(range(size)))
        proofs = await reader.inclusions(indexes, size)
        for index in indexes:
            leaf = tree.leaves[index]
            verify_inclusion(index, size, leaf, proofs[index], tree.root(size))
        assert await reader.inclusion(size - 1, size) == tree.path(size - 1, size)


async def test_consistency_between_any_sizes(
    reader: LogReader, tree: NaiveTree
) -> None:
    for old in SIZES:
        for new in SIZES:
            if old <= new:
                proof = await reader.consistency(old, new)
                verify_consistency(old, tree.root(old), new, tree.root(new), proof)


async def test_ranges_of_any_size(reader: LogReader, tree: NaiveTree) -> None:
    for start, end, size in ((0, 1, 1), (0, 600, 600), (255, 257, 513), (5, 300, 599)):
        proof = await reader.range(start, end, size)
        verify_range(start, size, tree.leaves[start:end], proof, tree.root(size))


async def test_tiles_full_and_partial(reader: LogReader, tree: NaiveTree) -> None:
    for index, width in ((0, 256), (0, 1), (1, 255), (1, 256), (2, 1), (2, 88)):
        hashes = tree.leaves[index * 256 :][:width]
        assert await reader.tile(Tile(0, index, width)) == b"".join(hashes)
    roots = [tree.mth(0, 256), tree.mth(256, 512)]
    assert await reader.tile(Tile(1, 0, 1)) == roots[0]
    assert await reader.tile(Tile(1, 0, 2)) == b"".join(roots)


async def test_bundles_full_and_partial(reader: LogReader, leaves: list[bytes]) -> None:
    for index, width in ((0, 256), (0, 3), (1, 256), (2, 88)):
        data = await reader.bundle(Bundle(index, width))
        assert decode_bundle(data, width) == leaves[index * 256 :][:width]


async def test_entries_with_their_private_side(
    log: Served, reader: LogReader, leaves: list[bytes]
) -> None:
    log.execute("DELETE FROM private WHERE idx = ?", 7)
    log.execute("DELETE FROM openings WHERE idx = ?", 8)
    found = await reader.entries([8, 7, 300, 0, 7])
    assert sorted(found) == [0, 7, 8, 300]
    for index, entry in found.items():
        assert (entry.index, entry.leaf) == (index, leaves[index])
    assert (found[0].disclosures, found[7].disclosures) == (None, None)
    assert (found[7].openings is None, found[8].openings is None) == (False, True)
    assert await reader.entry(300) == found[300]
    assert await reader.leaf(300) == leaves[300]


async def test_an_event_is_found_by_source_and_id(reader: LogReader) -> None:
    assert await reader.find(SOURCE, "filler-5") == 5
    assert await reader.find(SOURCE, "filler-") is None
    assert await reader.find("urn:other", "filler-5") is None


async def test_nothing_beyond_the_released_head_is_read(
    log: Served, reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a commit has made durable is not yet to be shown.
    head = ReleasedHead(500, await log.log.tree.root(500))
    monkeypatch.setattr(log.log, "released", head)

    async def refresh() -> ReleasedHead:
        return head

    monkeypatch.setattr(log.log, "refresh", refresh)
    for asked in (
        reader.inclusion(0, 501),
        reader.inclusion(500, 500),
        reader.consistency(1, 501),
        reader.range(0, 1, 501),
        reader.tile(Tile(0, 1, 245)),
        reader.tile(Tile(0, 1)),
        reader.tile(Tile(1, 0, 2)),
        reader.tile(Tile(63, 0, 1)),
        reader.bundle(Bundle(1, 245)),
        reader.leaf(500),
        reader.entry(500),
    ):
        with pytest.raises(BeyondHeadError):
            await asked
    assert await reader.find(SOURCE, "filler-500") is None
    assert await reader.find(SOURCE, "filler-499") == 499
    assert len(await reader.tile(Tile(0, 1, 244))) == 244 * 32


async def test_partial_tiles_need_no_edge_at_hand(
    log: Served, reader: LogReader, tree: NaiveTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after another process moved the head: the edge here is of a smaller tree.
    monkeypatch.setattr(log.log, "edge", await log.log.tree.edge(300))
    proof = await reader.inclusion(599, 600)
    verify_inclusion(599, 600, tree.leaves[599], proof, tree.root())
    assert await reader.tile(Tile(0, 1, 40)) == b"".join(tree.leaves[256:296])
    assert await reader.tile(Tile(0, 1)) == b"".join(tree.leaves[256:512])
