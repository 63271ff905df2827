"""What stands in a PostgreSQL schema, in words that can be compared.

SQLite's schema is compared with one made in memory. A database of PostgreSQL cannot be
made by the way, so what the migrations make is written down, in `postgres-schema.txt`;
a test makes a database and holds the file against it.
"""

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Final

from provlog.server.selfcheck.rows import shown_text

_OBJECTS: Final = re.compile(r"^(?=\S)", re.MULTILINE)


def catalog_query() -> str:
    """Return the statement that reads names and definitions of everything there is.

    Its words are the same in every database where `search_path` is `pg_catalog`.
    """
    return _file("postgres-catalog.sql")


def expected_schema() -> str:
    """Return the description of what this program's migrations make."""
    return _file("postgres-schema.txt")


def describe_schema(objects: Iterable[Sequence[str]]) -> str:
    """Return names and definitions as text, each definition indented below its name."""
    parts = []
    for name, definition in objects:
        lines = [_escaped(name), *(f"    {line}" for line in definition.splitlines())]
        parts += [f"{line.rstrip()}\n" for line in lines]
    return "".join(parts)


def differing_names(found: str, expected: str) -> list[str]:
    """Return the names of what is missing, too much or otherwise in a description."""
    different = set(_OBJECTS.split(found)) ^ set(_OBJECTS.split(expected))
    names = {part.partition("\n")[0] for part in different}
    return sorted(shown_text(name.encode()) for name in names)


def _escaped(name: str) -> str:
    # A name may hold anything, and must not look like another object's.
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _file(name: str) -> str:
    folder = resources.files("provlog.server.storage") / "sql"
    return (folder / name).read_text(encoding="utf-8")
