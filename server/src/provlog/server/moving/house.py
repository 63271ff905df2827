"""Where an imported log goes: an instance that exists, or a new one made for it."""

import shutil
from pathlib import Path

from provlog.server.guard.databases import DatabaseRecords
from provlog.server.guard.lineage import Database
from provlog.server.guard.opening import opened_guard
from provlog.server.initialise import Place
from provlog.server.instance import (
    Instance,
    is_initialised,
    load_instance,
    make_folder,
    plan_instance,
    record_instance,
)
from provlog.server.keyring import Keyring, LogKeys
from provlog.server.moving.exported import Export
from provlog.server.moving.importing import Imported, guarded_head, import_log
from provlog.server.moving.tables import create_tables, opened_storage
from provlog.server.moving.tree_files import OnProgress
from provlog.server.storage.base import Incarnation


def read_keys(folder: Path) -> LogKeys:
    """Return the secrets in a folder such as `keys/main` of an instance."""
    folder = folder.absolute()
    return Keyring(folder.parent).load(folder.name)


async def import_into(
    place: Place, export: Export, name: str, on_progress: OnProgress
) -> Imported:
    """Import a log into the instance of a folder, or into a new one made there.

    A new one has the log's tokens as well; in one that exists they could open more than
    they did. Raises as `import_log` does; then a new instance is none, and what was
    made of it in the folder is taken away.
    """
    if is_initialised(place.folder):
        instance = load_instance(place.folder, place.guard, place.database_url)
        return await _import(instance, export, name, on_progress, with_tokens=False)
    instance = plan_instance(
        place.folder,
        place.guard,
        place.database_url,
        synchronous_failover=place.synchronous_failover,
    )
    log, head = export.manifest.log, export.manifest.head
    async with opened_guard(instance) as guard:
        # Before anything is made.
        await guarded_head(guard, log.origin, head)
    make_folder(instance)
    try:
        await create_tables(instance, place.grant_to)
        done = await _import(instance, export, name, on_progress, with_tokens=True)
    except BaseException:
        # Its keys are copies.
        shutil.rmtree(instance.folder, ignore_errors=True)
        raise
    # If we crash here, the folder counts as not initialised, and may be removed.
    record_instance(instance, place.grant_to)
    return done


async def _import(
    instance: Instance,
    export: Export,
    name: str,
    on_progress: OnProgress,
    *,
    with_tokens: bool,
) -> Imported:
    async with opened_guard(instance) as guard, opened_storage(instance) as storage:
        done = await import_log(
            storage,
            Keyring(instance.keys),
            guard,
            export,
            name=name,
            with_tokens=with_tokens,
            on_progress=on_progress,
        )
        _settle(instance, done.record.origin, storage.incarnation())
        return done


def _settle(instance: Instance, origin: str, incarnation: Incarnation | None) -> None:
    """Record that the log goes on in this database, whichever it was in before.

    Whoever imports has looked: the export holds all that this machine released. If we
    crash before this, `serve` refuses a log that came from another one, and `recover`
    accepts the database.
    """
    if instance.guard_url is None:
        found = None if incarnation is None else Database.of(incarnation)
        DatabaseRecords(instance.guard).settle(origin, found)
