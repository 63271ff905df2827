"""The commit path: one straight transaction, and the release of what it made durable.

The row lock is the only sequencer: other processes may write the same logs.
"""

import logging
from dataclasses import dataclass

from provlog.merkle.edge import Growth
from provlog.server.announced import Announced
from provlog.server.batch import Batch, Outcome, Release, appended_sources
from provlog.server.clock import Clock
from provlog.server.errors import (
    ConfigurationError,
    FrozenError,
    HaltedError,
    ServiceError,
    UnavailableError,
    describe,
)
from provlog.server.guard import ReleasedHead
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.patience import Patience
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
from provlog.server.trust import HeadTrust
from provlog.server.units import (
    Committed,
    Unit,
    Work,
    refuse,
    unanswered,
    unknown,
    unreachable,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Plan:
    """What one transaction does to one log.

    `announced` is what the log has announced once that is durable. `refused` are units
    that add nothing, because of what is announced: they are told once that is certain.
    """

    log: Log
    units: list[Unit]
    outcomes: list[list[Outcome]]
    before: Head
    growth: Growth | None
    extension: Extension | None
    incarnation: Incarnation | None
    announced: Announced
    refused: list[tuple[Unit, ServiceError]]

    @property
    def everybody(self) -> Work:
        """All units that wait for an answer."""
        return {self.log: [*self.units, *(unit for unit, _ in self.refused)]}

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


class CommitPath:
    """Makes entries of submissions, batch by batch: the one place where heads move."""

    def __init__(
        self, storage: Storage, clock: Clock, metrics: Metrics, trust: HeadTrust
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._metrics = metrics
        self._trust = trust

    async def commit(self, work: Work) -> None:
        """Answer every submission of a batch, once what it adds is durable.

        Begun again for a while where the database goes away before the commit. What is
        raised all the same is a bug, and says nothing of what was written.
        """
        patience = Patience()
        while True:
            try:
                return await self._commit(work)
            except InterruptedStorageError as error:
                # Nothing was written. Whoever was refused meanwhile (by a clock, say)
                # was told so, and is not in the next attempt.
                work = unanswered(work)
                self._metrics.commit("interrupted")
                logger.warning("tried again: %s", error)
                if not await patience.wait():
                    self._metrics.commit("failed")
                    return refuse(work, unreachable())

    async def _commit(self, work: Work) -> None:
        """Commit one batch: the one place where heads move.

        Whatever happens, every unit is answered, but for an `InterruptedStorageError`:
        then nothing was written.
        """
        plans: list[Plan] = []
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
                refuse(work, unknown())
            plans = [plan for plan in plans if await self._settle(plan)]
        except InterruptedStorageError:
            raise
        except (ServiceError, StorageError) as error:
            self._metrics.commit("failed")
            logger.error("nothing was committed: %s", error)
            refuse(work, unreachable())
            return
        for plan in plans:
            await self._release(plan)

    async def _plan(
        self, transaction: Transaction, log: Log, units: list[Unit]
    ) -> Plan | None:
        """Lock one log and write what its units add; None where it cannot be written.

        If we crash anywhere in here, the transaction rolls back.
        """
        # 1. The lock: until the commit nobody else moves this head. Clock and guard
        # are asked under it, and may stop this log while the others go on.
        head = await self._trust.lock(log, transaction)
        try:
            offset = transaction.clock_offset_ms()
            recorded = self._clock.date(head.recorded, offset)
            edge = await log.edge_at(head, transaction)
            # Another process may have announced a key that this one does not have, or
            # the end of the log: nothing is written that could not be signed.
            announced = await log.announced_at(head, transaction)
            log.signer.require(announced, head.size)
            # 2. and 3. Repetitions and conflicts leave the batch, the others become
            # leaves with their place and time.
            with self._metrics.stage("leaf"):
                batch = Batch(log.id, head, recorded, transaction, announced)
                await batch.look_up(draft for unit in units for draft in unit.drafts)
                placed, outcomes, refused = await _place(batch, units)
            # Also with a key that is announced in this very batch.
            log.signer.require(batch.announced, head.size + batch.count)
        except UnavailableError as error:
            refuse({log: units}, error)
            return None
        with self._metrics.stage("tree"):
            grown = batch.grow(edge)
        growth, extension = grown if grown is not None else (None, batch.unlogged())
        plan = Plan(
            log,
            placed,
            outcomes,
            head,
            growth,
            extension,
            transaction.incarnation,
            batch.announced,
            refused,
        )
        if extension is None:
            if plan.writes:
                # The answers rest on a head that another process committed and that
                # nobody has released: a barrier of our own makes sure of it.
                await transaction.mark(log.id)
            return plan
        # 4. Entries, tiles, private rows and the head, in one transaction.
        with self._metrics.stage("store"):
            await transaction.extend(extension)
        return plan

    async def _release(self, plan: Plan) -> None:
        """Answer a plan whose entries are durable.

        If we crash before the guard is written, the next start releases this head; if
        after it, the entries are known to be released. Either way they stay.
        """
        log, growth, head = plan.log, plan.growth, plan.head
        try:
            # 5. The guard, and only then the signature.
            with self._metrics.stage("sign"):
                before = ReleasedHead(plan.before.size, plan.before.root)
                log.foresee(head, plan.announced)
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
            refuse(plan.everybody, error if halted else told)
            return
        for unit, reason in plan.refused:
            unit.fail(reason)
        self._metrics.committed(plan.outcomes)
        if plan.growth is not None and plan.extension is not None:
            recorded = plan.extension.head.recorded
            sources = appended_sources(plan.outcomes)
            log.freshness.appended(plan.before.size, head.size, recorded, sources)
        for unit, outcomes in zip(plan.units, plan.outcomes, strict=True):
            if not unit.answer.done():
                unit.answer.set_result(Committed(outcomes, release))

    async def _trusted(self, work: Work) -> Work:
        """Return the work on logs whose heads may be believed; the other is refused."""
        trusted = {}
        for log, units in work.items():
            try:
                await self._trust.ensure(log)
            except UnavailableError as error:
                refuse({log: units}, error)
            else:
                trusted[log] = units
        return trusted

    async def _settle(self, plan: Plan) -> bool:
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
            self._trust.doubt([plan.log])
            known = isinstance(error, (ServiceError, StorageError))
            logger.error("the barrier failed: %s", error if known else describe(error))
        refuse(plan.everybody, unknown())
        return False

    async def _barrier(self, log: Log) -> Head:
        """Pass a barrier, again where the database is away for a while."""
        patience = Patience()
        while True:
            try:
                return await self._trust.barrier(log)
            except InterruptedStorageError:
                if not await patience.wait():
                    raise


async def _place(
    batch: Batch, units: list[Unit]
) -> tuple[list[Unit], list[list[Outcome]], list[tuple[Unit, ServiceError]]]:
    """Return the units that were placed, their outcomes, and the other units."""
    placed: list[Unit] = []
    outcomes: list[list[Outcome]] = []
    refused: list[tuple[Unit, ServiceError]] = []
    for unit in units:
        try:
            outcomes.append(await batch.place(unit.drafts))
        except (FrozenError, ConfigurationError) as error:
            refused.append((unit, error))
        else:
            placed.append(unit)
    return placed, outcomes, refused


async def _commit(transaction: Transaction) -> None:
    try:
        await transaction.commit()
    except CommitUnknownError:
        raise
    except Exception as error:
        # From here on nothing can be taken for not written.
        raise CommitUnknownError(type(error).__name__) from error
