"""A checked instance in PostgreSQL, and a superuser who goes round its protection.

Damage is done in place and mended again: a check of the whole is what costs time.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import asyncpg

from provlog.server.instance import Instance
from support.flipped_bits import Value

# No trigger fires, and bytes pass for text without a look at them.
_UNPROTECTED = """
SET session_replication_role TO replica;
SET search_path TO provlog;
SET synchronous_commit TO off;
"""
_BYTES_AS_TEXT = "CREATE CAST (bytea AS text) WITHOUT FUNCTION"
_CHECKS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
FROM pg_constraint WHERE connamespace = 'provlog'::regnamespace AND contype = 'c'
"""
_KEY = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid
WHERE indrelid = to_regclass($1) AND indisprimary AND attnum = ANY (indkey)
"""


class CheckedDatabase:
    """One connection of a superuser to an instance's database. A context manager."""

    def __init__(self, instance: Instance) -> None:
        assert instance.database_url is not None
        self.instance = instance
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(instance.database_url))
        self.execute(_UNPROTECTED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._connection.close())

    def execute(self, statement: str) -> None:
        """Run statements."""
        self._runner.run(self._connection.execute(statement))

    def rows(self, statement: str, *values: object) -> list[Sequence[Any]]:
        """Return a statement's rows."""
        rows = self._runner.run(self._connection.fetch(statement, *values))
        return cast("list[Sequence[Any]]", rows)

    def allow_anything(self) -> None:
        """Take the constraints away that values could not pass, for good."""
        self.execute(_BYTES_AS_TEXT)
        for (statement,) in self.rows(_CHECKS):
            self.execute(statement)

    def cells(self, table: str, column: str, where: str) -> list[tuple[str, Value]]:
        """Return a column's values, as bytes if text, each with its row's condition."""
        keys = [name for (name,) in self.rows(_KEY, table)]
        row = " AND ".join(f"{key} = %L" for key in keys)
        value = f"textsend({column})" if self.is_text(table, column) else column
        rows = self.rows(
            f"SELECT format('{row}', {', '.join(keys)}), {value} FROM {table}"
            f" WHERE {where} ORDER BY 1"
        )
        return [(row, value) for row, value in rows if value not in (None, b"")]

    def is_text(self, table: str, column: str) -> bool:
        """Tell whether a column holds text."""
        [(kind,)] = self.rows(
            "SELECT atttypid::regtype::text FROM pg_attribute"
            " WHERE attrelid = to_regclass($1) AND attname = $2",
            table,
            column,
        )
        return bool(kind == "text")

    @contextmanager
    def changed(
        self, table: str, column: str, row: str, before: Value, after: Value | None
    ) -> Iterator[None]:
        """Change one cell, and change it back."""
        place = self._set(table, column, row, after)
        yield
        self._set(table, column, f"ctid = '{place}'", before)

    def _set(self, table: str, column: str, row: str, value: Value | None) -> str:
        cell = "$1::bytea::text" if self.is_text(table, column) else "$1"
        [(place,)] = self.rows(
            f"UPDATE {table} SET {column} = {cell} WHERE {row} RETURNING ctid::text",
            value,
        )
        return str(place)
