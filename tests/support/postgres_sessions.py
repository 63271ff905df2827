"""Storages on PostgreSQL, and a superuser beside them who ends their sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from provlog.server.storage.postgres.connecting import LOCK_SECONDS
from provlog.server.storage.postgres.storage import PostgresStorage

ENDING = """
SELECT {0}(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'provlog'
"""
"""Ends provlog's sessions of a database, with `pg_terminate_backend` or the like."""


@asynccontextmanager
async def opened(
    url: str, lock_seconds: float = LOCK_SECONDS
) -> AsyncIterator[PostgresStorage]:
    """Open a storage, and close it in the end."""
    storage = PostgresStorage(url, lock_seconds)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def superuser(url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Yield a connection of one's own."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
