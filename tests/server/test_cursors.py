"""Cursors in the database: durable, of a registered source, and never out of sight."""

from pathlib import Path

import apsw
import pytest

from provlog.server.storage.base import Cursor, DamagedCursorError, StorageError
from provlog.server.storage.sqlite import SqliteStorage
from support.services import SOURCE, make_instance, running

CURSOR = Cursor(SOURCE, "2026-11-21T17:53:55.516Z", 1_800_000_000_000)


async def save(storage: SqliteStorage, log: int, cursor: Cursor) -> None:
    async with storage.transaction() as transaction:
        await transaction.set_cursor(log, cursor)
        assert await transaction.cursor(log, cursor.source) == cursor
        await transaction.commit()


async def test_a_cursor_is_there_for_other_processes_and_later_ones(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await service.source(log, SOURCE, "test")
        assert await service.storage.cursor(log.id, SOURCE) is None
        other = SqliteStorage(instance.database)
        later = Cursor(SOURCE, "2026-11-21T17:53:55.517Z", CURSOR.updated + 1)
        for cursor in (CURSOR, later):
            await save(other, log.id, cursor)
            assert await service.storage.cursor(log.id, SOURCE) == cursor
            assert await service.storage.cursor(log.id + 1, SOURCE) is None
            assert await service.storage.cursor(log.id, "urn:x") is None
        await other.close()


async def test_a_transaction_that_is_left_moves_no_cursor(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await service.source(log, SOURCE, "test")
        async with service.storage.transaction() as transaction:
            await transaction.set_cursor(log.id, CURSOR)
        assert await service.storage.cursor(log.id, SOURCE) is None


async def test_a_cursor_belongs_to_a_source_and_stays(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await service.source(log, SOURCE, "test")
        storage = service.storage
        assert isinstance(storage, SqliteStorage)
        await save(storage, log.id, CURSOR)
        for unknown in (Cursor("urn:x", "p", 0), Cursor(SOURCE, "", 0)):
            with pytest.raises(StorageError) as refused:
                await save(storage, log.id, unknown)
            assert refused.type is StorageError
        for statement in (
            "DELETE FROM cursors",
            "UPDATE cursors SET source = 'urn:x'",
            "UPDATE cursors SET log = 2",
            "INSERT INTO cursors SELECT log, 'urn:x', position, updated, digest"
            " FROM cursors",
            "INSERT OR REPLACE INTO cursors SELECT * FROM cursors",
        ):
            with pytest.raises(apsw.ConstraintError, match="a cursor"):
                storage._writer.execute(statement)
        assert await storage.cursor(log.id, SOURCE) == CURSOR


async def test_a_damaged_cursor_is_not_believed(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await service.source(log, SOURCE, "test")
        storage = service.storage
        assert isinstance(storage, SqliteStorage)
        await save(storage, log.id, CURSOR)
        later = "UPDATE cursors SET position = '2036-11-21T17:53:55.516Z'"
        storage._writer.execute(later)
        with pytest.raises(DamagedCursorError, match=SOURCE):
            await storage.cursor(log.id, SOURCE)
