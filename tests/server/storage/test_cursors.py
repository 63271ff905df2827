"""Every storage's cursors: durable, of a registered source, and the newest counts."""

from dataclasses import replace

import pytest

from provlog.server.storage.base import Cursor, SourceRecord, Storage, StorageError
from support.engines import Engine
from support.written_logs import WrittenLog, save_cursor

SOURCE = "urn:okta:acme"
CURSOR = Cursor(SOURCE, "2026-11-21T17:53:55.516Z", 1_800_000_000_000)


async def log_with_source(storage: Storage) -> WrittenLog:
    log = await WrittenLog.create(storage)
    extension = log.extension(log.entries([b"{admin}"]))
    source = SourceRecord(SOURCE, SOURCE, None)
    await log.commit(storage, replace(extension, sources=[(0, source)]))
    return log


async def test_a_cursor_is_there_for_other_processes_and_later_ones(
    engine: Engine,
) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await log_with_source(storage)
        stranger = await log_with_source(storage)
        assert await storage.cursor(log.id, SOURCE) is None
        later = Cursor(SOURCE, "2026-11-21T17:53:55.517Z", CURSOR.updated + 1)
        longest = Cursor(SOURCE, "ü" * 1024, 0)
        for cursor in (CURSOR, later, CURSOR, longest):
            await save_cursor(other, log.id, cursor)
            assert await storage.cursor(log.id, SOURCE) == cursor
            assert await storage.cursor(stranger.id, SOURCE) is None
            assert await storage.cursor(log.id, "urn:x") is None
            assert (log.id, SOURCE, cursor.updated) in await other.polled(10_000)
        assert await other.polled(0) == []


async def test_a_cursor_belongs_to_a_source_of_its_log(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await log_with_source(storage)
        stranger = await WrittenLog.create(storage)
        await save_cursor(storage, log.id, CURSOR)
        for number, unusable in (
            (log.id, Cursor("urn:x", "p", 0)),
            (log.id, Cursor(SOURCE, "", 0)),
            (log.id, Cursor(SOURCE, "x" * 1025, 0)),
            (stranger.id, CURSOR),
        ):
            with pytest.raises(StorageError) as refused:
                await save_cursor(storage, number, unusable)
            assert refused.type is StorageError
        assert await storage.cursor(log.id, SOURCE) == CURSOR
