"""Which heads may be believed: when a barrier of our own has to come first.

A head that was read proves nothing where a commit of ours has an unknown outcome, or
where the database that answers is not the one that answered before: it may have been
started anew, or be another machine's copy. Then a barrier is written and committed
durably, and the guard is asked, before anything rests on the head.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from provlog.server.errors import ForkError, HaltedError
from provlog.server.log import Log
from provlog.server.storage.base import (
    Head,
    Incarnation,
    InterruptedStorageError,
    Storage,
    Transaction,
)

logger = logging.getLogger(__name__)

Admission: TypeAlias = Callable[[Incarnation], Awaitable[None]]
"""Says whether a database may go on with the logs; raises `ForkError` where not."""


Examination: TypeAlias = Callable[[Log, Head], Awaitable[None]]
"""Says whether a log may go on from a head; raises `ForkError` where not."""


async def admit_all(_: Incarnation) -> None:
    """Admit whatever database answers."""


async def examine_nothing(_: Log, __: Head) -> None:
    """Go on from any head."""


class HeadTrust:
    """What is believed of the heads of one storage."""

    def __init__(self, storage: Storage, admit: Admission = admit_all) -> None:
        self._storage = storage
        self._admit = admit
        # Asks outsiders what they know of a log, where another database answers.
        self.examine: Examination = examine_nothing
        self._doubted: set[Log] = set()

    def doubt(self, logs: Iterable[Log]) -> None:
        """Believe no head of these logs before the next barrier."""
        self._doubted.update(logs)

    async def ensure(self, log: Log) -> None:
        """Return once a head of this log that is read now may be believed.

        Raises `HaltedError` where this database must not go on with the log,
        `UnavailableError` where the guard does not answer, and what a barrier raises;
        the log is doubted still.
        """
        log.require_running()
        if log in self._doubted or log.incarnation != self._storage.incarnation():
            await self.barrier(log)

    async def lock(self, log: Log, transaction: Transaction) -> Head:
        """Lock a log's row and return its head, which may be believed.

        `InterruptedStorageError` where the transaction runs in another database than
        the one whose heads are.
        """
        head = await transaction.lock(log.id)
        if transaction.incarnation != log.incarnation:
            raise InterruptedStorageError("another database answers than before")
        return head

    async def barrier(self, log: Log) -> Head:
        """Pass a barrier whatever was believed, and return the head behind it.

        Raises like `ensure`.
        """
        self._doubted.add(log)
        while True:
            incarnation = self._storage.incarnation()
            if incarnation is not None and incarnation != log.incarnation:
                await self._admit_for(log, incarnation)
            # What any server released must be in this database. Asked before the
            # barrier: once it is passed the others go on, and release more.
            released = await log.newest_released()
            head = await self._storage.barrier(log.id)
            reason = await log.contradiction(head, released)
            # A connection made meanwhile may have reached yet another one.
            if incarnation == self._storage.incarnation():
                break
        if reason is None and incarnation != log.incarnation:
            reason = await self._found_by_others(log, head)
        if reason is not None:
            log.halt(reason)
            raise HaltedError(reason)
        log.incarnation = incarnation
        self._doubted.discard(log)
        return head

    async def _found_by_others(self, log: Log, head: Head) -> str | None:
        try:
            await self.examine(log, head)
        except ForkError as error:
            return str(error)
        return None

    async def _admit_for(self, log: Log, incarnation: Incarnation) -> None:
        try:
            await self._admit(incarnation)
        except ForkError as error:
            log.halt(str(error))
            raise HaltedError(str(error)) from None
