"""Databases as an older version left them."""

from pathlib import Path

import apsw

from support.postgres import Cluster

UNDO = (
    "DROP TABLE cursors",
    "PRAGMA user_version = 1",
)
"""What makes version 1 of a SQLite database of version 2."""

_UNDO_IN_POSTGRES = """
DROP TABLE provlog.cursors;
DROP FUNCTION provlog.keep_source;
UPDATE provlog.schema_version SET version = 1;
"""


def change(database: Path, *statements: str) -> None:
    """Run statements on a SQLite file."""
    connection = apsw.Connection(str(database))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def make_older(database: Path) -> None:
    """Make a SQLite file one of version 1."""
    change(database, *UNDO)


def make_older_in_postgres(cluster: Cluster, database: str) -> None:
    """Make a PostgreSQL database one of version 1."""
    cluster.execute(_UNDO_IN_POSTGRES, database)
