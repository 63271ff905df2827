"""Services on a real SQLite file in a temporary folder, and storage that fails."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw

from provlog.merkle.trust import Trust
from provlog.server.batch import Outcome
from provlog.server.clock import Clock
from provlog.server.guard import FileGuard
from provlog.server.guard.store_url import StoreUrl
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance
from provlog.server.intake.draft import EventDraft
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.queueing import QueueLimits
from provlog.server.service import Service
from provlog.server.storage.base import CommitUnknownError, Storage
from provlog.server.storage.opening import open_storage
from provlog.server.storage.sqlite import SqliteStorage, SqliteTransaction
from support.events import event_of

SOURCE = "urn:okta:acme"
ORIGIN = "log.example.com/main"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def make_instance(
    folder: Path, origin: str = ORIGIN, guard: StoreUrl | None = None
) -> Instance:
    """Return an initialised folder with one log, `main`."""
    made = await initialise(
        Place(folder / "data", guard or folder / "guard"),
        origin=origin,
        sources=("*",),
        now=now_ms(),
    )
    return made.instance


@asynccontextmanager
async def running(
    instance: Instance,
    *,
    storage: Storage | None = None,
    clock: Clock | None = None,
    limits: QueueLimits | None = None,
) -> AsyncIterator[tuple[Service, Log]]:
    """Open an instance's service and yield it with its log `main`."""
    service = Service(
        storage or open_storage(instance),
        Keyring(instance.keys),
        FileGuard(instance.guard),
        clock or Clock(),
        limits,
    )
    async with service:
        log = await service.log("main")
        assert log is not None
        yield service, log


def trust_of(log: Log) -> Trust:
    """Return trust in a log's own key."""
    return Trust.from_log_key(log.record.log_key)


def draft(log: Log, event_id: str, **changes: object) -> EventDraft:
    """Return the draft of a test event."""
    return log.drafter.event(event_of(id=event_id, **changes), SOURCE, {"token": "t"})


async def append(service: Service, log: Log, *drafts: EventDraft) -> list[Outcome]:
    """Submit drafts as one unit and return what became of each."""
    return (await service.sequencer.submit(log, drafts)).outcomes


async def fill(service: Service, log: Log, count: int, prefix: str = "fill") -> None:
    """Append `count` events."""
    for start in range(0, count, 500):
        batch = [
            draft(log, f"{prefix}-{number}")
            for number in range(start, min(count, start + 500))
        ]
        await append(service, log, *batch)


class FaultyStorage(SqliteStorage):
    """Fails the next commits as told: the change is lost, or is made all the same."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.faults: list[str | None] = []
        self.commits = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        async with super().transaction() as transaction:
            plain = transaction.commit

            async def commit() -> None:
                self.commits += 1
                fault = self.faults.pop(0) if self.faults else None
                if fault == "fails but is persisted":
                    await plain()
                if fault is not None:
                    raise CommitUnknownError(fault)
                await plain()

            transaction.commit = commit  # type: ignore[method-assign]
            yield transaction


def statements(storage: object) -> list[str]:
    """Return the list of what a storage's reads say to SQLite from now on."""
    assert isinstance(storage, SqliteStorage)
    said: list[str] = []

    def note(_: apsw.Cursor, statement: str, __: object) -> bool:
        said.append(statement)
        return True

    storage._connection.exec_trace = note
    return said


def file_modes(folder: Path) -> dict[str, int]:
    """Return the permission bits of every file and folder below `folder`."""
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777
        for path in sorted(folder.rglob("*"))
    }
