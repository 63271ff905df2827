"""Services on a real SQLite file in a temporary folder, and storage that fails."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from provlog.merkle.trust import Trust
from provlog.server.batch import Outcome
from provlog.server.clock import Clock
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.guard.store_url import StoreUrl
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance
from provlog.server.intake.draft import EventDraft
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.queueing import QueueLimits
from provlog.server.service import Service
from provlog.server.storage.base import CommitUnknownError, Storage, Transaction
from provlog.server.storage.opening import open_storage
from provlog.server.storage.sqlite import SqliteStorage
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


async def broken(_: ReleasedHead) -> str:
    """Fail to release a head, in the place of `Log.release`."""
    raise OSError("no space left on device")


@dataclass
class CommitFaults:
    """How the next commits fail, None for one that does not, and how many there were.

    Told that it "fails but is persisted", a commit is made all the same.
    """

    faults: list[str | None] = field(default_factory=list)
    commits: int = 0


def fail_commits(storage: Storage) -> CommitFaults:
    """Let a storage's commits, those of its barriers too, fail as told."""
    told, begin = CommitFaults(), storage.transaction

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Transaction]:
        async with begin() as begun:
            plain = begun.commit

            async def commit() -> None:
                told.commits += 1
                fault = told.faults.pop(0) if told.faults else None
                if fault == "fails but is persisted":
                    await plain()
                if fault is not None:
                    raise CommitUnknownError(fault)
                await plain()

            begun.commit = commit  # type: ignore[method-assign]
            yield begun

    storage.transaction = transaction  # type: ignore[method-assign]
    return told


class FaultyStorage(SqliteStorage):
    """Fails the next commits as `told`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told = fail_commits(self)


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
