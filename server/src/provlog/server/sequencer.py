"""The commit path: queue, one straight transaction, release.

Group commit without timers: while one transaction commits, arriving work queues; the
next takes all of it, bounded in count and bytes. An idle log answers in about one
flush, a busy one fills its batches by itself. The row lock is the only sequencer:
other processes may write the same logs.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from provlog.merkle.edge import Growth
from provlog.server.batch import Batch, Outcome, Release, appended_sources
from provlog.server.clock import Clock
from provlog.server.errors import (
    HaltedError,
    ServiceError,
    UnavailableError,
    describe,
)
from provlog.server.guard import ReleasedHead
from provlog.server.intake.draft import Draft
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.patience import Patience
from provlog.server.progress import Progress
from provlog.server.queueing import FairQueue, QueueLimits
from provlog.server.sharing import Load
from provlog.server.storage.base import (
    CommitUnknownError,
    Extension,
    Head,
    Incarnation,
    InterruptedStorageError,
    Storage,
    StorageError,
    Transaction,
)
from provlog.server.trust import Admission, HeadTrust, admit_all

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one submission, in the order of its drafts."""

    outcomes: list[Outcome]
    release: Release


@dataclass(slots=True, eq=False)
class _Unit:
    """One submission in the queue: committed as a whole, answered by its future."""

    log: Log
    sender: str
    drafts: Sequence[Draft]
    load: Load
    answer: "asyncio.Future[Committed]"
    queued: float = field(default_factory=time.perf_counter)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits for the next commit."""

    units: int
    events: int
    bytes: int


@dataclass(slots=True)
class _Plan:
    """What one transaction does to one log."""

    log: Log
    units: list[_Unit]
    outcomes: list[list[Outcome]]
    before: Head
    growth: Growth | None
    extension: Extension | None
    incarnation: Incarnation | None

    @property
    def head(self) -> ReleasedHead:
        """The head that its answers rest on, once that is durable."""
        if self.growth is None:
            return ReleasedHead(self.before.size, self.before.root)
        return ReleasedHead(self.growth.edge.size, self.growth.root)

    @property
    def writes(self) -> bool:
        """Whether the plan needs a commit."""
        return self.extension is not None or self.before.size > self.log.released.size


class _Lane:
    """The queue of the logs that share their transactions, and what works it off."""

    def __init__(self, limits: QueueLimits) -> None:
        self.queue: FairQueue[_Unit] = FairQueue(limits)
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
        self._clock = clock
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
        lane.queue.push(_Unit(log, sender, drafts, _load(drafts), answer))
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
                work = _by_log(units)
                lane.progress.begin()
                try:
                    await self._commit_patiently(work)
                except Exception as error:
                    # Whatever it was, the lane goes on, behind a barrier.
                    logger.critical("a bug in the commit path: %s", describe(error))
                    self.trust.doubt(work)
                    _refuse(work, _unknown())
                errors = [unit.answer.exception() for unit in units]
                lane.progress.end(errors[0] if all(errors) else None)

    def _count_taken(self, lane: _Lane, units: Sequence[_Unit]) -> None:
        now = time.perf_counter()
        lane.units -= len(units)
        for unit in units:
            self._metrics.spent("wait", now - unit.queued)

    async def _commit_patiently(self, work: dict[Log, list[_Unit]]) -> None:
        """Commit one batch, again where the database went away before the commit."""
        patience = Patience()
        while True:
            try:
                return await self._commit(work)
            except InterruptedStorageError as error:
                # Nothing was written and nobody was answered.
                self._metrics.commit("interrupted")
                logger.warning("tried again: %s", error)
                if not await patience.wait():
                    self._metrics.commit("failed")
                    return _refuse(work, _unreachable())

    async def _commit(self, work: dict[Log, list[_Unit]]) -> None:
        """Commit one batch: the one place where heads move.

        Whatever happens, every unit is answered, but for an `InterruptedStorageError`:
        then nothing was written.
        """
        plans: list[_Plan] = []
        try:
            # After a commit of unknown outcome, and in a database that was started
            # anew, no head is believed before a barrier of our own is on disk.
            trusted = await self._trusted(work)
            async with self._storage.transaction() as transaction:
                for log, units in trusted.items():
                    plan = await self._plan(transaction, log, units)
                    if plan is not None:
                        plans.append(plan)
                if any(plan.writes for plan in plans):
                    # If we crash before the flush, the old heads stand: nobody was
                    # answered, everybody sends again. If we crash after it, there are
                    # entries without an answer: their events are sent again and found
                    # to be repetitions.
                    with self._metrics.stage("commit"):
                        await _commit(transaction)
                    self._metrics.commit("durable")
        except CommitUnknownError as error:
            self._metrics.commit("unknown")
            logger.error("commit of unknown outcome: %s", error)
            if not plans:  # it was a barrier's
                _refuse(work, _unknown())
            plans = [plan for plan in plans if await self._settle(plan)]
        except InterruptedStorageError:
            raise
        except (ServiceError, StorageError) as error:
            self._metrics.commit("failed")
            logger.error("nothing was committed: %s", error)
            _refuse(work, _unreachable())
            return
        for plan in plans:
            await self._release(plan)

    async def _plan(
        self, transaction: Transaction, log: Log, units: list[_Unit]
    ) -> _Plan | None:
        """Lock one log and write what its units add; None where it cannot be written.

        If we crash anywhere in here, the transaction rolls back.
        """
        # 1. The lock: until the commit nobody else moves this head. Clock and guard
        # are asked under it, and may stop this log while the others go on.
        head = await self.trust.lock(log, transaction)
        try:
            offset = transaction.clock_offset_ms()
            recorded = self._clock.date(head.recorded, offset)
            edge = await log.edge_at(head, transaction)
            # 2. and 3. Repetitions and conflicts leave the batch, the others become
            # leaves with their place and time.
            with self._metrics.stage("leaf"):
                batch = Batch(log.id, head, recorded, transaction)
                await batch.look_up(draft for unit in units for draft in unit.drafts)
                outcomes = [await batch.place(unit.drafts) for unit in units]
        except UnavailableError as error:
            _refuse({log: units}, error)
            return None
        with self._metrics.stage("tree"):
            grown = batch.grow(edge)
        if grown is None:
            plan = _Plan(
                log, units, outcomes, head, None, None, transaction.incarnation
            )
            if plan.writes:
                # The answers rest on a head that another process committed and that
                # nobody has released: a barrier of our own makes sure of it.
                await transaction.mark(log.id)
            return plan
        # 4. Entries, tiles, private rows and the head, in one transaction.
        growth, extension = grown
        with self._metrics.stage("store"):
            await transaction.extend(extension)
        return _Plan(
            log, units, outcomes, head, growth, extension, transaction.incarnation
        )

    async def _release(self, plan: _Plan) -> None:
        """Answer a plan whose entries are durable.

        If we crash before the guard is written, the next start releases this head; if
        after it, the entries are known to be released. Either way they stay.
        """
        log, growth, head = plan.log, plan.growth, plan.head
        try:
            # 5. The guard, and only then the signature.
            with self._metrics.stage("sign"):
                before = ReleasedHead(plan.before.size, plan.before.root)
                note = await log.release(head, plan.incarnation, before)
                release = Release(head, note, growth)
                if growth is not None:
                    log.edge = growth.edge
        except Exception as error:
            # The entries are durable, but may not be shown. Sent again, their events
            # are answered from the log as soon as it is released.
            logger.error(
                "log %s: a committed head cannot be released: %s",
                log.origin,
                error if isinstance(error, ServiceError) else describe(error),
            )
            told = UnavailableError("the head cannot be released")
            halted = isinstance(error, HaltedError)
            _refuse({log: plan.units}, error if halted else told)
            return
        self._metrics.committed(plan.outcomes)
        if plan.extension is not None:
            recorded = plan.extension.head.recorded
            sources = appended_sources(plan.outcomes)
            log.freshness.appended(plan.before.size, head.size, recorded, sources)
        for unit, outcomes in zip(plan.units, plan.outcomes, strict=True):
            if not unit.answer.done():
                unit.answer.set_result(Committed(outcomes, release))

    async def _trusted(self, work: dict[Log, list[_Unit]]) -> dict[Log, list[_Unit]]:
        """Return the work on logs whose heads may be believed; the other is refused."""
        trusted = {}
        for log, units in work.items():
            try:
                await self.trust.ensure(log)
            except UnavailableError as error:
                _refuse({log: units}, error)
            else:
                trusted[log] = units
        return trusted

    async def _settle(self, plan: _Plan) -> bool:
        """Find out, behind a barrier, whether a commit of unknown outcome is durable.

        Where it is, the plan can be released. Where it is not, or cannot be told, its
        units are refused: the same events may be sent again either way.
        """
        try:
            head = await self._barrier(plan.log)
            plan.incarnation = plan.log.incarnation
            # Also where nothing was to be added: the head before may be another
            # server's, and be lost.
            if await plan.log.is_stored(plan.head, head):
                return True
        except Exception as error:
            self.trust.doubt([plan.log])
            known = isinstance(error, (ServiceError, StorageError))
            logger.error("the barrier failed: %s", error if known else describe(error))
        _refuse({plan.log: plan.units}, _unknown())
        return False

    async def _barrier(self, log: Log) -> Head:
        """Pass a barrier, again where the database is away for a while."""
        patience = Patience()
        while True:
            try:
                return await self.trust.barrier(log)
            except InterruptedStorageError:
                if not await patience.wait():
                    raise


def _by_log(units: Sequence[_Unit]) -> dict[Log, list[_Unit]]:
    work: dict[Log, list[_Unit]] = {}
    for unit in units:
        work.setdefault(unit.log, []).append(unit)
    return work


def _load(drafts: Sequence[Draft]) -> Load:
    return Load(len(drafts), sum(draft.cost for draft in drafts))


async def _commit(transaction: Transaction) -> None:
    try:
        await transaction.commit()
    except CommitUnknownError:
        raise
    except Exception as error:
        # From here on nothing can be taken for not written.
        raise CommitUnknownError(type(error).__name__) from error


def _refuse(work: dict[Log, list[_Unit]], error: Exception) -> None:
    for units in work.values():
        for unit in units:
            unit.fail(error)


def _unreachable() -> UnavailableError:
    return UnavailableError("the database does not answer")


def _unknown() -> UnavailableError:
    return UnavailableError("the database failed; send the same events again")
