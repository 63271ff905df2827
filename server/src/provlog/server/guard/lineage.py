"""Whether a database may go on with the logs that a guard of one machine knows.

Such a guard knows what this machine released. Where others write the same logs, a
database that failed over, or was restored, may have lost what only they released, and
the guard would not notice. So beside it stands which PostgreSQL cluster each log was
released from, and on which timeline: it changes with every promotion and every
restoration to a point in time. Where it changed, nothing more is released before an
operator has looked at it, unless failover was declared to lose nothing.

A guard that all servers share needs none of this: its head decides.
"""

import asyncio
import logging
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provlog.server.errors import ForkError, GuardBusyError
from provlog.server.storage.base import Incarnation

if TYPE_CHECKING:
    from provlog.server.guard.databases import DatabaseRecords, Records

logger = logging.getLogger(__name__)

_ATTEMPTS = 100
_PAUSE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL cluster and the timeline it is on."""

    system: int
    timeline: int

    @classmethod
    def of(cls, incarnation: Incarnation) -> "Database":
        """Return the database that an incarnation is a run of."""
        return cls(incarnation.system, incarnation.timeline)

    def __str__(self) -> str:
        return f"PostgreSQL system {self.system} on timeline {self.timeline}"


def objection(
    recorded: Database | None, found: Database | None, *, synchronous: bool
) -> str | None:
    """Return why a log must not go on in the database that was found, None if it may.

    `recorded` is where it was released from last, None where that is not known, as for
    an embedded database; `found` is None for an embedded one. `synchronous` says that
    failover is declared to lose nothing: then a later timeline of the same system is
    the same history. An earlier one never is: it is the primary that was left behind.
    """
    if recorded is None or recorded == found:
        return None
    if found is None:
        return f"it was released from {recorded}, and this is an embedded database"
    promoted = found.system == recorded.system and found.timeline > recorded.timeline
    if promoted and synchronous:
        return None
    return f"it was released from {recorded}, and this is {found}"


class Lineage:
    """Admits the databases in which the open logs may go on.

    `records` is None where the guard is shared. Not more than one task at a time gets
    to the files.
    """

    def __init__(
        self, records: "DatabaseRecords | None", *, synchronous: bool = False
    ) -> None:
        self._records = records
        self._synchronous = synchronous
        self._origins: set[str] = set()
        self._admitted: Database | None = None
        self._refusal: str | None = None
        self._lock = asyncio.Lock()

    async def admit(self, incarnation: Incarnation | None) -> None:
        """Return if the logs opened so far may go on in this database.

        Costs a comparison as long as it stays the same one. Raises `ForkError` where it
        is another one, from then on every time: only a new start looks again. Raises
        `UnavailableError` where the guard's folder cannot be read or written.
        """
        found = None if incarnation is None else Database.of(incarnation)
        if self._records is None or (found == self._admitted and not self._refusal):
            return
        async with self._lock:
            await self._admit(self._records, found, self._origins)

    async def open(
        self, incarnation: Incarnation | None, origins: Iterable[str]
    ) -> None:
        """Admit a database for logs that are about to be opened; raises like `admit`.

        What was not recorded yet is recorded.
        """
        if self._records is None:
            return
        found = None if incarnation is None else Database.of(incarnation)
        async with self._lock:
            # Of the logs that are open the records are known as long as it is the same.
            new = set(origins)
            looked_at = new if found == self._admitted else new | self._origins
            await self._admit(self._records, found, looked_at)
            self._origins |= new

    async def examine(
        self, incarnation: Incarnation | None, origins: Iterable[str]
    ) -> None:
        """Raise what `open` would raise for a database, and record nothing yet."""
        if self._records is None:
            return
        found = None if incarnation is None else Database.of(incarnation)
        before = await asyncio.to_thread(_read, self._records, set(origins))
        self._refuse(before, found)

    async def _admit(
        self, records: "DatabaseRecords", found: Database | None, origins: Set[str]
    ) -> None:
        if self._refusal is not None:
            raise ForkError(self._refusal)
        for _ in range(_ATTEMPTS):
            try:
                if await asyncio.to_thread(self._judge, records, found, origins):
                    self._admitted = found
                    return
            except ForkError as error:
                self._refusal = str(error)
                logger.critical("the database is refused: %s", error)
                raise
            except GuardBusyError:
                pass
            await asyncio.sleep(_PAUSE_SECONDS)
        raise GuardBusyError("another process holds the lock of the guard's folder")

    def _judge(
        self, records: "DatabaseRecords", found: Database | None, origins: Set[str]
    ) -> bool:
        """Hold a database against the records and bring these up to date.

        False where another process changed one of them meanwhile.
        """
        before = _read(records, origins)
        self._refuse(before, found)
        if found is None:
            return True
        changes = {
            origin: found for origin, recorded in before.items() if recorded != found
        }
        return records.write(changes, before)

    def _refuse(self, before: "Records", found: Database | None) -> None:
        """Raise `ForkError` where a log must not go on in the database."""
        for origin, recorded in before.items():
            reason = objection(recorded, found, synchronous=self._synchronous)
            if reason is not None:
                raise ForkError(refusal(origin, reason))


def _read(records: "DatabaseRecords", origins: Set[str]) -> "Records":
    return {origin: records.read(origin) for origin in sorted(origins)}


def refusal(origin: str, reason: str) -> str:
    """Return what an operator is told of a log that must not go on."""
    return (
        f"log {origin}: {reason}: entries that other servers released may be lost, and"
        " the guard of this machine would not know; provlog-server recover looks what"
        " can be done"
    )
