"""What PostgreSQL itself can say of its files, and what an operator should know.

Its extension amcheck looks at every page of tables and indexes; it has to be installed
in the database, and this role has to be allowed to run it. That no key stands in two
rows is looked for without the indexes, whose task that would be.
"""

from collections.abc import Sequence
from typing import Final, cast

import asyncpg

from provlog.server.selfcheck.rows import Integrity
from provlog.server.storage.postgres.connecting import Plain
from provlog.server.storage.postgres.privileges import excess_rights
from provlog.server.storage.postgres.translation import explain
from provlog.server.storage.rows import Row

# Damage that PostgreSQL meets: pages, indexes and TOAST (class XX), and files that are
# gone.
DAMAGE: Final = (asyncpg.InternalServerError, asyncpg.UndefinedFileError)
MOST: Final = 100
"""How many findings of one table are told."""

_UNIQUE: Final = (
    ("logs", "log"),
    ("logs", "name"),
    ("logs", "origin"),
    ("heads", "log"),
    ("entries", "log, idx"),
    ("tiles", "log, level, idx"),
    ("keys", "log, id"),
    ("private", "log, idx"),
    ("openings", "log, idx"),
    ("sources", "log, uri"),
    ("tokens", "id"),
    ("cursors", "log, source"),
)

_WITHOUT_INDEXES: Final = """
SET LOCAL statement_timeout TO 0;
SET LOCAL enable_seqscan TO on;
SET LOCAL enable_indexscan TO off;
SET LOCAL enable_indexonlyscan TO off;
SET LOCAL enable_bitmapscan TO off;
"""

_FUNCTIONS: Final = """
SELECT DISTINCT proname::text, format('%I.%I', nspname, proname)
FROM pg_extension e
JOIN pg_depend ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid
     AND classid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = objid
JOIN pg_namespace n ON n.oid = pronamespace
WHERE extname = 'amcheck' AND proname IN ('bt_index_check', 'verify_heapam')
      AND has_schema_privilege(n.oid, 'USAGE')
      AND has_function_privilege(p.oid, 'EXECUTE')
"""

_TABLES: Final = """
SELECT oid, relname::text FROM pg_class
WHERE relnamespace = 'provlog'::regnamespace AND relkind = 'r' ORDER BY relname
"""

# Those of what is stored out of line, too. Others than btrees there are none.
_INDEXES: Final = """
SELECT i.oid, i.relname::text
FROM pg_class t
JOIN pg_index ON indrelid IN (t.oid, t.reltoastrelid)
JOIN pg_class i ON i.oid = indexrelid
JOIN pg_am a ON a.oid = i.relam
WHERE t.relnamespace = 'provlog'::regnamespace AND t.relkind = 'r'
      AND indisvalid AND amname = 'btree'
ORDER BY t.relname, i.relname
"""

_CHECKSUMS: Final = """
SELECT current_setting('data_checksums'), coalesce(checksum_failures, 0)
FROM pg_stat_database WHERE datname = current_database()
"""


async def check_integrity(connection: Plain) -> Integrity:
    """Return what is damaged and what could not be looked at.

    Long statements, each in a transaction of its own; a server may run meanwhile.
    """
    found = Integrity([], [])
    await _check_pages(connection, found)
    for table, columns in _UNIQUE:
        await _check_unique(connection, table, columns, found)
    await _note_checksums(connection, found)
    found.notes.extend(await excess_rights(connection))
    return found


async def _check_pages(connection: Plain, found: Integrity) -> None:
    rows = await _fetch(connection, _FUNCTIONS)
    functions = {row[0]: row[1] for row in rows}
    for name, kind, relations, select in (
        ("verify_heapam", "tables", _TABLES, _HEAP),
        ("bt_index_check", "indexes", _INDEXES, _INDEX),
    ):
        if name not in functions:
            found.notes.append(
                f"the pages of the {kind} were not looked at: that takes the extension"
                f" amcheck in the database, and the right to execute its {name}"
            )
            continue
        for number, relation in await _fetch(connection, relations):
            statement = select.format(functions[name])
            rows = await _careful(connection, relation, found, statement, number)
            found.damage.extend(f"{relation}, {what}" for (what,) in rows)


_HEAP: Final = f"""
SELECT format('block %s, row %s, column %s: %s',
              blkno, coalesce(offnum, 0), coalesce(attnum, 0), msg)
FROM {{}}($1::oid::regclass, check_toast := true) LIMIT {MOST}
"""  # noqa: S608  names from the catalog, quoted by it

# That all rows of the table are in the index, too. It answers with an error, or with
# one row that says nothing.
_INDEX: Final = "SELECT '' FROM {}($1::oid::regclass, true) OFFSET 1"


async def _check_unique(
    connection: Plain, table: str, columns: str, found: Integrity
) -> None:
    statement = (
        f"SELECT count(*) FROM (SELECT FROM provlog.{table}"  # noqa: S608  own names
        f" GROUP BY {columns} HAVING count(*) > 1) AS repeated"
    )
    for (count,) in await _careful(connection, table, found, statement):
        if count:
            what = f"{table}: {count} keys ({columns}) stand in more than one row"
            found.damage.append(what)


async def _careful(
    connection: Plain, relation: str, found: Integrity, statement: str, *values: object
) -> Sequence[Row]:
    """Return a long statement's rows; note what keeps it from its end."""
    try:
        async with connection.transaction(readonly=True):
            await connection.execute(_WITHOUT_INDEXES)
            return await _fetch(connection, statement, *values)
    except DAMAGE as error:
        # What PostgreSQL says of damage names blocks and objects, never values.
        found.damage.append(f"{relation}: {explain(error)}: {error}")
    except (
        asyncpg.InsufficientPrivilegeError,
        asyncpg.InsufficientResourcesError,
        asyncpg.FeatureNotSupportedError,
    ) as error:
        found.notes.append(f"{relation} was not looked at: {explain(error)}")
    return []


async def _note_checksums(connection: Plain, found: Integrity) -> None:
    for checksums, failures in await _fetch(connection, _CHECKSUMS):
        if checksums != "on":
            found.notes.append(
                "the database cluster has no data checksums: PostgreSQL does not notice"
                " what a disk changes (pg_checksums --enable)"
            )
        elif failures:
            found.notes.append(
                f"PostgreSQL has read {failures} pages of this database that did not"
                " have their checksum"
            )


async def _fetch(connection: Plain, statement: str, *values: object) -> Sequence[Row]:
    return cast("Sequence[Row]", await connection.fetch(statement, *values))
