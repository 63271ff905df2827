"""The witness's database: which logs it knows, and what it cosigned of each.

A head is never deleted, not even with its log: a witness that forgot what it cosigned
could be shown another history later. Triggers hold what the code means to do anyway.
"""

from pathlib import Path
from typing import Final

import apsw

from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import SchemaError
from provlog.server.storage.sqlite import connect, require_library

_FIRST: Final = """
CREATE TABLE revision (number INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (0);

CREATE TABLE logs (
    origin TEXT PRIMARY KEY,
    rate INTEGER NOT NULL CHECK (rate > 0),
    contact TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL REFERENCES logs ON DELETE CASCADE,
    vkey TEXT NOT NULL,
    UNIQUE (origin, vkey)
) STRICT;

CREATE TABLE heads (
    origin TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    note BLOB NOT NULL,
    lines TEXT NOT NULL,
    time INTEGER NOT NULL CHECK (time > 0)
) STRICT;

CREATE TABLE allowances (
    origin TEXT PRIMARY KEY,
    remaining REAL NOT NULL,
    time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,
    convicts INTEGER NOT NULL CHECK (convicts IN (0, 1)),
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    known BLOB NOT NULL,
    note BLOB NOT NULL,
    time INTEGER NOT NULL,
    UNIQUE (origin, convicts, size, root)
) STRICT;

CREATE TRIGGER heads_only_grow BEFORE UPDATE ON heads
WHEN NEW.origin <> OLD.origin OR NEW.size < OLD.size OR NEW.time < OLD.time
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'a head only grows'); END;
CREATE TRIGGER heads_stay BEFORE DELETE ON heads
BEGIN SELECT RAISE(ABORT, 'a head is never forgotten'); END;

CREATE TRIGGER log_added AFTER INSERT ON logs
BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER log_changed AFTER UPDATE ON logs
BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER log_removed AFTER DELETE ON logs
BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER key_added AFTER INSERT ON keys
BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER key_removed AFTER DELETE ON keys
BEGIN UPDATE revision SET number = number + 1; END;
"""

SCRIPTS: Final = (_FIRST,)
"""One for each version, applied in order; one that was released never changes."""

VERSION: Final = len(SCRIPTS)


def create_database(path: Path) -> None:
    """Make an empty database of mode 0600; `FileExistsError` if there is a file."""
    require_library()
    path.touch(mode=0o600, exist_ok=False)
    connection = connect(path)
    try:
        with connection:
            for script in SCRIPTS:
                connection.execute(script)
            connection.execute(f"PRAGMA user_version={VERSION:d}")
    finally:
        connection.close()


def open_database(path: Path) -> apsw.Connection:
    """Return a connection to an existing database of this version.

    Raises `ConfigurationError` where there is none, `SchemaError` where it was written
    by another version, `StorageError` where it cannot be opened.
    """
    require_library()
    if not path.exists():
        raise ConfigurationError(
            f"there is no witness in {path.parent}: make one with"
            " provlog-server witness init"
        )
    connection = connect(path)
    version = int(connection.pragma("user_version"))
    if version != VERSION:
        connection.close()
        raise SchemaError(
            f"{path} has schema version {version}, this program works with {VERSION}"
        )
    return connection
