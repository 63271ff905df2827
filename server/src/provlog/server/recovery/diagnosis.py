"""What guard and database say of each log; looking changes nothing."""

from dataclasses import dataclass
from enum import Enum

from provlog.server.errors import ConfigurationError, ServiceError
from provlog.server.guard import Guard, GuardRecord
from provlog.server.guard.databases import DatabaseRecords
from provlog.server.guard.lineage import Database, objection
from provlog.server.instance import Instance
from provlog.server.keyring import Keyring
from provlog.server.log import contradiction
from provlog.server.storage.base import Head, LogRecord, Storage, StorageError
from provlog.server.tree import TileCache, Tree


class Verdict(Enum):
    """What is to be thought of a log."""

    SOUND = "sound"
    """The database goes on from what was released."""

    UNACCEPTED = "unaccepted"
    """It does, but is another one, or on another timeline, than the log came from."""

    LOST = "lost"
    """It does not: it ends before the guard's head, or is of another history."""

    UNGUARDED = "unguarded"
    """The guard knows nothing of the log."""

    UNREADABLE = "unreadable"
    """Guard or database cannot be read."""

    RETIRED = "retired"
    """Another log goes on in its place."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found of one log, and why that is the verdict.

    `released` is what the guard holds, `head` what the database ends with, None where
    there is nothing or it cannot be read. `recorded` is the database that the log was
    released from, None where nothing is recorded of it.
    """

    record: LogRecord
    verdict: Verdict
    reason: str
    released: GuardRecord | None = None
    head: Head | None = None
    recorded: Database | None = None


class Examiner:
    """Looks at the logs of an instance, as they are in guard and database."""

    def __init__(self, instance: Instance, storage: Storage, guard: Guard) -> None:
        self.storage = storage
        self.guard = guard
        self.keyring = Keyring(instance.keys)
        self.records = None if guard.shared else DatabaseRecords(instance.guard)

    def found(self) -> Database | None:
        """Return the database that answers, None for an embedded one."""
        incarnation = self.storage.incarnation()
        return None if incarnation is None else Database.of(incarnation)

    async def every(self) -> list[Diagnosis]:
        """Return what is found of each log of the database, by name."""
        return [await self.one(record) for record in await self.storage.logs()]

    async def one(self, record: LogRecord) -> Diagnosis:
        """Return what is found of one log."""
        try:
            # The guard first: what it holds was committed before it was read.
            released = await self.guard.inspect(record.origin)
            head = await self.storage.head(record.id)
            successor = self.keyring.retired(record.name)
        except (ServiceError, StorageError) as error:
            return Diagnosis(record, Verdict.UNREADABLE, str(error))
        if released is not None:
            successor = released.successor or successor
        if successor is not None:
            reason = f"nothing of it is signed any more: the log {successor} goes on"
            return Diagnosis(record, Verdict.RETIRED, reason, released, head)
        return await self._judged(record, released, head)

    async def _judged(
        self, record: LogRecord, released: GuardRecord | None, head: Head
    ) -> Diagnosis:
        def say(verdict: Verdict, reason: str) -> Diagnosis:
            return Diagnosis(record, verdict, reason, released, head, recorded)

        recorded, damaged = self._recorded(record.origin)
        tree = Tree(self.storage, record.id, TileCache())
        try:
            guarded = None if released is None else released.head
            reason = await contradiction(tree, head, guarded)
        except StorageError as error:
            return say(Verdict.UNREADABLE, str(error))
        if released is None:
            return say(
                Verdict.UNGUARDED,
                f"nothing is recorded at {self.guard.describe(record.origin)}: nobody"
                " here can say what was released",
            )
        if reason is not None:
            return say(Verdict.LOST, reason)
        if damaged is not None:
            return say(Verdict.UNACCEPTED, damaged)
        reason = objection(recorded, self.found(), synchronous=False)
        if reason is not None:
            return say(Verdict.UNACCEPTED, reason)
        return say(Verdict.SOUND, "the database goes on from what was released")

    def _recorded(self, origin: str) -> tuple[Database | None, str | None]:
        """Return the database that is recorded, or what is wrong with the record."""
        if self.records is None:
            return None, None
        try:
            return self.records.read(origin), None
        except ConfigurationError as error:
            return None, str(error)
