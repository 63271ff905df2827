"""What every storage answers about committed rows."""

from dataclasses import replace

import pytest

from provlog.merkle.edge import edge_shape
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.labels import LABEL_SIZE, LabelKind
from provlog.merkle.receipts import Openings
from provlog.merkle.tiles import Tile
from provlog.server.storage.base import NewEntry, Private, StorageError, StoredKey
from provlog.server.storage.rows import EMPTY_HEAD
from provlog.server.tree import TileCache, Tree
from support.engines import Engine
from support.written_logs import WrittenLog, key_of, numbered

NOWHERE = 2**40
OPENINGS = Openings(
    bytes(range(16)),
    ((LabelKind.TARGET, b"t" * LABEL_SIZE), (LabelKind.RESOURCE, b"~" * LABEL_SIZE)),
)


async def test_a_new_log_is_found_and_empty(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage)
        assert await storage.log(log.record.name) == log.record
        assert log.record in await storage.logs()
        assert await storage.head(log.id) == EMPTY_HEAD
        assert (await storage.heads())[log.id] == EMPTY_HEAD
        assert await storage.leaves(log.id, 0, 0) == []
        assert await storage.sources(log.id) == []
        assert await storage.find_keys(log.id, [key_of("a")]) == {}


async def test_public_or_not_is_kept(engine: Engine) -> None:
    async with engine.opened() as storage:
        made = await WrittenLog.create(storage)
        public = replace(made.record, public=True, name=made.record.name + "-public")
        public = replace(public, origin=made.record.origin + "-public")
        async with storage.transaction() as transaction:
            number = await transaction.create_log(public)
            await transaction.commit()
        assert await storage.log(public.name) == replace(public, id=number)


async def test_a_log_that_is_not_there_has_nothing(engine: Engine) -> None:
    async with engine.opened() as storage:
        assert await storage.log("no-such-log") is None
        assert NOWHERE not in await storage.heads()
        with pytest.raises(StorageError, match="no head row"):
            await storage.head(NOWHERE)
        for read in (storage.leaves, storage.leaf_hashes):
            with pytest.raises(StorageError, match="2 rows of entries are missing"):
                await read(NOWHERE, 0, 2)
        for read_tiles in (storage.tiles, storage.tile_roots):
            with pytest.raises(StorageError, match="2 rows of tiles are missing"):
                await read_tiles(NOWHERE, 0, 0, 2)
        assert await storage.private(NOWHERE, 0) is None
        assert await storage.openings(NOWHERE, 0) is None
        assert await storage.source(NOWHERE, "urn:x") is None
        assert await storage.cursor(NOWHERE, "urn:x") is None
        assert await storage.token("none") is None


async def test_lists_are_sorted_by_code_points(engine: Engine) -> None:
    async with engine.opened() as storage:
        for name in ("b", "B", "a-b", "a.a", "a_a", "aa"):
            await WrittenLog.create(storage, name=name)
        names = [log.name for log in await storage.logs()]
        assert names == sorted(names)


async def test_leaves_come_back_byte_for_byte(engine: Engine) -> None:
    leaves = [b"{}", bytes(range(256)), b"\0\\x5c'~", b"\xff" * 65_535]
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, leaves)
        assert await storage.leaves(log.id, 0, 4) == leaves
        assert await storage.leaves(log.id, 1, 3) == leaves[1:3]
        hashes = [leaf_hash(leaf) for leaf in leaves]
        assert await storage.leaf_hashes(log.id, 0, 4) == hashes
        assert await storage.leaf_hashes(log.id, 3, 4) == hashes[3:]
        assert await storage.leaf_hashes(log.id, 2, 2) == []


async def test_a_missing_row_is_an_error_and_never_left_out(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        for read in (storage.leaves, storage.leaf_hashes):
            with pytest.raises(StorageError, match="1 rows of entries are missing"):
                await read(log.id, 0, 4)
        for read_tiles in (storage.tiles, storage.tile_roots):
            with pytest.raises(StorageError, match="1 rows of tiles are missing"):
                await read_tiles(log.id, 0, 0, 1)


async def test_the_private_side_comes_back_as_it_was(engine: Engine) -> None:
    sides = (
        Private(("WyJzYWx0IiwiYSIsMV0", "WyJzYWx0IiwiYiIsMl0"), b"k" * 32, b"d" * 32),
        Private(()),
        None,
    )
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage)
        entries = [
            NewEntry(index, b"{%d}" % index, None, side, OPENINGS if index else None)
            for index, side in enumerate(sides)
        ]
        await log.commit(storage, log.extension(entries))
        for index, side in enumerate(sides):
            assert await storage.private(log.id, index) == side
            expected = OPENINGS if index else None
            assert await storage.openings(log.id, index) == expected
        assert await storage.private_rows(log.id, 0, 3) == {0: sides[0], 1: sides[1]}
        assert await storage.private_rows(log.id, 1, 9) == {1: sides[1]}
        assert await storage.opening_rows(log.id, 0, 2) == {1: OPENINGS}
        assert await storage.opening_rows(log.id, 0, 0) == {}
        assert await storage.private_rows(NOWHERE, 0, 3) == {}


async def test_a_snapshot_stays_as_it_was_while_others_write(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        before = log.head
        async with storage.snapshot() as snapshot:
            await log.append(storage, [b"{}"])
            assert await snapshot.head(log.id) == before
            assert (await snapshot.heads())[log.id] == before
            with pytest.raises(StorageError, match="1 rows of entries are missing"):
                await snapshot.leaves(log.id, 0, 4)
        async with storage.snapshot() as snapshot:
            assert await snapshot.leaves(log.id, 0, 4) == log.leaves


async def test_keys_are_found_with_what_tells_a_repetition(engine: Engine) -> None:
    private = Private(("x",), b"k" * 32, b"d" * 32)
    keys = [key_of(str(index)) for index in range(1200)]
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage)
        entries = [
            NewEntry(index, b"{%d}" % index, key, None if index % 7 else private, None)
            for index, key in enumerate(keys)
        ]
        await log.commit(storage, log.extension(entries))
        asked = [*keys[:1000], key_of("other"), keys[0]]
        found = await storage.find_keys(log.id, asked)
        assert found == {
            key: StoredKey(index, None if index % 7 else private)
            for index, key in enumerate(keys[:1000])
        }
        assert await storage.find_keys(log.id, []) == {}
        other = await WrittenLog.create(storage)
        assert await storage.find_keys(other.id, keys[:3]) == {}
        entry = NewEntry(0, b"{}", keys[7], Private(("other",)), None)
        await other.commit(storage, other.extension([entry]))
        theirs = StoredKey(0, Private(("other",)))
        assert await storage.find_keys(other.id, keys[:9]) == {keys[7]: theirs}
        ours = StoredKey(7, private)
        assert await storage.find_keys(log.id, keys[7:8]) == {keys[7]: ours}


async def test_tiles_of_every_size_and_level_are_stored_or_derived(
    engine: Engine,
) -> None:
    # Past 65,536 leaves there are full tiles of level 1 and a partial one of level 2.
    sizes = (1, 255, 256, 257, 300, 65_535, 65_536, 65_537, 66_000)
    leaves = numbered(sizes[-1])
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage)
        for size in (1, 255, 300, 65_535, sizes[-1]):
            await log.append(storage, leaves[len(log.leaves) : size])
        naive = log.naive()
        tree = Tree(storage, log.id, TileCache(8))
        for at in sizes:
            assert await tree.root(at) == naive.root(at)
            assert (await tree.edge(at)).root() == naive.root(at)
            for level, width in enumerate(edge_shape(at)):
                if not width:
                    continue
                index = at >> 8 * (level + 1)
                span = 256**level
                first = index * 256 * span
                assert await tree.tile(Tile(level, index, width)) == b"".join(
                    naive.mth(first + place * span, first + (place + 1) * span)
                    for place in range(width)
                )
        with pytest.raises(StorageError):
            await tree.tile(Tile(0, sizes[-1] // 256))
