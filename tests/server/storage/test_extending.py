"""Every storage only lets a log grow: nothing is written twice, no head goes back."""

from dataclasses import replace
from typing import Any

import pytest

from provlog.merkle.edge import RightEdge
from provlog.merkle.labels import LABEL_SIZE, LabelKind
from provlog.merkle.receipts import Openings
from provlog.server.storage.base import (
    AlreadyExistsError,
    Extension,
    NewEntry,
    Private,
    SourceRecord,
    Storage,
    StorageError,
)
from provlog.server.storage.rows import EMPTY_HEAD
from support.engines import Engine, new_record
from support.written_logs import WrittenLog, key_of, numbered


async def extend(storage: Storage, extension: Extension) -> None:
    async with storage.transaction() as transaction:
        await transaction.lock(extension.log)
        await transaction.extend(extension)
        await transaction.commit()


async def refused(storage: Storage, extension: Extension) -> type[StorageError]:
    """Return what an extension is refused with."""
    with pytest.raises(StorageError) as raised:
        await extend(storage, extension)
    return raised.type


async def test_an_index_is_taken_once(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        again = log.extension([NewEntry(2, b"other", None, None, None)])
        assert await refused(storage, again) is AlreadyExistsError
        assert await storage.leaves(log.id, 0, 3) == log.leaves
        assert await storage.head(log.id) == log.head
        other = await WrittenLog.create(storage, numbered(4))
        assert await storage.leaves(other.id, 2, 4) == other.leaves[2:]


async def test_a_key_is_taken_once_in_a_log(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage)
        entry = NewEntry(0, b"{}", key_of("a"), None, None)
        await log.commit(storage, log.extension([entry]))
        again = log.extension([NewEntry(1, b"{}", key_of("a"), None, None)])
        assert await refused(storage, again) is AlreadyExistsError
        twice = [NewEntry(n, b"{}", key_of("b"), None, None) for n in (1, 2)]
        assert await refused(storage, log.extension(twice)) is AlreadyExistsError
        other = await WrittenLog.create(storage)
        await other.commit(storage, other.extension([entry]))
        assert await storage.head(log.id) == log.head


async def test_a_full_tile_is_written_once(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage)
        filling = log.extension(log.entries(numbered(256)))
        await log.commit(storage, filling)
        next_one = log.extension(log.entries([b"{}"]))
        again = replace(next_one, tiles=filling.tiles)
        assert await refused(storage, again) is AlreadyExistsError
        assert await storage.tiles(log.id, 0, 0, 1) == [filling.tiles[0].data]
        assert await storage.tile_roots(log.id, 0, 0, 1) == [filling.tiles[0].root]


SMALLER: list[dict[str, Any]] = [
    {"size": 2},
    {"root": bytes(32)},
    {"recorded": 0},
    {"epoch": 0},
    {"events": 4},
    {"events": -1},
]


@pytest.mark.parametrize("change", SMALLER, ids=str)
async def test_a_head_never_goes_back(engine: Engine, change: dict[str, Any]) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        changed = Extension(log.id, replace(log.head, **change), [], [])
        await refused(storage, changed)
        assert await storage.head(log.id) == log.head
        assert await storage.barrier(log.id) == log.head


async def test_a_new_log_can_be_loaded_all_at_once(engine: Engine) -> None:
    private = Private(("WyJzIiwiYSIsMV0",), b"k" * 32, b"d" * 32)
    openings = Openings(bytes(16), ((LabelKind.TARGET, b"t" * LABEL_SIZE),))
    record = new_record()
    async with engine.opened() as storage:
        async with storage.transaction() as transaction:
            number = await transaction.create_log(record)
            empty = replace(record, id=number)
            log = WrittenLog(number, empty, [], RightEdge.empty(), EMPTY_HEAD)
            for start in (0, 600):
                entries = [
                    NewEntry(n, b"{%d}" % n, key_of(f"{number}-{n}"), private, openings)
                    for n in range(start, start + 600)
                ]
                source = SourceRecord(f"urn:{start}", "urn:x", None)
                extension = log.extension(entries)
                extension = replace(extension, sources=[(start, source)])
                await transaction.load(extension)
                log.added(extension)
            await transaction.commit()
        assert await storage.head(number) == log.head
        assert await storage.leaves(number, 0, 1200) == log.leaves
        roots = [log.naive().mth(256 * n, 256 * n + 256) for n in range(4)]
        assert await storage.tile_roots(number, 0, 0, 4) == roots
        keys = [key_of(f"{number}-{n}") for n in (0, 599, 600, 1199)]
        found = await storage.find_keys(number, keys)
        assert [found[key].index for key in keys] == [0, 599, 600, 1199]
        assert await storage.private(number, 1199) == private
        assert await storage.openings(number, 600) == openings
        assert [each.uri for each in await storage.sources(number)] == [
            "urn:0",
            "urn:600",
        ]
        await log.append(storage, [b"{}"])


async def test_a_head_keeps_all_it_is_given(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        plain = log.extension(log.entries([b"{}"]))
        moved = replace(plain.head, events=4, epoch=7, recorded=2**52)
        await log.commit(storage, replace(plain, head=moved))
        assert await storage.head(log.id) == moved
        assert (await storage.heads())[log.id] == moved
