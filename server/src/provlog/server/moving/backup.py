"""Backups of a whole instance: its database at one moment and, if asked for, its keys.

A backup is of one engine and one schema; what moves a log between engines is an export.
``backup.json`` names every file with its digest, and is written last: a folder without
it is no backup.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from provlog.merkle.encoding import encode_base64
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.server.errors import ConfigurationError
from provlog.server.files import read_private
from provlog.server.instance import Instance
from provlog.server.moving.digests import (
    Digesting,
    FileDigest,
    Strict,
    digest_file,
    digesting,
)
from provlog.server.moving.folders import Folder, read_bounded, require_empty
from provlog.server.storage.base import Head, LogRecord
from provlog.server.storage.postgres.dump import TABLES, dump_tables
from provlog.server.storage.sqlite_backup import copy_database
from provlog.server.storage.sqlite_schema import SCHEMA_VERSION

VERSION: Final = 1
MANIFEST: Final = "backup.json"
DATABASE: Final = "provlog.db"
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
MAX_MANIFEST: Final = 64 << 20
_KEY_FILE: Final = re.compile(
    r"keys/[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?/"
    r"(?:(?:signing(?:-[0-9a-f]{8})?|mldsa|id|epoch-[1-9][0-9]{0,9})\.key"
    r"|last-[0-9a-f]{8}\.checkpoint|retired)"
)

OnProgress = Callable[[int, int], None]


class BackedUpLog(Strict, frozen=True):
    """A log of a backup, and how far it reached."""

    name: str
    origin: str
    log_key: str
    size: int
    root: str


class Backup(Strict, frozen=True):
    """What a backup says of itself. `files` are digests by path."""

    version: int
    engine: str
    schema_version: int
    with_keys: bool
    logs: list[BackedUpLog]
    files: dict[str, FileDigest]


def table_file(table: str) -> str:
    """Return the path of a PostgreSQL table's rows."""
    return f"tables/{table}.copy"


async def back_up(
    instance: Instance, to: Path, *, with_keys: bool, on_progress: OnProgress
) -> Backup:
    """Write a backup of an instance to an empty folder, while it may be served.

    Durable when it returns. `on_progress` is told how much of how much is done. Raises
    `ConfigurationError` where the folder holds anything, `StorageError` where the
    database cannot be read.
    """
    require_empty(to)
    folder = Folder(to, private=True)
    folder.make()
    digests: dict[str, FileDigest] = {}
    url = instance.database_url
    if url is None:
        logs = await _copy_sqlite(instance, folder, digests, on_progress)
    else:
        logs = await dump_tables(url, _tables(folder, digests), on_progress)
    if with_keys:
        _copy_keys(instance, [record.name for record, _ in logs], folder, digests)
    folder.flush()
    backup = Backup(
        VERSION,
        SQLITE if url is None else POSTGRESQL,
        SCHEMA_VERSION,
        with_keys,
        [_backed_up(*each) for each in logs],
        digests,
    )
    # If we crash here, there is no manifest, and so no backup.
    data = msgspec.json.format(msgspec.json.encode(backup), indent=2)
    folder.write(MANIFEST, data + b"\n")
    folder.flush()
    return backup


def read_backup(folder: Path) -> Backup:
    """Return what a backup says of itself, its files being those of a backup.

    What stands in them is not looked at. Raises `ConfigurationError` for anything that
    this program did not write, or did with another schema.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise ConfigurationError(f"{folder} holds no finished backup: no {MANIFEST}")
    try:
        backup = msgspec.json.decode(read_bounded(path, MAX_MANIFEST), type=Backup)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if backup.version != VERSION or backup.schema_version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path}: a backup of version {backup.version} and schema"
            f" {backup.schema_version}; restore it with the program that made it, and"
            " run provlog-server migrate then"
        )
    keys = {name for name in backup.files if _KEY_FILE.fullmatch(name)}
    if set(backup.files) - keys != _database_files(backup.engine):
        raise ConfigurationError(f"{path}: not the files of a backup")
    return backup


def _database_files(engine: str) -> set[str]:
    if engine == SQLITE:
        return {DATABASE}
    return {table_file(table) for table in TABLES} if engine == POSTGRESQL else set()


async def _copy_sqlite(
    instance: Instance,
    folder: Folder,
    digests: dict[str, FileDigest],
    on_progress: OnProgress,
) -> Sequence[tuple[LogRecord, Head]]:
    with folder.placing(DATABASE) as path:
        logs = await copy_database(instance.database, path, on_progress)
    digests[DATABASE] = digest_file(folder.path / DATABASE)
    return logs


def _tables(
    folder: Folder, digests: dict[str, FileDigest]
) -> Callable[[str], AbstractContextManager[Digesting]]:
    return lambda table: digesting(folder, table_file(table), digests)


def _copy_keys(
    instance: Instance,
    names: Sequence[str],
    folder: Folder,
    digests: dict[str, FileDigest],
) -> None:
    for name in names:
        # With the mark of a retired log: its keys must not sign again where the guard,
        # which knows it too, is lost.
        held = instance.keys / name
        for path in sorted([*held.glob("*.key"), *held.glob("retired")]):
            with digesting(folder, f"keys/{name}/{path.name}", digests) as file:
                file.write(read_private(path).encode("ascii") + b"\n")
        # And with the last checkpoints: those keys stay retired, too.
        for path in sorted(held.glob("last-*.checkpoint")):
            with digesting(folder, f"keys/{name}/{path.name}", digests) as file:
                file.write(read_bounded(path, MAX_NOTE_SIZE))


def _backed_up(record: LogRecord, head: Head) -> BackedUpLog:
    root = encode_base64(head.root)
    return BackedUpLog(record.name, record.origin, record.log_key, head.size, root)
