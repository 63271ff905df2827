"""Which heads may be believed: when a barrier of our own has to come first.

A head that was read proves nothing where a commit of ours has an unknown outcome, or
where the database that answers is not the one that answered before: it may have been
started anew, or be another machine's copy. Then a barrier is written and committed
durably, and the guard is asked, before anything rests on the head.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from provlog.server.errors import ForkError, HaltedError
from provlog.server.log import Log
from provlog.server.storage.base import Head, Incarnation, Storage

logger = logging.getLogger(__name__)

Admission: TypeAlias = Callable[[Incarnation], Awaitable[None]]
"""Says whether a database may go on with the logs; raises `ForkError` where not."""

PATIENCE_SECONDS: Final = 10.0
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


async def admit_all(_: Incarnation) -> None:
    """Admit whatever database answers."""


class Patience:
    """How long something is tried again, in growing pauses."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._end = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE

    async def wait(self) -> bool:
        """Wait a little and return True, or return False where it was long enough."""
        if time.monotonic() + self._pause > self._end:
            return False
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True


class HeadTrust:
    """What is believed of the heads of one storage."""

    def __init__(self, storage: Storage, admit: Admission = admit_all) -> None:
        self._storage = storage
        self._admit = admit
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
        if log in self._doubted or log.incarnation != self._storage.incarnation():
            await self.barrier(log)

    async def barrier(self, log: Log) -> Head:
        """Pass a barrier whatever was believed, and return the head behind it.

        Raises like `ensure`.
        """
        self._doubted.add(log)
        while True:
            incarnation = self._storage.incarnation()
            if incarnation is not None and incarnation != log.incarnation:
                await self._admit_for(log, incarnation)
            head = await self._storage.barrier(log.id)
            # A connection made for the barrier may have reached yet another one.
            if incarnation == self._storage.incarnation():
                break
        # What any server released must be in this database: if not, this halts the log.
        await log.refresh()
        log.incarnation = incarnation
        self._doubted.discard(log)
        return head

    async def _admit_for(self, log: Log, incarnation: Incarnation) -> None:
        try:
            await self._admit(incarnation)
        except ForkError as error:
            log.halt(str(error))
            raise HaltedError(str(error)) from None
