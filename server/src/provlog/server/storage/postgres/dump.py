"""A PostgreSQL database's tables to files and back, each by COPY in binary.

Out of one snapshot, so that all tables are of one moment, and into tables that are
empty, in one transaction.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, Protocol

from provlog.server.storage.base import Head, LogRecord
from provlog.server.storage.postgres.connecting import Plain, connect, fetch
from provlog.server.storage.postgres.schema import require_schema
from provlog.server.storage.postgres.translation import translated
from provlog.server.storage.rows import log_record

TABLES: Final = {
    "logs": "log name origin log_key public created",
    "heads": "log size root events epoch recorded barrier",
    "entries": "log idx leaf",
    "tiles": "log level idx root hashes",
    "keys": "log id idx",
    "private": "log idx disclosures compare_key compare_digest",
    "openings": "log idx epoch nonce labels",
    "sources": "log uri ns connector idx",
    "tokens": "id digest logs roles sources note rate created expires revoked",
    "cursors": "log source position updated digest",
}
"""Every table and its columns, those that others refer to first."""
_LOGS: Final = (
    "SELECT log, name, origin, log_key, public, created,"
    " size, root, events, epoch, recorded"
    ' FROM provlog.logs JOIN provlog.heads USING (log) ORDER BY name COLLATE "C"'
)
_NEXT_LOG: Final = (
    "SELECT setval(pg_get_serial_sequence('provlog.logs', 'log'), max(log))"
    " FROM provlog.logs HAVING max(log) IS NOT NULL"
)


class Sink(Protocol):
    """What a table's rows are written to."""

    def write(self, data: bytes, /) -> object:
        """Take more."""


async def dump_tables(
    url: str,
    sink: Callable[[str], AbstractContextManager[Sink]],
    on_progress: Callable[[int, int], None],
) -> list[tuple[LogRecord, Head]]:
    """Write every table as it was at one moment; return the logs and their heads.

    `sink` is called with a table's name and gives what its rows go to; `on_progress`
    is told how many tables of how many are written. `StorageError` where that fails.
    """
    connection = await connect(url)
    try:
        with translated():
            await require_schema(connection)
            async with connection.transaction(
                isolation="repeatable_read", readonly=True
            ):
                # A row that a policy hides must not be left out in silence.
                await connection.execute("SET LOCAL row_security = off")
                rows = await fetch(connection, _LOGS)
                for number, table in enumerate(TABLES, 1):
                    with sink(table) as file:
                        await _dump(connection, table, file)
                    on_progress(number, len(TABLES))
        return [(log_record(row[:6]), Head(*row[6:])) for row in map(tuple, rows)]
    finally:
        await connection.close()


async def _dump(connection: Plain, table: str, file: Sink) -> None:
    async def write(data: bytes) -> None:
        file.write(data)

    await connection.copy_from_table(
        table,
        schema_name="provlog",
        columns=TABLES[table].split(),
        output=write,
        format="binary",
    )


async def fill_tables(url: str, files: Mapping[str, BinaryIO]) -> None:
    """Fill empty tables from files by table's name, durably, or fill none of them.

    Raises `StorageError` where a file does not fit its table.
    """
    connection = await connect(url)
    try:
        with translated():
            await require_schema(connection)
            async with connection.transaction():
                for table, columns in TABLES.items():
                    await connection.copy_to_table(
                        table,
                        schema_name="provlog",
                        columns=columns.split(),
                        source=files[table],
                        format="binary",
                    )
                # Their numbers came along: the next log gets one that is free.
                await connection.execute(_NEXT_LOG)
    finally:
        await connection.close()
