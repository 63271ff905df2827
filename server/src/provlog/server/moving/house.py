"""Where an imported log goes: an instance that exists, or a new one made for it."""

import shutil
from pathlib import Path

from provlog.server.guard import FileGuard
from provlog.server.instance import (
    Instance,
    create_instance,
    default_guard,
    is_initialised,
    load_instance,
    record_instance,
)
from provlog.server.keyring import Keyring, LogKeys
from provlog.server.moving.exported import Export
from provlog.server.moving.importing import Imported, guarded_head, import_log
from provlog.server.moving.tree_files import OnProgress
from provlog.server.storage.sqlite import SqliteStorage, create_database


def read_keys(folder: Path) -> LogKeys:
    """Return the secrets in a folder such as `keys/main` of an instance."""
    folder = folder.absolute()
    return Keyring(folder.parent).load(folder.name)


async def import_into(
    folder: Path,
    guard: Path | None,
    export: Export,
    name: str,
    on_progress: OnProgress,
) -> Imported:
    """Import a log into the instance of a folder, or into a new one made there.

    A new one has the log's tokens as well; in one that exists they could open more than
    they did. Raises as `import_log` does; then a new instance is none, and what was
    made of it is taken away.
    """
    if is_initialised(folder):
        instance = load_instance(folder, guard)
        return await _import(instance, export, name, on_progress, with_tokens=False)
    # Before anything is made.
    guarded = (guard or default_guard()).absolute()
    if guarded.is_dir():
        guarded_head(
            FileGuard(guarded), export.manifest.log.origin, export.manifest.head
        )
    instance = create_instance(folder, guard)
    create_database(instance.database)
    try:
        done = await _import(instance, export, name, on_progress, with_tokens=True)
    except BaseException:
        _discard(instance)
        raise
    # If we crash here, the folder counts as not initialised, and may be removed.
    record_instance(instance)
    return done


async def _import(
    instance: Instance,
    export: Export,
    name: str,
    on_progress: OnProgress,
    *,
    with_tokens: bool,
) -> Imported:
    storage = SqliteStorage(instance.database)
    try:
        return await import_log(
            storage,
            Keyring(instance.keys),
            FileGuard(instance.guard),
            export,
            name=name,
            with_tokens=with_tokens,
            on_progress=on_progress,
        )
    finally:
        await storage.close()


def _discard(instance: Instance) -> None:
    """Take away a folder that this process has made; its keys are copies."""
    shutil.rmtree(instance.folder, ignore_errors=True)
