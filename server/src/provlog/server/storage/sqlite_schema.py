"""The versions of the SQLite schema, and how a database gets from one to the next.

A new database is made by the same numbered scripts that bring an old one up to date,
so the two cannot differ. A script that was released never changes.
"""

from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from provlog.server.storage.base import SchemaError

MIGRATIONS: Final = ("sqlite-0001-initial.sql", "sqlite-0002-cursors.sql")
SCHEMA_VERSION: Final = len(MIGRATIONS)


def apply_schema(connection: apsw.Connection, version: int = SCHEMA_VERSION) -> None:
    """Give an empty database the schema of a version, by default the current one."""
    _apply(connection, 0, version)


def upgrade(connection: apsw.Connection, path: Path) -> int:
    """Bring a database up to the current schema; return the version it had.

    All in one transaction under the write lock, which waits for writers of other
    processes: if we crash here, the database has the old version. Raises `SchemaError`
    where it is newer than this program, or none of ours.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Under the lock: of two that migrate at once, the second finds it done.
        before = schema_version(connection)
        if not 1 <= before <= SCHEMA_VERSION:
            raise SchemaError(_advice(before, path))
        _apply(connection, before, SCHEMA_VERSION)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return before


def require_schema(connection: apsw.Connection, path: Path) -> None:
    """Raise `SchemaError`, which says what to do, unless the version is ours."""
    version = schema_version(connection)
    if version != SCHEMA_VERSION:
        raise SchemaError(_advice(version, path))


def schema_version(connection: apsw.Connection) -> int:
    """Return the version of a database's schema, 0 where it has none of ours."""
    return int(connection.pragma("user_version"))


def _apply(connection: apsw.Connection, before: int, after: int) -> None:
    for name in MIGRATIONS[before:after]:
        connection.execute(_script(name))
    connection.execute(f"PRAGMA user_version={after:d}")


def _advice(version: int, path: Path) -> str:
    if version > SCHEMA_VERSION:
        todo = "it was written by a newer provlog: use that one"
    elif version > 0:
        todo = (
            "bring it up to date with"
            f" provlog-server migrate --dir {path.absolute().parent}"
        )
    else:
        todo = "it is no database of provlog"
    return (
        f"{path} has schema version {version}, this program works with"
        f" {SCHEMA_VERSION}: {todo}"
    )


def _script(name: str) -> str:
    folder = resources.files("provlog.server.storage") / "sql"
    return (folder / name).read_text(encoding="utf-8")
