"""The storages that one suite is run against: each can be opened several times."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from provlog.server.storage.base import LogRecord, Storage
from provlog.server.storage.postgres.storage import PostgresStorage
from provlog.server.storage.sqlite import SqliteStorage, create_database
from support.memory_storage import MemoryDatabase, MemoryStorage

ENGINES = ("sqlite", "postgres", "memory")


@dataclass(frozen=True, slots=True)
class Engine:
    """A database with its tables, and how it is opened.

    It may hold logs of other tests: a test makes logs of its own, from `new_record`.
    """

    name: str
    make: Callable[[], Storage]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Storage]:
        """Open it as a process would, and close it in the end."""
        storage = self.make()
        try:
            await storage.open()
            yield storage
        finally:
            await storage.close()


def sqlite_engine(folder: Path) -> Engine:
    """Return an engine on a new SQLite file."""
    path = folder / "engine.db"
    create_database(path)
    return Engine("sqlite", lambda: SqliteStorage(path))


def postgres_engine(url: str) -> Engine:
    """Return an engine on a PostgreSQL database that has its tables."""
    return Engine("postgres", lambda: PostgresStorage(url))


def memory_engine() -> Engine:
    """Return an engine on rows in memory."""
    database = MemoryDatabase()
    return Engine("memory", lambda: MemoryStorage(database))


def new_record(name: str = "log") -> LogRecord:
    """Return a log that is nowhere yet; its name begins with `name`."""
    # Not from the shared generator, which hypothesis seeds alike in every worker.
    unique = f"{name}-{secrets.token_hex(6)}"
    return LogRecord(0, unique, f"log.example.com/{unique}", "key", False, "2026")
