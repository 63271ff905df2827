"""A bit turned in any column of any table is found, and said where it stands.

Tables and columns come from the schema: a column that is added has to be checked, or
to be listed here with the reason why nothing can tell that it was changed.
"""

import random
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeAlias

import apsw
import pytest
import pytest_asyncio

from provlog.server.instance import Instance
from provlog.server.selfcheck.findings import Finding
from provlog.server.storage.sqlite_schema import apply_schema
from support.checked_instance import (
    check,
    copy_of,
    make_checked_instance,
    unprotected,
)

Value: TypeAlias = int | float | str | bytes

UNDETECTABLE = {
    ("heads", "barrier"): "counts commits that changed nothing else",
    ("logs", "public"): "a setting that no entry records; a value but 0 and 1 is found",
    ("tokens", "digest"): "the digest of a secret that is kept nowhere",
}
"""Columns of which nothing else that is stored says what they were."""

SOME = {("tokens", "id"): "note <> 'init'"}
"""Rows that can be told to be changed: init makes random ids that it writes nowhere."""

COARSE = {("tokens", "created"), ("tokens", "revoked")}
"""Times set just before their entry's: changed by minutes they are found."""

ELSEWHERE = {("entries", "leaf"): "heads", ("logs", "log"): "heads"}
"""Where some findings stand: leaves after the last full tile are hashed in the head's
root alone, and a log under another number has no head."""

PRIVATE = ("bob@", "alice", "Zoë", "00u1", "192.0.2", "CHG-1")
ROWS = 2


def columns() -> list[tuple[str, str]]:
    connection = apsw.Connection(":memory:")
    apply_schema(connection)
    found = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' ORDER BY m.name, c.cid"
    )
    return [(table, column) for table, column in found]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("clean"))


@dataclass
class Damage:
    """One cell of a copy that was changed, and what was found then."""

    row: str
    before: Value
    after: Value | None
    found: list[Finding]


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
        _require_found(table, column, Damage(row, before, after, check(copied)))


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
    _require_found(table, column, Damage(row, before, None, check(copied)))


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
            after = _flip(before, rng, lowest)
            try:
                _set(connection, table, column, row, after)
            except apsw.ConstraintError:
                continue  # the key of another row
            return after


def _flip(value: Value, rng: random.Random, lowest: int) -> Value:
    if isinstance(value, int):
        return value ^ 1 << rng.randrange(lowest, 63)
    if isinstance(value, float):
        [bits] = struct.unpack("<q", struct.pack("<d", value))
        [changed] = struct.unpack(
            "<d", struct.pack("<q", bits ^ 1 << rng.randrange(52))
        )
        return float(changed)
    assert isinstance(value, bytes)
    place = rng.randrange(len(value))
    flipped = value[place] ^ 1 << rng.randrange(8)
    return value[:place] + bytes((flipped,)) + value[place + 1 :]


def _set(
    connection: apsw.Connection, table: str, column: str, row: str, value: Value
) -> None:
    [(kind,)] = connection.execute(f"SELECT typeof({column}) FROM {table} WHERE {row}")
    cell = "CAST(? AS TEXT)" if kind == "text" else "?"
    connection.execute(f"UPDATE {table} SET {column} = {cell} WHERE {row}", (value,))


def _require_found(table: str, column: str, damage: Damage) -> None:
    places = {table, ELSEWHERE.get((table, column), table)}
    named = [
        finding
        for finding in damage.found
        if finding.table in places
        and finding.what
        and (finding.key is not None or finding.column is not None)
    ]
    assert named, damage
    for finding in damage.found:
        assert not any(private in finding.text() for private in PRIVATE), finding
