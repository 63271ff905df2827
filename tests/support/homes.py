"""Instances with one log on every storage: what a service needs, whatever holds it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from provlog.server.clock import Clock
from provlog.server.guard import FileGuard, Guard
from provlog.server.initialise import Place, initialise
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.registry import create_log
from provlog.server.service import Service
from provlog.server.storage.base import Storage
from provlog.server.storage.opening import open_storage
from support.memory_guard import MemoryGuard
from support.memory_storage import MemoryDatabase, MemoryStorage
from support.services import ORIGIN, now_ms


@dataclass(frozen=True, slots=True)
class Home:
    """Where a log `main` is: each service opens storage and guard anew."""

    make: Callable[[], Storage]
    keys: Keyring
    guard: Callable[[], Guard]

    @asynccontextmanager
    async def running(
        self, storage: Storage | None = None
    ) -> AsyncIterator[tuple[Service, Log]]:
        """Open a service, as a process of its own would, and yield it with its log."""
        used = storage or self.make()
        async with Service(used, self.keys, self.guard(), Clock()) as service:
            log = await service.log("main")
            assert log is not None
            yield service, log


async def make_home(folder: Path, database_url: str | None = None) -> Home:
    """Return a new instance in SQLite, or in an empty PostgreSQL database."""
    place = Place(folder / "data", folder / "guard", database_url)
    made = await initialise(place, origin=ORIGIN, sources=("*",), now=now_ms())
    instance = made.instance
    return Home(
        lambda: open_storage(instance),
        Keyring(instance.keys),
        lambda: FileGuard(folder / "guard"),
    )


async def make_memory_home(folder: Path) -> Home:
    """Return a new log in memory; `folder` is for its keys."""
    database, keys, guard = MemoryDatabase(), Keyring(folder / "keys"), MemoryGuard()
    await create_log(
        MemoryStorage(database),
        keys,
        guard,
        name="main",
        origin=ORIGIN,
        public=False,
        now=now_ms(),
    )
    return Home(lambda: MemoryStorage(database), keys, lambda: guard)
