"""A bit turned in any column of any table is found, and said where it stands.

`support.flipped_bits` says of which columns nothing can tell that they were changed.
"""

import random
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import apsw
import pytest
import pytest_asyncio

from provlog.server.instance import Instance
from support.checked_instance import (
    check,
    copy_of,
    make_checked_instance,
    unprotected,
)
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

ROWS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("clean"))


def test_an_instance_that_nobody_damaged_is_clean(clean: Instance) -> None:
    assert check(clean) == []
    assert check(clean, "main") == check(clean, "other") == []


@pytest.mark.parametrize(("table", "column"), columns())
def test_a_flipped_bit_is_found_where_it_stands(
    clean: Instance, tmp_path: Path, table: str, column: str
) -> None:
    if (table, column) in UNDETECTABLE:
        return
    rng = random.Random(f"{table}.{column}")
    cells = _cells(clean, table, column, rng)
    assert cells, "no row has a value: the instance of this test must have one"
    for number, (row, before) in zip(count(), cells, strict=False):
        copied = copy_of(clean, tmp_path / str(number))
        lowest = 20 if (table, column) in COARSE else 0
        after = _change(copied, table, column, row, before, rng, lowest)
        require_found(table, column, Damage(row, before, after, check(copied)))


@pytest.mark.parametrize(("table", "column"), columns())
def test_a_value_that_is_gone_is_found(
    clean: Instance, tmp_path: Path, table: str, column: str
) -> None:
    cells = _cells(clean, table, column, random.Random(1))
    copied = copy_of(clean, tmp_path / "copy")
    [(row, before), *_] = cells
    with unprotected(copied.database) as connection:
        try:
            connection.execute(f"UPDATE {table} SET {column} = NULL WHERE {row}")
        except (apsw.ConstraintError, apsw.MismatchError):
            return
    require_found(table, column, Damage(row, before, None, check(copied)))


def test_what_cannot_be_detected_is_no_longer_than_needed(
    clean: Instance, tmp_path: Path
) -> None:
    assert set(UNDETECTABLE) <= set(columns())
    for number, (table, column) in enumerate(UNDETECTABLE):
        copied = copy_of(clean, tmp_path / str(number))
        [(row, before), *_] = _cells(clean, table, column, random.Random(2))
        with unprotected(copied.database) as connection:
            after = before ^ 1 if isinstance(before, int) else bytes(32)
            _set(connection, table, column, row, after)
        assert check(copied) == []


def _cells(
    instance: Instance, table: str, column: str, rng: random.Random
) -> list[tuple[str, Value]]:
    """Return some rows, as the condition that selects each, with the cell's value."""
    connection = apsw.Connection(str(instance.database))
    keys = [
        name
        for _, name, _, _, _, place in connection.execute(f"PRAGMA table_info({table})")
        if place
    ]
    condition = " || ' AND ' || ".join(f"'{key} = ' || quote({key})" for key in keys)
    value = f"typeof({column}), CAST({column} AS BLOB), {column}"
    rows = [
        (row, content if kind in ("integer", "real") else (data, kind)[0])
        for row, kind, data, content in connection.execute(
            f"SELECT {condition}, {value} FROM {table} WHERE {column} IS NOT NULL"
            f" AND length({column}) > 0 AND {SOME.get((table, column), '1')}"
        )
    ]
    connection.close()
    return rng.sample(rows, min(ROWS, len(rows)))


def _change(
    instance: Instance,
    table: str,
    column: str,
    row: str,
    before: Value,
    rng: random.Random,
    lowest: int,
) -> Value:
    with unprotected(instance.database) as connection:
        while True:
            after = flip(before, rng, lowest)
            try:
                _set(connection, table, column, row, after)
            except apsw.ConstraintError:
                continue  # the key of another row
            return after


def _set(
    connection: apsw.Connection, table: str, column: str, row: str, value: Value
) -> None:
    [(kind,)] = connection.execute(f"SELECT typeof({column}) FROM {table} WHERE {row}")
    cell = "CAST(? AS TEXT)" if kind == "text" else "?"
    connection.execute(f"UPDATE {table} SET {column} = {cell} WHERE {row}", (value,))
