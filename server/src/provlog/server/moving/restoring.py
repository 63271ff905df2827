"""Making an instance of a backup.

What comes of it is as old as the backup. Where more was released since, the guard
knows it, and `serve` refuses to go on: that is as it should be, and `recover` says
what can be done. The guard is only read here.
"""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from provlog.server.errors import ConfigurationError
from provlog.server.guard import GuardRecord
from provlog.server.guard.opening import opened_guard
from provlog.server.initialise import Place
from provlog.server.instance import (
    Instance,
    make_folder,
    plan_instance,
    record_instance,
)
from provlog.server.moving.backup import (
    DATABASE,
    POSTGRESQL,
    SQLITE,
    BackedUpLog,
    Backup,
    OnProgress,
    read_backup,
    table_file,
)
from provlog.server.moving.digests import Digesting, digest_file, require_digest
from provlog.server.moving.folders import CHUNK, Folder, opened
from provlog.server.moving.tables import create_tables, opened_storage
from provlog.server.storage.postgres.dump import TABLES, fill_tables


@dataclass(frozen=True, slots=True)
class Restored:
    """A log that was restored, and what the guard knows of it, None for nothing."""

    log: BackedUpLog
    guarded: GuardRecord | None

    @property
    def is_older(self) -> bool:
        """Whether more was released than the backup has."""
        return self.guarded is not None and self.guarded.head.size > self.log.size


async def restore(
    source: Path, place: Place, on_progress: OnProgress
) -> tuple[Backup, list[Restored]]:
    """Make an instance in an empty folder, and an empty database, of a backup.

    Durable when it returns. Every file is held against its digest. Raises
    `ConfigurationError` where something is in the way, `DamagedError` where a file is
    not the one that was written, `StorageError` where the database does not take it.
    """
    backup = read_backup(source)
    if (backup.engine == POSTGRESQL) != (place.database_url is not None):
        raise ConfigurationError(_ENGINES[backup.engine])
    instance = plan_instance(
        place.folder,
        place.guard,
        place.database_url,
        synchronous_failover=place.synchronous_failover,
    )
    async with opened_guard(instance) as guard:
        logs = [Restored(log, await guard.inspect(log.origin)) for log in backup.logs]
    make_folder(instance)
    try:
        await _fill(source, backup, instance, place.grant_to, on_progress)
        await _require_logs(instance, backup)
    except BaseException:
        # All that is in it are copies.
        shutil.rmtree(instance.folder, ignore_errors=True)
        raise
    # If we crash here, the folder counts as not initialised, and may be removed.
    record_instance(instance, place.grant_to)
    return backup, logs


_ENGINES = {
    SQLITE: "a backup of SQLite is restored without --database; to move to PostgreSQL"
    " use export and import",
    POSTGRESQL: "a backup of PostgreSQL is restored to one: give an empty database with"
    " --database; to move to SQLite use export and import",
}


async def _fill(
    source: Path,
    backup: Backup,
    instance: Instance,
    grant_to: str | None,
    on_progress: OnProgress,
) -> None:
    folder = Folder(instance.folder, private=True)
    keys = [name for name in backup.files if name.startswith("keys/")]
    if backup.engine == SQLITE:
        _copy(source, backup, [DATABASE, *keys], folder, on_progress)
        return
    _copy(source, backup, keys, folder, lambda *_: None)
    for number, table in enumerate(TABLES, 1):
        name = table_file(table)
        require_digest(name, digest_file(source / name), backup.files[name])
        on_progress(number, len(TABLES))
    await create_tables(instance, grant_to)
    with ExitStack() as stack:
        files = {
            table: stack.enter_context(opened(source / table_file(table)))
            for table in TABLES
        }
        await fill_tables(str(instance.database_url), files)


def _copy(
    source: Path,
    backup: Backup,
    names: list[str],
    folder: Folder,
    on_progress: OnProgress,
) -> None:
    """Copy files, each held against its digest before it takes its name."""
    whole = sum(backup.files[name].bytes for name in names)
    done = 0
    for name in names:
        with opened(source / name) as file, folder.writing(name) as to:
            written = Digesting(to)
            while data := file.read(CHUNK):
                written.write(data)
                done += len(data)
                on_progress(min(done, whole), whole)
            require_digest(name, written.result(), backup.files[name])
    folder.flush()


async def _require_logs(instance: Instance, backup: Backup) -> None:
    """Raise `ConfigurationError` unless the database holds what the manifest says."""
    async with opened_storage(instance) as storage:
        heads = await storage.heads()
        found = {log.origin: heads[log.id].size for log in await storage.logs()}
    if found != {log.origin: log.size for log in backup.logs}:
        raise ConfigurationError("the database does not hold the logs of the manifest")
