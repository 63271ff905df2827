"""Who may do what in PostgreSQL: the role that serves, the owner, and everybody else.

The first wall are rights: the role that serves has none but those it needs. The second
are triggers, which hold for the owner of the tables, too.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest

from provlog.server.batch import Appended, Repeated
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance, load_instance
from provlog.server.storage.base import Cursor
from provlog.server.storage.opening import open_storage
from provlog.server.storage.postgres.storage import PostgresStorage
from provlog.server.tokens import mint_token
from support.postgres import Cluster
from support.services import ORIGIN, SOURCE, append, draft, fill, now_ms, running
from support.written_logs import save_cursor

pytestmark = pytest.mark.needs("postgres")

READ_AND_APPEND = frozenset({"SELECT", "INSERT"})
TABLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "schema_version": frozenset({"SELECT"}),
        "logs": READ_AND_APPEND,
        "heads": READ_AND_APPEND,
        "entries": READ_AND_APPEND,
        "tiles": READ_AND_APPEND,
        "keys": READ_AND_APPEND,
        "private": READ_AND_APPEND,
        "openings": READ_AND_APPEND,
        "sources": READ_AND_APPEND,
        "tokens": READ_AND_APPEND,
        "cursors": READ_AND_APPEND,
    }
)
"""What the role that serves may do to each table."""
COLUMNS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "heads": frozenset({"size", "root", "events", "epoch", "recorded", "barrier"}),
        "tokens": frozenset({"revoked"}),
        "cursors": frozenset({"position", "updated", "digest"}),
    }
)
"""The columns it may change."""

_TABLE_RIGHTS = """
SELECT relname::text, kind FROM pg_class,
    unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS kind
WHERE relnamespace = 'provlog'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND has_table_privilege(oid, kind)
"""
_COLUMNS = """
SELECT c.relname::text, a.attname::text FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'provlog'::regnamespace AND c.relkind = 'r'
"""
_TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'provlog'"


@pytest.fixture(scope="module")
def instance(
    postgres: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """Yield an instance that an owner made, and that another role is to serve."""
    folder = tmp_path_factory.mktemp("privileges")
    owner, server = postgres.create_role("owner"), postgres.create_role("server")
    database = postgres.create_database(owner)
    place = Place(
        folder / "data", folder / "guard", postgres.dsn(database, owner), server
    )
    with asyncio.Runner() as runner:
        made = runner.run(
            initialise(place, origin=ORIGIN, sources=("*",), now=now_ms())
        ).instance
        runner.run(_fill(load_instance(made.folder, None)))
    yield made
    postgres.drop_database(database)


async def _fill(instance: Instance) -> None:
    """Put a row into every table, as the role that serves."""
    async with running(instance, storage=open_storage(instance)) as (service, log):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 300)
        await save_cursor(service.storage, log.id, Cursor(SOURCE, "p", 1))


@pytest.fixture
def serving(instance: Instance) -> Instance:
    """Return the instance as `serve` finds it: with the URL that `init` recorded."""
    return load_instance(instance.folder, None)


@asynccontextmanager
async def connected(url: str | None) -> AsyncIterator["asyncpg.Connection[Any]"]:
    assert url is not None
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def refusal(connection: "asyncpg.Connection[Any]", statement: str) -> str | None:
    """Return what a statement is refused with, None if it is not; nothing is kept."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return type(error).__name__
    finally:
        await transaction.rollback()
    return None


async def test_the_role_that_serves_has_these_rights_and_no_others(
    serving: Instance,
) -> None:
    async with connected(serving.database_url) as connection:
        found: dict[str, set[str]] = {}
        for table, kind in await connection.fetch(_TABLE_RIGHTS):
            found.setdefault(table, set()).add(kind)
        assert found == dict(TABLES)
        changing = """has_column_privilege('provlog.' || c.relname, a.attnum, 'UPDATE')
            OR has_column_privilege('provlog.' || c.relname, a.attnum, 'REFERENCES')"""
        columns: dict[str, set[str]] = {}
        for table, column in await connection.fetch(f"{_COLUMNS} AND ({changing})"):
            columns.setdefault(table, set()).add(column)
        assert columns == dict(COLUMNS)


async def test_it_is_refused_every_other_change_of_every_table_and_column(
    serving: Instance,
) -> None:
    async with connected(serving.database_url) as connection:
        tried = 0
        for table, column in await connection.fetch(_COLUMNS):
            statement = f"UPDATE provlog.{table} SET {column} = {column}"
            denied = await refusal(connection, statement)
            if column in COLUMNS.get(table, ()):
                assert denied != "InsufficientPrivilegeError", statement
            else:
                assert denied == "InsufficientPrivilegeError", statement
                tried += 1
        for (table,) in await connection.fetch(_TABLES):
            for statement in (
                f"DELETE FROM provlog.{table}",
                f"TRUNCATE provlog.{table}",
                f"TRUNCATE provlog.{table} CASCADE",
                f"LOCK TABLE provlog.{table} IN ACCESS EXCLUSIVE MODE",
                f"ALTER TABLE provlog.{table} DISABLE TRIGGER ALL",
                f"ALTER TABLE provlog.{table} DISABLE TRIGGER USER",
                f"ALTER TABLE provlog.{table} ADD COLUMN more text",
                f"ALTER TABLE provlog.{table} RENAME TO other",
                f"DROP TABLE provlog.{table} CASCADE",
                f"CREATE TRIGGER mine BEFORE INSERT ON provlog.{table}"
                " FOR EACH ROW EXECUTE FUNCTION provlog.refuse()",
                f"CREATE RULE mine AS ON INSERT TO provlog.{table} DO INSTEAD NOTHING",
                f"CREATE INDEX mine ON provlog.{table} ((1))",
            ):
                denied = await refusal(connection, statement)
                # What is granted by somebody who may not is a warning alone.
                expected = (
                    None if "GRANT" in statement else "InsufficientPrivilegeError"
                )
                assert denied == expected, statement
                tried += 1
        assert tried > 150


FORBIDDEN = (
    "SET session_replication_role = replica",
    "SET session_replication_role = local",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "DROP SCHEMA provlog CASCADE",
    "ALTER SCHEMA provlog RENAME TO other",
    "CREATE TABLE provlog.mine ()",
    "CREATE OR REPLACE FUNCTION provlog.refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NEW; END'",
    "DROP FUNCTION provlog.refuse() CASCADE",
    "DROP TRIGGER entries_stay ON provlog.entries",
    "ALTER TRIGGER entries_stay ON provlog.entries RENAME TO other",
    "SELECT * FROM provlog.entries FOR UPDATE",
    "INSERT INTO provlog.entries SELECT * FROM provlog.entries"
    " ON CONFLICT (log, idx) DO UPDATE SET leaf = '{}'",
    "INSERT INTO provlog.schema_version (version) VALUES (1)",
    "SELECT setval('provlog.logs_log_seq', 1)",
    "COPY provlog.entries FROM PROGRAM 'true'",
    "COPY provlog.entries TO '/tmp/entries'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT lo_import('/etc/passwd')",
    "DO LANGUAGE plpython3u ''",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_role_that_serves_gets_round_nothing(
    serving: Instance, statement: str
) -> None:
    async with connected(serving.database_url) as connection:
        denied = await refusal(connection, statement)
        assert denied in ("InsufficientPrivilegeError", "UndefinedObjectError")


async def test_it_has_nothing_to_give_away(serving: Instance) -> None:
    async with connected(serving.database_url) as connection:
        # That nothing was granted is a warning alone.
        given = "SELECT count(*) FROM information_schema.role_table_grants WHERE"
        given += " grantee = 'PUBLIC' AND table_schema = 'provlog'"
        async with connection.transaction():
            await connection.execute(
                "SET LOCAL client_min_messages = error;"
                "GRANT ALL ON ALL TABLES IN SCHEMA provlog TO PUBLIC"
            )
            assert await connection.fetchval(given) == 0


async def test_a_role_that_was_granted_nothing_sees_nothing(
    postgres: Cluster, serving: Instance
) -> None:
    async with connected(serving.database_url) as connection:
        database = await connection.fetchval("SELECT current_database()")
    stranger = postgres.dsn(database, postgres.create_role("stranger"))
    async with connected(stranger) as connection:
        for table in TABLES:
            denied = await refusal(connection, f"SELECT FROM provlog.{table}")
            assert denied == "InsufficientPrivilegeError"


OWNERS = {
    "logs": ("name = 'x'", "origin = 'x'", "log_key = 'x'", "public = NOT public"),
    "heads": (
        "size = size - 1",
        "root = repeat('x', 32)::bytea",
        "events = events - 1",
        "events = size + 1",
        "epoch = 0",
        "recorded = recorded - 1",
        "barrier = barrier - 1",
        "log = log + 1",
    ),
    "entries": ("leaf = leaf", "idx = idx + 1"),
    "tiles": ("root = root", "hashes = hashes"),
    "keys": ("idx = idx",),
    "private": ("disclosures = ''", "compare_key = NULL"),
    "openings": ("nonce = nonce", "labels = ''"),
    "sources": ("ns = 'x'", "connector = 'x'"),
    "tokens": (
        "digest = digest, revoked = NULL",
        "roles = '[\"admin\"]'",
        "revoked = 1, roles = '[\"admin\"]'",
        "revoked = 1, rate = 5",
        "revoked = 1, expires = 5",
        "id = 'x', revoked = 1",
    ),
    "cursors": ("source = 'urn:x'", "log = log + 1"),
    "schema_version": ("one = false",),
}
"""What the triggers and checks refuse the owner of the tables to set."""
MAY_BE_DELETED = frozenset({"private", "openings", "schema_version"})
"""What erasure takes away; and the version, which is no part of any log."""
REFUSED = {"RestrictViolationError", "CheckViolationError", "ForeignKeyViolationError"}


async def test_the_owner_is_refused_what_would_change_a_log(instance: Instance) -> None:
    async with connected(instance.database_url) as connection:
        tables = {table for (table,) in await connection.fetch(_TABLES)}
        assert tables == set(OWNERS) == set(TABLES)
        for table, changes in OWNERS.items():
            for change in changes:
                statement = f"UPDATE provlog.{table} SET {change}"
                assert await refusal(connection, statement) in REFUSED, statement
            if table != "schema_version":
                for statement in (
                    f"TRUNCATE provlog.{table}",
                    f"TRUNCATE provlog.{table} CASCADE",
                ):
                    assert await refusal(connection, statement) in (
                        "RestrictViolationError",
                        "FeatureNotSupportedError",  # another table refers to it
                    ), statement
            statement = f"DELETE FROM provlog.{table}"
            denied = await refusal(connection, statement)
            assert (denied is None) == (table in MAY_BE_DELETED), statement


async def test_a_revocation_is_final_for_the_owner_too(instance: Instance) -> None:
    async with connected(instance.database_url) as connection:
        revoke = "UPDATE provlog.tokens SET revoked = 5 WHERE revoked IS NULL;"
        assert await refusal(connection, revoke) is None
        for change in ("NULL", "6", "revoked"):
            statement = f"{revoke} UPDATE provlog.tokens SET revoked = {change}"
            assert await refusal(connection, statement) == "RestrictViolationError"


async def test_serving_takes_no_more_than_these_rights(serving: Instance) -> None:
    storage = open_storage(serving)
    async with running(serving, storage=storage) as (service, log):
        size = log.released.size
        [outcome] = await append(service, log, draft(log, "mine"))
        assert outcome == Appended(size, outcome.leaf, outcome.draft)  # type: ignore[union-attr]
        assert await append(service, log, draft(log, "mine")) == [Repeated(size)]
        await service.source(log, "urn:another", "test")
        await save_cursor(storage, log.id, Cursor("urn:another", "p", 1))
        await save_cursor(storage, log.id, Cursor("urn:another", "q", 2))
        token = mint_token(logs=[log.id], roles=["monitor"], now=now_ms()).record
        await service.store_token(log, token, "test")
        await service.revoke_token(log, token.id, "test")
        assert (await storage.token(token.id)).revoked is not None  # type: ignore[union-attr]
        other = await service.create_log("second", "log.example.com/2", public=True)
        await fill(service, other, 300)
        await storage.barriers([log.id, other.id])
        assert await storage.advice() == []


async def test_more_rights_than_serving_takes_are_used_with_a_warning(
    postgres: Cluster, instance: Instance
) -> None:
    assert instance.database_url is not None
    async with connected(instance.database_url) as connection:
        database = await connection.fetchval("SELECT current_database()")
    for url, expected in (
        (instance.database_url, "may change and delete entries"),
        (postgres.dsn(database), "postgres is a superuser"),
    ):
        storage = PostgresStorage(url)
        await storage.open()
        [advice] = await storage.advice()
        assert expected in advice
        assert "--grant-to" in advice
        [log] = [log for log in await storage.logs() if log.name == "main"]
        await storage.barrier(log.id)
        await storage.close()
