"""A SQLite file copied while others write to it.

The copy is of one moment: the connection that reads holds a snapshot from the first
page to the last, so what is written meanwhile neither shows nor makes the copy begin
anew. Whatever was erased is not in it either: `secure_delete` has overwritten it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from provlog.server.storage.base import Head, LogRecord
from provlog.server.storage.sqlite import connect, translated
from provlog.server.storage.sqlite_reads import SqliteReads
from provlog.server.storage.sqlite_schema import require_schema

PAGES: Final = 1024
"""How many pages are copied at a time."""


async def copy_database(
    source: Path, to: Path, on_progress: Callable[[int, int], None]
) -> list[tuple[LogRecord, Head]]:
    """Copy a database into an empty file; return its logs and heads at that moment.

    `on_progress` is told how many pages of how many are copied. The copy is not flushed
    yet. Raises `StorageError` where it cannot be made.
    """
    connection = connect(source)
    try:
        with translated():
            require_schema(connection, source)
            connection.execute("PRAGMA query_only=ON; BEGIN")
            reads = SqliteReads(connection)
            heads = await reads.heads()
            logs = [(log, heads[log.id]) for log in await reads.logs()]
            _copy(connection, to, on_progress)
        return logs
    finally:
        connection.close()


def _copy(
    source: apsw.Connection, to: Path, on_progress: Callable[[int, int], None]
) -> None:
    copy = apsw.Connection(str(to), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        # Who crashes meanwhile begins anew; the whole file is flushed at the end.
        copy.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES)
                on_progress(backup.page_count - backup.remaining, backup.page_count)
    finally:
        copy.close()
