"""Folds the leaves of every log into reports on its sources, in the background.

Only released leaves are read, in strides of a few milliseconds, and no more than a
tenth of the time. Every process does it for itself: what it comes to depends on the
leaves alone. After a restart it goes on from what was kept, if that is of the log's own
tree, and the leaves behind it are few.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from provlog.merkle.source_fold import Scope, SourceFold
from provlog.server.errors import ServiceError, describe
from provlog.server.health.keeping import Keeper, Kept
from provlog.server.log import Log
from provlog.server.open_logs import TURN
from provlog.server.storage.base import Storage, StorageError

logger = logging.getLogger(__name__)

STRIDE: Final = 128
"""How many leaves are folded before other work has its turn."""

FRESHEN: Final = 1_024
"""How many leaves are folded for somebody who asks, at most."""

KEEP_LEAVES: Final = 4_096
KEEP_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 1.0
_SHARE: Final = 0.1
SCOPE: Final = Scope()


@dataclass
class Followed:
    """One log: what was folded of it, and up to where that is kept.

    `complete` once it had reached the end of the log: before that, sources seem to be
    worse than they are. `spent` is how many seconds the last stride kept the event loop
    from other work, waiting for the database not included.
    """

    fold: SourceFold
    kept: int
    kept_at: float = -math.inf
    complete: bool = False
    spent: float = 0.0
    trouble: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_due(self) -> bool:
        """Tell whether it is worth keeping again."""
        if self.fold.size - self.kept < KEEP_LEAVES:
            return False
        return time.monotonic() - self.kept_at >= KEEP_SECONDS


class Health:
    """The reports on the sources of all logs, each up to some size of its log.

    Without a `keeper` they are made anew at every start.
    """

    def __init__(self, storage: Storage, keeper: Keeper | None = None) -> None:
        self._storage = storage
        self._keeper = keeper
        self._followed: dict[int, Followed] = {}
        self._opening = asyncio.Lock()

    def complete(self, log: Log) -> SourceFold | None:
        """Return the reports of a log, None before they once covered all of it."""
        followed = self._followed.get(log.id)
        return followed.fold if followed is not None and followed.complete else None

    async def current(self, log: Log) -> SourceFold:
        """Return the reports of a log; they cover all of it if little was missing.

        Raises `StorageError`.
        """
        for _ in range(FRESHEN // STRIDE):
            if not await self.step(log):
                break
        return (await self._of(log)).fold

    async def follow(self, logs: Callable[[], Sequence[Log]]) -> None:
        """Keep the reports of all logs up to date; runs until it is cancelled."""
        while True:
            behind = False
            for place, log in enumerate(logs()):
                if place % TURN == 0:
                    await asyncio.sleep(0)
                behind = await self._attend(log) or behind
            await asyncio.sleep(0 if behind else _PAUSE_SECONDS)

    async def step(self, log: Log) -> bool:
        """Fold a stride of a log's leaves; tell whether there are more of them."""
        followed = await self._of(log)
        async with followed.lock:
            fold, size = followed.fold, log.released.size
            end = min(fold.size + STRIDE, size)
            if fold.size < end:
                leaves = await self._storage.leaves(log.id, fold.size, end)
                begun = time.monotonic()
                for leaf in leaves:
                    fold.add(leaf)
                followed.spent = time.monotonic() - begun
            followed.complete = followed.complete or fold.size >= size
            return fold.size < size

    async def keep(self, log: Log) -> None:
        """Write down what was folded of a log, unless that is little or was just done.

        Raises `OSError` and `StorageError`.
        """
        followed = await self._of(log)
        if self._keeper is None or not followed.is_due():
            return
        followed.kept_at = time.monotonic()
        async with followed.lock:
            kept = Kept(await log.tree.root(followed.fold.size), followed.fold)
            name, origin = log.record.name, log.origin
            await asyncio.to_thread(self._keeper.save, name, origin, kept)
            followed.kept = followed.fold.size

    async def _attend(self, log: Log) -> bool:
        """Do what there is to do for one log; what fails is tried again later."""
        followed = self._followed.get(log.id)
        idle = followed is not None and followed.fold.size >= log.released.size
        if followed is not None and idle and not followed.is_due():
            return False
        try:
            behind = await self.step(log)
        except Exception as error:
            self._tell(log, "cannot be seen", error)
            return False
        try:
            await self.keep(log)
        except Exception as error:
            self._tell(log, "cannot be kept", error)
        spent = self._followed[log.id].spent
        await asyncio.sleep(spent * (1 / _SHARE - 1))
        return behind

    def _tell(self, log: Log, what: str, error: Exception) -> None:
        """Log what fails, unless it was the last thing that failed, too."""
        known = isinstance(error, (ServiceError, StorageError, OSError))
        why = f"{what}: {error if known else describe(error)}"
        followed = self._followed.get(log.id)
        if followed is None or followed.trouble != why:
            logger.error("the sources of log %s %s", log.origin, why)
        if followed is not None:
            followed.trouble = why

    async def _of(self, log: Log) -> Followed:
        """Return what is known of a log, at first what was kept of it."""
        followed = self._followed.get(log.id)
        if followed is not None:
            return followed
        async with self._opening:
            if log.id not in self._followed:
                fold = await self._recall(log)
                self._followed[log.id] = Followed(fold, fold.size)
            return self._followed[log.id]

    async def _recall(self, log: Log) -> SourceFold:
        if self._keeper is None:
            return SourceFold(SCOPE)
        name = log.record.name
        kept = await asyncio.to_thread(self._keeper.load, name, log.origin, SCOPE)
        if kept is None:
            return SourceFold(SCOPE)
        size = kept.fold.size
        if not 0 < size <= log.released.size or await log.tree.root(size) != kept.root:
            # Of a history that this database does not have.
            await asyncio.to_thread(self._keeper.discard, name)
            return SourceFold(SCOPE)
        return kept.fold
