"""The versions of the PostgreSQL schema, and how a database gets from one to the next.

A new database is made by the same numbered scripts that bring an old one up to date,
so the two cannot differ. A script that was released never changes. The versions mean
the same as SQLite's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Final

import asyncpg

from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import (
    AlreadyExistsError,
    SchemaError,
    StorageError,
)
from provlog.server.storage.postgres.connecting import (
    Plain,
    Pooled,
    connect,
    fetch,
)
from provlog.server.storage.postgres.translation import translated

MIGRATIONS: Final = ("postgres-0001-initial.sql", "postgres-0002-cursors.sql")
SCHEMA_VERSION: Final = len(MIGRATIONS)
# Held while tables are made or changed: of two that migrate at once, one waits.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('provlog migrate', 0))"
_OWNED: Final = """
SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class
WHERE relnamespace = to_regnamespace('provlog')
"""
# Whoever may append, but for the owner and for PUBLIC.
_SERVING: Final = """
SELECT DISTINCT quote_ident(rolname)
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS granted
JOIN pg_roles r ON r.oid = granted.grantee
WHERE c.oid = 'provlog.entries'::regclass AND granted.privilege_type = 'INSERT'
    AND granted.grantee <> c.relowner
"""
_NOT_THE_OWNER: Final = (
    "the database's user may not make or change the tables of provlog: use the URL of"
    " the database's owner"
)


async def create_database(
    url: str, grant_to: str | None = None, version: int = SCHEMA_VERSION
) -> None:
    """Make the tables in a database that has none of them, as its owner; durably.

    `grant_to` is an existing role that gets what it takes to serve, and no more.
    Raises `AlreadyExistsError` where there are tables of provlog, and
    `ConfigurationError` where URL or rights do not allow it.
    """
    connection = await connect(url)
    try:
        with _as_owner(), translated():
            async with connection.transaction():
                await connection.execute(_LOCK)
                if await schema_version(connection):
                    raise AlreadyExistsError(
                        "the database holds a provlog already, and nothing was"
                        " changed; only if an init that was interrupted left it, remove"
                        " it with DROP SCHEMA provlog CASCADE"
                    )
                await _apply(connection, 0, version)
                await connection.execute(
                    "INSERT INTO provlog.schema_version (version) VALUES ($1)", version
                )
                await _grant(connection, grant_to)
    finally:
        await connection.close()


async def migrate_database(url: str, grant_to: str | None = None) -> tuple[int, int]:
    """Bring a database up to the current schema; return the versions before and after.

    All in one transaction under a lock: if we crash here, the database has the old
    version. Roles that may serve get their rights on new tables; `grant_to` becomes
    one. Raises `SchemaError` where the database is newer than this program, or none of
    ours.
    """
    connection = await connect(url)
    try:
        with _as_owner(), translated():
            async with connection.transaction():
                await connection.execute(_LOCK)
                before = await schema_version(connection)
                if not 1 <= before <= SCHEMA_VERSION:
                    raise SchemaError(_advice(before))
                if before < SCHEMA_VERSION:
                    await _apply(connection, before, SCHEMA_VERSION)
                    await connection.execute(
                        "UPDATE provlog.schema_version SET version = $1", SCHEMA_VERSION
                    )
                    await _grant_again(connection)
                await _grant(connection, grant_to)
        return before, SCHEMA_VERSION
    finally:
        await connection.close()


async def require_schema(connection: Plain | Pooled) -> None:
    """Raise `SchemaError`, which says what to do, unless the version is ours."""
    version = await schema_version(connection)
    if version != SCHEMA_VERSION:
        raise SchemaError(_advice(version))


async def schema_version(connection: Plain | Pooled) -> int:
    """Return the version of a database's schema, 0 where it has none of ours."""
    [(there,)] = await fetch(
        connection, "SELECT to_regclass('provlog.schema_version') IS NOT NULL"
    )
    if not there:
        return 0
    [(version,)] = await fetch(connection, "SELECT version FROM provlog.schema_version")
    return int(version)


@contextmanager
def _as_owner() -> Iterator[None]:
    """Say who may make and change tables, where it is somebody else."""
    try:
        yield
    except StorageError as error:
        if isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
            raise ConfigurationError(_NOT_THE_OWNER) from error
        raise


async def _apply(connection: Plain, before: int, after: int) -> None:
    for name in MIGRATIONS[before:after]:
        await connection.execute(_script(name))


async def _grant(connection: Plain, role: str | None) -> None:
    """Give a role what it takes to serve, and take away all else it has."""
    if role is None:
        return
    # A GRANT by somebody else would be a warning alone, and grant nothing.
    [(owned,)] = await fetch(connection, _OWNED)
    if not owned:
        raise ConfigurationError(_NOT_THE_OWNER)
    known = await fetch(
        connection,
        "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = $1",
        role,
    )
    if not known:
        raise ConfigurationError(
            f"the database has no role {role}: make it with CREATE ROLE … LOGIN first"
        )
    [(quoted,)] = known
    await connection.execute(
        f"REVOKE ALL ON ALL TABLES IN SCHEMA provlog FROM {quoted};"
        f"REVOKE ALL ON SCHEMA provlog FROM {quoted}"
    )
    await _let_serve(connection, quoted)


async def _grant_again(connection: Plain) -> None:
    """Give the roles that serve their rights on what is new."""
    for (quoted,) in await fetch(connection, _SERVING):
        await _let_serve(connection, quoted)


async def _let_serve(connection: Plain, quoted: str) -> None:
    await connection.execute(_script("postgres-grants.sql").replace(":role", quoted))


def _advice(version: int) -> str:
    if version > SCHEMA_VERSION:
        todo = "it was written by a newer provlog: use that one"
    elif version > 0:
        todo = (
            "bring it up to date with provlog-server migrate --database URL,"
            " as the owner of its tables"
        )
    else:
        todo = "it holds no provlog: run provlog-server init --database URL"
    return (
        f"the database has schema version {version}, this program works with"
        f" {SCHEMA_VERSION}: {todo}"
    )


def _script(name: str) -> str:
    folder = resources.files("provlog.server.storage") / "sql"
    return (folder / name).read_text(encoding="utf-8")
