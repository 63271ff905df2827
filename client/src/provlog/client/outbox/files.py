"""An outbox's file: how it is made, opened and looked at, and what its errors mean.

It is an SQLite database with a rollback journal. Of the two journals of SQLite this is
the one that several processes may use with any version of the library: with a
write-ahead log, versions up to 3.51.2 can damage a file that is shared. Every commit is
flushed: the journal before the file is touched, the file, and the journal's end, which
is what makes it durable (`synchronous=EXTRA`).
"""

import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provlog.client.errors import (
    ClientError,
    OutboxFullError,
    SpoolError,
    UnavailableError,
    UsageError,
)
from provlog.client.outbox.lease import Lease

APPLICATION: Final = 0x706C6F62
VERSION: Final = 1
BUSY_SECONDS: Final = 30.0
CREATE_SECONDS: Final = 10.0

_SCHEMA = """
CREATE TABLE items (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    id TEXT,
    format TEXT,
    body BLOB NOT NULL,
    digest BLOB NOT NULL,
    queued INTEGER NOT NULL,
    failure TEXT
);
CREATE INDEX items_waiting ON items (number) WHERE failure IS NULL;
CREATE INDEX items_failed ON items (number) WHERE failure IS NOT NULL;
CREATE TABLE receipts (
    entry INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    id TEXT,
    receipt BLOB NOT NULL
);
CREATE INDEX receipts_by_id ON receipts (source, id);
CREATE TABLE places (
    name TEXT PRIMARY KEY,
    device INTEGER NOT NULL,
    file INTEGER NOT NULL,
    offset INTEGER NOT NULL
);
CREATE TABLE sequences (source TEXT PRIMARY KEY, newest INTEGER NOT NULL);
CREATE TABLE state (name TEXT PRIMARY KEY, value);
INSERT INTO state VALUES
    ('items', 0), ('failed', 0), ('bytes', 0), ('receipts', 0),
    ('sent', 0), ('refused', 0), ('dropped', 0), ('origin', NULL), ('trouble', NULL);
CREATE TRIGGER item_put AFTER INSERT ON items BEGIN
    UPDATE state SET value = value + 1 WHERE name = 'items';
    UPDATE state SET value = value + length(NEW.body) WHERE name = 'bytes';
    UPDATE state SET value = value + 1
        WHERE name = 'failed' AND NEW.failure IS NOT NULL;
END;
CREATE TRIGGER item_gone AFTER DELETE ON items BEGIN
    UPDATE state SET value = value - 1 WHERE name = 'items';
    UPDATE state SET value = value - length(OLD.body) WHERE name = 'bytes';
    UPDATE state SET value = value - 1
        WHERE name = 'failed' AND OLD.failure IS NOT NULL;
END;
CREATE TRIGGER item_judged AFTER UPDATE OF failure ON items BEGIN
    UPDATE state SET value = value + (NEW.failure IS NOT NULL)
        - (OLD.failure IS NOT NULL) WHERE name = 'failed';
END;
CREATE TRIGGER receipt_kept AFTER INSERT ON receipts BEGIN
    UPDATE state SET value = value + 1 WHERE name = 'receipts';
END;
CREATE TRIGGER receipt_gone AFTER DELETE ON receipts BEGIN
    UPDATE state SET value = value - 1 WHERE name = 'receipts';
END;
"""


def open_file(path: Path, *, create: bool) -> sqlite3.Connection:
    """Return a connection to an outbox's file, which may be used by one thread a time.

    A missing file is made, whole and of mode 0600, if `create`. Raises `UsageError`
    where there is none, or where others may read it, and `SpoolError` for a file that
    is no outbox of this version.
    """
    if not path.exists():
        if not create:
            raise UsageError(f"{path}: there is no outbox")
        _create(path)
    _require_private(path)
    with explained(path):
        connection = connect(path)
        try:
            _require_ours(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to an existing database, set up to be durable."""
    name = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        name, uri=True, timeout=BUSY_SECONDS, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        # Before anything else is read: a schema may hold expressions.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA synchronous = EXTRA")
        # Truncated and flushed at each commit. No deleted event is left in it.
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA secure_delete = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise SpoolError(f"{path}: not an outbox; nothing was changed")
    if version != VERSION:
        raise SpoolError(
            f"{path}: an outbox of version {version}, and this program knows "
            f"{VERSION}; nothing was changed"
        )


def _require_private(path: Path) -> None:
    with as_usage(path):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path}: not a file")
    if os.name == "posix" and found.st_mode & 0o077:
        raise UsageError(f"{path}: others may read it; chmod 600 it")


def _create(path: Path) -> None:
    """Make a file that is whole from the moment on that it has its name.

    An empty or a half-made file is therefore never one of ours, but damage.
    """
    lease = Lease(path.with_name(f"{path.name}.lock"))
    with as_usage(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + CREATE_SECONDS
    while not lease.acquire():
        if time.monotonic() > until:
            raise UnavailableError(f"{path}: another program is about to make it")
        time.sleep(0.01)
    try:
        if not path.exists():
            _require_no_journal(path)
            with as_usage(path), explained(path):
                _make(path)
    finally:
        lease.release()


def _require_no_journal(path: Path) -> None:
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists() and journal.stat().st_size:
        raise SpoolError(
            f"{path} is gone and its journal is there: put the file back, or move "
            f"{journal.name} away if what it held is not needed"
        )


def _make(path: Path) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    made = Path(name)
    try:
        with contextlib.closing(connect(made)) as connection:
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        made.replace(path)
        sync_folder(path.parent)
    finally:
        made.unlink(missing_ok=True)
        made.with_name(f"{made.name}-journal").unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable, where the system knows how."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def as_usage(path: Path) -> Iterator[None]:
    """Raise `UsageError` for what the system has against a path."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise a `ClientError` that says what to do for an error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from None


def _explain(error: sqlite3.Error, path: Path) -> ClientError:
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return OutboxFullError(f"{path}: its disk is full; nothing was changed")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return UnavailableError(f"{path}: another program does not let go of it")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return SpoolError(
            f"{path}: damaged, and left as it is ({name}). Copy it away, get what can "
            "be read with `sqlite3 FILE .recover`, and let a new outbox begin"
        )
    return SpoolError(f"{path}: cannot be read or written ({name})")
