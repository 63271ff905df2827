"""Every storage only lets a log grow: nothing is written twice, no head goes back."""

from dataclasses import replace
from typing import Any

import pytest

from provlog.server.storage.base import (
    AlreadyExistsError,
    Extension,
    NewEntry,
    Storage,
    StorageError,
)
from support.engines import Engine
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


async def test_a_head_keeps_all_it_is_given(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(3))
        plain = log.extension(log.entries([b"{}"]))
        moved = replace(plain.head, events=4, epoch=7, recorded=2**52)
        await log.commit(storage, replace(plain, head=moved))
        assert await storage.head(log.id) == moved
        assert (await storage.heads())[log.id] == moved
