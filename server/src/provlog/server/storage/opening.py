"""Which engine holds an instance's logs."""

from provlog.server.instance import Instance
from provlog.server.storage.base import Storage
from provlog.server.storage.postgres import schema as postgres_schema
from provlog.server.storage.postgres.storage import PostgresStorage
from provlog.server.storage.sqlite import (
    SqliteStorage,
    create_database,
    migrate_database,
)


def open_storage(instance: Instance) -> Storage:
    """Return the storage of an instance; `open` it before use.

    Raises `StorageError` where there is none.
    """
    if instance.database_url is None:
        return SqliteStorage(instance.database)
    return PostgresStorage(instance.database_url)


async def create_storage(instance: Instance, grant_to: str | None = None) -> None:
    """Make an instance's tables, durably; `AlreadyExistsError` where there are some.

    `grant_to` is the role that serves from PostgreSQL, where that is not the owner.
    """
    if instance.database_url is None:
        create_database(instance.database)
    else:
        await postgres_schema.create_database(instance.database_url, grant_to)


async def migrate_storage(
    instance: Instance, grant_to: str | None = None
) -> tuple[int, int]:
    """Bring an instance's tables up to this program's schema, under a lock.

    Return the versions before and after.
    """
    if instance.database_url is None:
        return migrate_database(instance.database)
    return await postgres_schema.migrate_database(instance.database_url, grant_to)
