"""Which engine a check reads."""

from provlog.server.instance import Instance
from provlog.server.selfcheck.postgres_reader import PostgresReader
from provlog.server.selfcheck.reader import CheckReader
from provlog.server.selfcheck.sqlite_reader import SqliteReader


def open_reader(instance: Instance) -> CheckReader:
    """Return a reader of an instance's database.

    Raises `StorageError` where it cannot be read now and `SchemaError` where its
    version is another.
    """
    if instance.database_url is not None:
        return PostgresReader(instance.database_url)
    return SqliteReader(instance.database)
