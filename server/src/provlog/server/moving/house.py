"""Where an imported log goes: an instance that exists, or a new one made for it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from provlog.server.guard import Guard
from provlog.server.guard.opening import open_guard, open_lineage
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
from provlog.server.moving.tree_files import OnProgress
from provlog.server.storage.base import AlreadyExistsError, Storage
from provlog.server.storage.opening import (
    create_storage,
    migrate_storage,
    open_storage,
)


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
    # Before anything is made.
    log, head = export.manifest.log, export.manifest.head
    async with _guarding(instance) as guard:
        await guarded_head(guard, log.origin, head)
    make_folder(instance)
    try:
        await _create_tables(instance, place.grant_to)
        done = await _import(instance, export, name, on_progress, with_tokens=True)
    except BaseException:
        # Its keys are copies.
        shutil.rmtree(instance.folder, ignore_errors=True)
        raise
    # If we crash here, the folder counts as not initialised, and may be removed.
    record_instance(instance, place.grant_to)
    return done


async def _create_tables(instance: Instance, grant_to: str | None) -> None:
    """Make the tables, or take up those in PostgreSQL that hold no log.

    An import that did not come to its end leaves such tables.
    """
    try:
        await create_storage(instance, grant_to)
    except AlreadyExistsError:
        async with _opened(instance) as storage:
            if await storage.logs() or await storage.tokens(None):
                raise
        await migrate_storage(instance, grant_to)


async def _import(
    instance: Instance,
    export: Export,
    name: str,
    on_progress: OnProgress,
    *,
    with_tokens: bool,
) -> Imported:
    async with _guarding(instance) as guard, _opened(instance) as storage:
        done = await import_log(
            storage,
            Keyring(instance.keys),
            guard,
            export,
            name=name,
            with_tokens=with_tokens,
            on_progress=on_progress,
        )
        origin = export.manifest.log.origin
        await open_lineage(instance).open(storage.incarnation(), [origin])
        return done


@asynccontextmanager
async def _guarding(instance: Instance) -> AsyncIterator[Guard]:
    guard = open_guard(instance)
    try:
        await guard.prepare()
        yield guard
    finally:
        await guard.close()


@asynccontextmanager
async def _opened(instance: Instance) -> AsyncIterator[Storage]:
    storage = open_storage(instance)
    try:
        await storage.open()
        yield storage
    finally:
        await storage.close()
