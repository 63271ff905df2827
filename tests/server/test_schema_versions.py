"""Versions of the schema: one way to each of them, and what other ones are told."""

import json
from hashlib import sha256
from importlib import resources
from pathlib import Path

import apsw
import pytest

from provlog.server.instance import Instance
from provlog.server.storage import sqlite
from provlog.server.storage.base import (
    SchemaError,
    StorageBusyError,
)
from provlog.server.storage.postgres.schema import MIGRATIONS as POSTGRES_MIGRATIONS
from provlog.server.storage.sqlite import (
    create_database,
    migrate_database,
)
from provlog.server.storage.sqlite_schema import (
    MIGRATIONS,
    SCHEMA_VERSION,
    apply_schema,
)
from support.checked_instance import check
from support.older_databases import UNDO, change
from support.servers import Server, run_server_command
from support.services import SOURCE, append, draft, fill, make_instance, running

RELEASED = {
    "sqlite-0001-initial.sql": "b7b2563ad3f518641219e0837fbc4b69",
    "sqlite-0002-cursors.sql": "4fe5ee24eb6f15381ff79d4d76febdf5",
}
RELEASED_POSTGRES = {
    "postgres-0001-initial.sql": "5a87c8bf753b3698bfdacda31cd76235",
    "postgres-0002-cursors.sql": "c9e08290632f74178d991cd15a82fb6c",
}
"""Beginnings of the SHA-256 of the scripts that databases out there were made with."""


def objects(path: Path) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    found = [*rows, ("version", connection.pragma("user_version"), None)]
    connection.close()
    return found


def old_database(path: Path, version: int) -> None:
    connection = apsw.Connection(str(path))
    apply_schema(connection, version)
    connection.close()


def test_a_released_script_never_changes() -> None:
    folder = resources.files("provlog.server.storage") / "sql"
    found = {
        each.name: sha256(each.read_bytes()).hexdigest()[:32]
        for each in folder.iterdir()
        if each.name in MIGRATIONS + POSTGRES_MIGRATIONS
    }
    assert found == RELEASED | RELEASED_POSTGRES
    assert tuple(RELEASED) == MIGRATIONS
    assert tuple(RELEASED_POSTGRES) == POSTGRES_MIGRATIONS


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_migrated_database_has_the_schema_of_a_new_one(
    tmp_path: Path, version: int
) -> None:
    create_database(tmp_path / "new.db")
    old_database(tmp_path / "old.db", version)
    assert migrate_database(tmp_path / "old.db") == (version, SCHEMA_VERSION)
    assert objects(tmp_path / "old.db") == objects(tmp_path / "new.db")
    again = migrate_database(tmp_path / "old.db")
    assert again == (SCHEMA_VERSION, SCHEMA_VERSION)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_a_database_of_another_program_is_not_migrated(
    tmp_path: Path, version: int
) -> None:
    old_database(tmp_path / "odd.db", 1)
    connection = apsw.Connection(str(tmp_path / "odd.db"))
    connection.pragma("user_version", version)
    connection.close()
    before = objects(tmp_path / "odd.db")
    with pytest.raises(SchemaError, match=f"version {version}, "):
        migrate_database(tmp_path / "odd.db")
    assert objects(tmp_path / "odd.db") == before


def test_a_migration_is_whole_or_not_at_all(tmp_path: Path) -> None:
    # The table is there already: the script breaks off after it has begun.
    path = tmp_path / "old.db"
    old_database(path, 1)
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TRIGGER cursors_keep DELETE ON logs BEGIN SELECT 1; END")
    before = objects(path)
    with pytest.raises(Exception, match="cursors_keep already exists"):
        migrate_database(path)
    assert objects(path) == before
    connection.close()


def test_a_migration_waits_for_a_writer_and_then_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_database(tmp_path / "old.db", 1)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    connection = apsw.Connection(str(tmp_path / "old.db"))
    connection.pragma("journal_mode", "wal")
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusyError):
        migrate_database(tmp_path / "old.db")
    connection.execute("ROLLBACK")
    assert migrate_database(tmp_path / "old.db")[0] == 1
    connection.close()


async def test_a_process_that_runs_goes_on_writing_over_this_migration(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    change(instance.database, "DROP TABLE cursors", "PRAGMA user_version = 2")
    async with running(instance) as (service, log):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 300)
        change(instance.database, *UNDO[1:])
        assert migrate_database(instance.database) == (1, SCHEMA_VERSION)
        await append(service, log, draft(log, "after"))
    assert check(instance) == []


def test_commands_on_an_older_database_name_the_command_that_helps(
    tmp_path: Path,
) -> None:
    server = Server.init(tmp_path)
    instance = Instance(server.folder, server.guard)
    change(instance.database, *UNDO)
    for command in ("serve", "fsck", "log list"):
        done = run_server_command(*command.split(), "--dir", server.folder)
        assert done.returncode == 2, command
        assert f"provlog-server migrate --dir {server.folder}\n" in done.stderr
    migrate = ("migrate", "--dir", server.folder)
    assert run_server_command(*migrate).stdout == "schema version 1 is now 2\n"
    done = run_server_command(*migrate, "--json")
    assert json.loads(done.stdout) == {"from": 2, "to": 2}
    with server:
        assert server.url
    change(instance.database, "PRAGMA user_version = 3")
    done = run_server_command(*migrate)
    assert (done.returncode, done.stdout) == (2, "")
    assert "newer provlog" in done.stderr
