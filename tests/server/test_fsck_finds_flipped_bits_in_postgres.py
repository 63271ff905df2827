"""A bit turned in any column of a PostgreSQL database is found, as in a SQLite file."""

import asyncio
import random
from collections.abc import Iterator

import asyncpg
import pytest

from provlog.server.selfcheck.findings import Finding
from support.checked_database import CheckedDatabase
from support.checked_instance import check, make_checked_instance
from support.flipped_bits import (
    COARSE,
    SOME,
    UNDETECTABLE,
    Damage,
    Value,
    columns,
    flip,
    require_found,
)
from support.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")

NULLABLE = {
    ("private", "compare_digest"),
    ("private", "compare_key"),
    ("sources", "connector"),
    ("tokens", "expires"),
    ("tokens", "rate"),
    ("tokens", "revoked"),
}


@pytest.fixture(scope="module")
def database(
    postgres: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CheckedDatabase]:
    """Yield a database in which any value can be put in any place; tests mend it."""
    name = postgres.create_database()
    folder = tmp_path_factory.mktemp("clean")
    instance = asyncio.run(make_checked_instance(folder, postgres.dsn(name)))
    assert check(instance) == []
    with CheckedDatabase(instance) as made:
        made.allow_anything()
        yield made
        # All that was damaged was mended, or one damage may have hidden another.
        assert found_in_rows(made) == []
    postgres.drop_database(name)


def found_in_rows(database: CheckedDatabase) -> list[Finding]:
    found = check(database.instance)
    return [finding for finding in found if finding.table != "schema"]


def test_both_engines_have_the_same_columns(database: CheckedDatabase) -> None:
    rows = database.rows(
        "SELECT relname::text, attname::text FROM pg_class"
        " JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'provlog'::regnamespace AND relkind = 'r'"
        " AND attnum > 0 AND relname <> 'schema_version'"
    )
    assert {(table, column) for table, column in rows} == set(columns())


@pytest.mark.parametrize(("table", "column"), columns())
def test_a_flipped_bit_is_found_where_it_stands(
    database: CheckedDatabase, table: str, column: str
) -> None:
    rng = random.Random(f"{table}.{column}")
    cells = database.cells(table, column, SOME.get((table, column), "true"))
    row, before = rng.choice(cells)
    if (table, column) in UNDETECTABLE:
        other: Value = bytes(32)
        if isinstance(before, int):
            other = type(before)(before ^ 1)
        with database.changed(table, column, row, before, other):
            assert found_in_rows(database) == []
        return
    lowest = 20 if (table, column) in COARSE else 0
    while True:
        after = flip(before, rng, lowest)
        try:
            with database.changed(table, column, row, before, after):
                found = check(database.instance)
            break
        except asyncpg.UniqueViolationError:
            continue  # the key of another row
    require_found(table, column, Damage(row, before, after, found))


@pytest.mark.parametrize(("table", "column"), sorted(NULLABLE))
def test_a_value_that_is_gone_is_found(
    database: CheckedDatabase, table: str, column: str
) -> None:
    row, before = database.cells(table, column, "true")[0]
    with database.changed(table, column, row, before, None):
        found = check(database.instance)
    require_found(table, column, Damage(row, before, None, found))
