"""The tables of an instance that is being made: new ones, or some that hold nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.storage.base import AlreadyExistsError, Storage
from provlog.server.storage.opening import (
    create_storage,
    migrate_storage,
    open_storage,
)


@asynccontextmanager
async def opened_storage(instance: Instance) -> AsyncIterator[Storage]:
    """Yield an instance's open storage."""
    storage = open_storage(instance)
    try:
        await storage.open()
        yield storage
    finally:
        await storage.close()


async def create_tables(instance: Instance, grant_to: str | None) -> None:
    """Make the tables, or take up those in PostgreSQL that hold no log and no token.

    What was interrupted after it had made them leaves such tables. Raises
    `ConfigurationError` where they hold anything.
    """
    try:
        await create_storage(instance, grant_to)
    except AlreadyExistsError:
        async with opened_storage(instance) as storage:
            if await storage.logs() or await storage.tokens(None):
                raise ConfigurationError(
                    "the database holds a provlog already, and nothing was changed:"
                    " name an empty one with --database"
                ) from None
        await migrate_storage(instance, grant_to)
