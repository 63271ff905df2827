"""Reads that all see the database as it was at one moment."""

from collections.abc import Sequence

from provlog.server.storage.postgres.connecting import Pooled, execute, fetch
from provlog.server.storage.postgres.reads import PostgresReads
from provlog.server.storage.rows import Row


class PostgresSnapshot(PostgresReads):
    """The `Reads` of a transaction that changes nothing."""

    def __init__(self, connection: Pooled) -> None:
        self._connection = connection

    async def begin(self) -> None:
        """Fix the moment. Whoever reads may take his time with what he read."""
        await execute(
            self._connection,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
            "SET LOCAL idle_in_transaction_session_timeout = '1h'",
        )
        # The first statement that reads takes the snapshot.
        await self.heads()

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        """Return a statement's rows; `StorageError` where that fails."""
        return await fetch(self._connection, statement, *values)
