"""Which engine a check reads."""

from provlog.server.instance import Instance
from provlog.server.selfcheck.reader import CheckReader
from provlog.server.selfcheck.sqlite_reader import SqliteReader


def open_reader(instance: Instance) -> CheckReader:
    """Return a reader of an instance's database.

    Raises `StorageError` where it cannot be read now and `SchemaError` where its
    version is another.
    """
    return SqliteReader(instance.database)
