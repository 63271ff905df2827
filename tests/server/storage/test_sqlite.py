"""SQLite's own: triggers against any connection, settings that flush, the file."""

from pathlib import Path

import apsw
import pytest

from provlog.server.storage.base import (
    AlreadyExistsError,
    Cursor,
    DamagedCursorError,
)
from provlog.server.storage.sqlite import SqliteStorage, create_database
from support.services import SOURCE, fill, make_instance, running
from support.written_logs import save_cursor

FORBIDDEN = {
    "entries": ("leaf", "x'7b7d'"),
    "tiles": ("root", "zeroblob(32)"),
    "keys": ("idx", "0"),
}


@pytest.mark.parametrize("table", FORBIDDEN)
async def test_entries_tiles_and_keys_are_insert_only(
    tmp_path: Path, table: str
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await fill(service, log, 300)
        storage = service.storage
        assert isinstance(storage, SqliteStorage)
        column, value = FORBIDDEN[table]
        columns = ", ".join(
            name
            for _, name, *_ in storage._writer.execute(f"PRAGMA table_info({table})")
        )
        for statement in (
            f"UPDATE {table} SET {column} = {value}",
            f"DELETE FROM {table}",
            f"INSERT OR REPLACE INTO {table} SELECT {columns} FROM {table} LIMIT 1",
            f"REPLACE INTO {table} SELECT {columns} FROM {table} LIMIT 1",
        ):
            with pytest.raises(apsw.ConstraintError, match="insert-only"):
                storage._writer.execute(statement)


FINAL = (
    "UPDATE logs SET origin = 'example.com/x'",
    "DELETE FROM logs",
    "INSERT OR REPLACE INTO logs SELECT * FROM logs",
    "INSERT OR REPLACE INTO heads SELECT log, 0, root, 0, 1, 0, 0 FROM heads",
    "UPDATE sources SET ns = 'urn:y'",
    "DELETE FROM sources",
    "INSERT OR REPLACE INTO sources SELECT log, uri, 'y', NULL, idx FROM sources",
    "UPDATE tokens SET roles = '[]'",
    "UPDATE tokens SET revoked = 1, rate = 5",
    "UPDATE tokens SET revoked = NULL",
    "DELETE FROM tokens",
    "INSERT OR REPLACE INTO tokens SELECT * FROM tokens",
    "UPDATE private SET disclosures = ''",
    "UPDATE openings SET nonce = zeroblob(16)",
)


@pytest.mark.parametrize("statement", FINAL)
async def test_what_is_registered_stays_as_it_is_from_any_connection(
    tmp_path: Path, statement: str
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await fill(service, log, 2)
        await service.source(log, "urn:x", "test")
    # Another program's connection has none of our settings.
    connection = apsw.Connection(str(instance.database))
    before = list(connection.execute("SELECT * FROM logs, heads, tokens"))
    with pytest.raises(apsw.ConstraintError):
        connection.execute(statement)
    assert list(connection.execute("SELECT * FROM logs, heads, tokens")) == before
    connection.execute("UPDATE tokens SET revoked = 5")
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "size = size - 1",
        "root = zeroblob(32)",
        "events = events - 1",
        "recorded = recorded - 1",
        "log = log + 1",
        "size = size + 1, events = size + 2",
    ],
)
async def test_a_head_only_grows(tmp_path: Path, change: str) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await fill(service, log, 2)
        assert isinstance(service.storage, SqliteStorage)
        with pytest.raises(apsw.ConstraintError):
            service.storage._writer.execute(f"UPDATE heads SET {change}")
        with pytest.raises(apsw.ConstraintError):
            service.storage._writer.execute("DELETE FROM heads")


async def test_a_commit_is_flushed_and_what_is_deleted_is_overwritten(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    storage = SqliteStorage(instance.database)
    for connection in (storage._writer, storage._connection):
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("secure_delete") == 1
        assert connection.pragma("recursive_triggers") == 1
    await storage.close()


def test_a_database_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "provlog.db"
    create_database(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AlreadyExistsError):
        create_database(path)


async def test_a_barrier_changes_the_head_row_so_that_it_is_flushed(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    storage = SqliteStorage(instance.database)
    log = await storage.log("main")
    assert log is not None
    marks = "SELECT barrier FROM heads"
    [(mark,)] = storage._connection.execute(marks)
    await storage.barrier(log.id)
    assert list(storage._connection.execute(marks)) == [(mark + 1,)]
    await storage.close()


CURSOR = Cursor(SOURCE, "2026-11-21T17:53:55.516Z", 1_800_000_000_000)


async def test_a_cursor_stays_with_its_source(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await service.source(log, SOURCE, "test")
        storage = service.storage
        assert isinstance(storage, SqliteStorage)
        await save_cursor(storage, log.id, CURSOR)
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
        await save_cursor(storage, log.id, CURSOR)
        later = "UPDATE cursors SET position = '2036-11-21T17:53:55.516Z'"
        storage._writer.execute(later)
        with pytest.raises(DamagedCursorError, match=SOURCE):
            await storage.cursor(log.id, SOURCE)
