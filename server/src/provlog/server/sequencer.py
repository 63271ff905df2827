"""From submissions to batches: the queues, and what works them off.

Group commit without timers: while one transaction commits, arriving work queues; the
next takes all of it, bounded in count and bytes. An idle log answers in about one
flush, a busy one fills its batches by itself.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from provlog.server.clock import Clock
from provlog.server.commit_path import CommitPath
from provlog.server.errors import (
    ConfigurationError,
    FrozenError,
    UnavailableError,
    describe,
)
from provlog.server.intake.draft import Draft
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.progress import Progress
from provlog.server.queueing import FairQueue, QueueLimits
from provlog.server.sharing import Load
from provlog.server.storage.base import Storage
from provlog.server.trust import Admission, HeadTrust, admit_all
from provlog.server.units import Committed, Unit, by_log, refuse, unknown

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits for the next commit."""

    units: int
    events: int
    bytes: int


class _Lane:
    """The queue of the logs that share their transactions, and what works it off."""

    def __init__(self, limits: QueueLimits) -> None:
        self.queue: FairQueue[Unit] = FairQueue(limits)
        self.units = 0
        self.arrived = asyncio.Event()
        self.progress = Progress()
        self.task: asyncio.Task[None] | None = None


class Sequencer:
    """Takes drafts and makes them entries, of any number of logs."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        metrics: Metrics,
        limits: QueueLimits | None = None,
        admit: Admission = admit_all,
    ) -> None:
        self.trust = HeadTrust(storage, admit)
        self._storage = storage
        self._path = CommitPath(storage, clock, metrics, self.trust)
        self._metrics = metrics
        self._limits = limits or QueueLimits()
        self._lanes: dict[int, _Lane] = {}
        self._closing = False

    async def submit(
        self, log: Log, drafts: Sequence[Draft], sender: str = ""
    ) -> Committed:
        """Return once all drafts are durable entries, or were found to be repetitions.

        Admitted whole or refused whole with `OverloadedError`. Any `UnavailableError`
        may be tried again with the same events: their ids keep them single. One that
        the empty queue could not take is refused with `OversizedError`. Logs, and the
        senders of one log, share queue and batches fairly; `sender` tells these apart.
        A caller that goes away does not take its submission back.
        """
        self.require_room(log, drafts, sender)
        lane = self._lane(log)
        answer = asyncio.get_running_loop().create_future()
        lane.queue.push(Unit(log, sender, drafts, _load(drafts), answer))
        lane.units += 1
        lane.arrived.set()
        return await asyncio.shield(answer)

    def require_room(self, log: Log, drafts: Sequence[Draft], sender: str = "") -> None:
        """Raise what `submit` would refuse these drafts with now."""
        if self._closing:
            raise UnavailableError("the server is stopping")
        self._lane(log).queue.require_room(log, sender, _load(drafts))

    def trouble(self) -> str | None:
        """Return why submissions are not taken, None where they are."""
        if self._closing:
            return "stopping"
        if any(lane.task and lane.task.done() for lane in self._lanes.values()):
            return "a commit task has ended"
        found = (lane.progress.trouble() for lane in self._lanes.values())
        return next((each for each in found if each), None)

    def waiting(self) -> Waiting:
        """Return how much waits for the next commit, in all lanes."""
        lanes = self._lanes.values()
        return Waiting(
            sum(lane.units for lane in lanes),
            sum(lane.queue.waiting.count for lane in lanes),
            sum(lane.queue.waiting.bytes for lane in lanes),
        )

    @property
    def is_closing(self) -> bool:
        """Tell whether submissions are refused because the server stops."""
        return self._closing

    async def close(self) -> None:
        """Refuse what arrives from now on, and commit what was taken before."""
        self._closing = True
        for lane in self._lanes.values():
            lane.arrived.set()
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task))

    def _lane(self, log: Log) -> _Lane:
        number = self._storage.lane(log.id)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = _Lane(self._limits)
            # Nothing of the request that happens to be the first: the lane outlives it.
            lane.task = asyncio.create_task(
                self._run(lane),
                name=f"commit-{number}",
                context=contextvars.Context(),
            )
        return lane

    async def _run(self, lane: _Lane) -> None:
        queue = lane.queue
        while queue or not self._closing:
            if not queue:
                lane.arrived.clear()
                await lane.arrived.wait()
            # One turn of the loop: requests that arrived together commit together.
            await asyncio.sleep(0)
            if queue:
                units = queue.take()
                self._count_taken(lane, units)
                work = by_log(units)
                lane.progress.begin()
                try:
                    await self._path.commit(work)
                except Exception as error:
                    # Whatever it was, the lane goes on, behind a barrier.
                    logger.critical("a bug in the commit path: %s", describe(error))
                    self.trust.doubt(work)
                    refuse(work, unknown())
                lane.progress.end(_failure(units))

    def _count_taken(self, lane: _Lane, units: Sequence[Unit]) -> None:
        now = time.perf_counter()
        lane.units -= len(units)
        for unit in units:
            self._metrics.spent("wait", now - unit.queued)


def _failure(units: Sequence[Unit]) -> BaseException | None:
    """Return an error if nobody was served; that a log has ended is an answer too."""
    settled = (FrozenError, ConfigurationError)
    errors = [unit.answer.exception() for unit in units]
    served = any(each is None or isinstance(each, settled) for each in errors)
    return None if served else errors[0]


def _load(drafts: Sequence[Draft]) -> Load:
    return Load(len(drafts), sum(draft.cost for draft in drafts))
