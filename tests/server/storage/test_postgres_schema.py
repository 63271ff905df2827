"""Versions of the PostgreSQL schema: one way to each, and what other ones are told."""

import asyncio

import pytest

from provlog.server.storage.base import SchemaError
from provlog.server.storage.postgres import schema
from provlog.server.storage.postgres.schema import (
    SCHEMA_VERSION,
    create_database,
    migrate_database,
)
from provlog.server.storage.postgres.storage import PostgresStorage
from support.postgres import Cluster
from support.postgres_sessions import opened
from support.written_logs import WrittenLog, numbered

pytestmark = pytest.mark.needs("postgres")

GRANTED = """
GRANT USAGE ON SCHEMA provlog TO {0};
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA provlog TO {0};
GRANT UPDATE (size, root, events, epoch, recorded, barrier) ON provlog.heads TO {0};
"""
"""What --grant-to of a program of version 1 gave, more or less."""


@pytest.fixture
def owner(postgres: Cluster) -> str:
    return postgres.create_role("owner")


@pytest.fixture
def database(postgres: Cluster, owner: str) -> str:
    return postgres.create_database(owner)


@pytest.fixture
def url(postgres: Cluster, owner: str, database: str) -> str:
    """Return the owner's URL of an empty database."""
    return postgres.dsn(database, owner)


async def refusal(url: str) -> str:
    """Return what a server is told that opens the database."""
    storage = PostgresStorage(url)
    with pytest.raises(SchemaError) as refused:
        await storage.open()
    await storage.close()
    return str(refused.value)


async def test_other_versions_are_not_served_and_told_what_to_do(
    postgres: Cluster, database: str, url: str
) -> None:
    assert "run provlog-server init --database URL" in await refusal(url)
    await create_database(url, version=1)
    told = await refusal(url)
    assert f"schema version 1, this program works with {SCHEMA_VERSION}" in told
    assert "provlog-server migrate --database URL" in told
    assert await migrate_database(url) == (1, SCHEMA_VERSION)
    async with opened(url):
        pass
    newer = f"UPDATE provlog.schema_version SET version = {SCHEMA_VERSION + 1}"
    await asyncio.to_thread(postgres.execute, newer, database)
    assert "written by a newer provlog" in await refusal(url)
    with pytest.raises(SchemaError, match="newer provlog"):
        await migrate_database(url)


async def test_a_migration_keeps_what_is_there_and_lets_the_servers_go_on(
    postgres: Cluster, database: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stranger = postgres.create_role("server"), postgres.create_role("stranger")
    odd = f'Odd "{server}"'
    quoted = odd.replace('"', '""')
    await asyncio.to_thread(postgres.execute, f'CREATE ROLE "{quoted}" LOGIN')
    serving = postgres.dsn(database, server)
    await create_database(url, version=1)
    await asyncio.to_thread(postgres.execute, GRANTED.format(server), database)
    with monkeypatch.context() as older:
        older.setattr(schema, "SCHEMA_VERSION", 1)
        async with opened(serving) as storage:
            log = await WrittenLog.create(storage, numbered(300))
    assert await migrate_database(url, odd) == (1, SCHEMA_VERSION)
    async with opened(serving) as storage:
        assert await storage.head(log.id) == log.head
        assert await storage.leaves(log.id, 0, 300) == log.leaves
        assert await storage.cursor(log.id, "urn:x") is None
        await log.append(storage, [b"{}"])
    for role, expected in ((server, "t"), (odd, "t"), (stranger, "f")):
        rights = f"SELECT has_any_column_privilege('{role}', oid, 'UPDATE')"
        rights += " FROM pg_class WHERE relname = 'cursors' AND relkind = 'r'"
        assert await asyncio.to_thread(postgres.execute, rights, database) == expected


async def test_two_that_migrate_at_once_both_find_it_done(url: str) -> None:
    await create_database(url, version=1)
    found = await asyncio.gather(*(migrate_database(url) for _ in range(3)))
    done = (SCHEMA_VERSION, SCHEMA_VERSION)
    assert sorted(found) == [(1, SCHEMA_VERSION), done, done]


async def test_a_migration_is_whole_or_not_at_all(
    postgres: Cluster, database: str, url: str
) -> None:
    await create_database(url, version=1)
    # A function is there already: the script breaks off after it has begun.
    in_the_way = "CREATE FUNCTION provlog.keep_source() RETURNS int RETURN 1"
    await asyncio.to_thread(postgres.execute, in_the_way, database)
    with pytest.raises(Exception, match="DuplicateFunctionError"):
        await migrate_database(url)
    assert "schema version 1" in await refusal(url)
    tables = "SELECT to_regclass('provlog.cursors') IS NULL"
    assert await asyncio.to_thread(postgres.execute, tables, database) == "t"
    drop = "DROP FUNCTION provlog.keep_source()"
    await asyncio.to_thread(postgres.execute, drop, database)
    assert await migrate_database(url) == (1, SCHEMA_VERSION)
