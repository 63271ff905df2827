"""The asking of one log's witnesses: all at a time, of the newest head, once a second.

A candidate is worked on until its cosignatures reach the quorum, or until nobody is
left who could still cosign it; then the newest released head takes its place. A witness
is asked once at a time, and not while it is in its pause. What is published is verified
and durable first (`published`); cosignatures that come later join a second publication
of the same head.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.errors import MerkleError
from provlog.server.errors import MissingKeyError, ServiceError, describe
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.log import Log
from provlog.server.reader import LogReader
from provlog.server.storage.base import Storage, StorageError
from provlog.server.witnessing.calls import Calls, WitnessError
from provlog.server.witnessing.candidate import Candidate
from provlog.server.witnessing.claims import Claims
from provlog.server.witnessing.figures import WitnessFigures
from provlog.server.witnessing.published import Publication
from provlog.server.witnessing.witness import Witness

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""How many seconds lie between two rounds, and two publications, at least."""


class Rounds:
    """Asks the witnesses of one log; the process holds the log's lease meanwhile.

    `known` are the sizes that witnesses are thought to know, by label.
    """

    def __init__(
        self,
        log: Log,
        storage: Storage,
        guard: Guard,
        publication: Publication,
        figures: WitnessFigures,
        known: Mapping[str, int],
    ) -> None:
        settings = publication.settings
        keys = {each.key for each in settings.policy.witnesses}
        self.witnesses = [
            Witness(
                each,
                log.origin,
                keys.difference(each.names),
                settings.timeout / 2,
                known.get(each.label),
            )
            for each in settings.endpoints
        ]
        self._log = log
        self._storage = storage
        self._reader = LogReader(log, storage)
        self._publication = publication
        self._settings = settings
        self._figures = figures
        self._candidate: Candidate | None = None
        self._begun = self._shown = -INTERVAL
        # Since when a newer head than the witnessed one has waited; None without one.
        self._behind: float | None = None
        self._renewed = -math.inf
        self._claims = Claims(log, storage, guard, settings)
        # What kept us from going on, and from asking, last.
        self._trouble: str | None = None
        self._failure: str | None = None
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, between: Callable[[], None] = lambda: None) -> None:
        """Ask until the log is halted, or this is cancelled.

        `between` is called about once a second, for who wants to write things down.
        """
        async with Calls(self._settings.timeout) as calls:
            try:
                while self._log.halted is None and self._log.retired is None:
                    self._wake.clear()
                    await self._turn(calls)
                    between()
                    await self._pause()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def waiting(self) -> float:
        """For how many seconds a newer head than the witnessed one has waited."""
        return 0.0 if self._behind is None else time.monotonic() - self._behind

    async def _turn(self, calls: Calls) -> None:
        """Do what there is to do now; what fails is tried again in the next turn."""
        try:
            head = await self._log.refresh()
            await self._publication.look()
            await self._finish()
            candidate = await self._choose(head)
            for witness in self.witnesses:
                if witness.endpoint.label in candidate.wanted and witness.is_due():
                    self._start(witness, candidate, calls)
        except (ServiceError, StorageError, MerkleError, OSError) as error:
            why = error.strerror or "" if isinstance(error, OSError) else str(error)
            self._tell(why)
        else:
            self._tell(None)

    async def _finish(self) -> None:
        """Publish the candidate before a newer head takes its place.

        A log that grows all the time has one in each turn.
        """
        if self._candidate is None:
            return
        try:
            await self._publish(self._candidate)
        except (MissingKeyError, MerkleError):
            # Signed by a key that was retired meanwhile, it could never be published;
            # a newer head is signed by another one.
            self._candidate = None
            raise

    async def _choose(self, head: ReleasedHead) -> Candidate:
        """Return the head to work on: the newest, once that of before is done with."""
        candidate, now = self._candidate, time.monotonic()
        witnessed = self._publication.witnessed
        behind = witnessed is None or witnessed.head.size < head.size
        self._behind = (self._behind or now) if behind else None
        if candidate is None:
            return self._begin(head)
        newer = head.size > candidate.head.size and now - self._begun >= INTERVAL
        if newer and self._is_done(candidate):
            return self._begin(head)
        if self._is_old(candidate):
            candidate.renew()
            self._renewed = now
        return candidate

    def _begin(self, head: ReleasedHead) -> Candidate:
        text = Checkpoint(self._log.origin, head.size, head.root).text()
        self._candidate = Candidate(head, text, self._settings.endpoints)
        self._begun = time.monotonic()
        published = self._publication.witnessed
        if published is not None and published.head == head:
            # After a restart: nobody needs to be asked for what is there.
            self._candidate.add(published.cosignatures)
            self._candidate.mark_shown(self._candidate.times())
        return self._candidate

    def _is_done(self, candidate: Candidate) -> bool:
        """Tell whether a newer head may take its place.

        One that has its quorum is published first, however long that took.
        """
        if not self._has_quorum(candidate):
            return self._is_exhausted(candidate) and not self._is_held(candidate)
        witnessed = self._publication.witnessed
        return witnessed is not None and witnessed.head.size >= candidate.head.size

    def _has_quorum(self, candidate: Candidate) -> bool:
        policy = self._settings.policy
        return policy.satisfied_by(candidate.witnesses(policy))

    def _is_exhausted(self, candidate: Candidate) -> bool:
        """Tell whether nobody is left who could cosign it soon."""
        return not any(
            each.busy or (each.is_due() and each.endpoint.label not in candidate.tried)
            for each in self.witnesses
            if each.endpoint.label in candidate.wanted
        )

    def _is_held(self, candidate: Candidate) -> bool:
        """Tell whether only limits keep a candidate from its quorum.

        Of a log that grows, two witnesses that cosign now and then would else never
        cosign the same head.
        """
        there, policy = (
            candidate.witnesses(self._settings.policy),
            self._settings.policy,
        )
        if not there or (self._settings.fail_open and not self._is_patient()):
            return False
        later = (
            each.endpoint.names.values() for each in self.witnesses if each.limited
        )
        return policy.satisfied_by(there.union(*later))

    def _is_old(self, candidate: Candidate) -> bool:
        """Tell whether its cosignatures are so old that it has to be cosigned anew.

        Not again before the same time has passed here, too: a witness's clock may lag.
        """
        refresh, policy = self._settings.refresh, self._settings.policy
        if time.monotonic() - self._renewed < refresh:
            return False
        since = candidate.cosigned_since(policy)
        return since is not None and time.time() - since >= refresh

    def _start(self, witness: Witness, candidate: Candidate, calls: Calls) -> None:
        witness.busy = True
        task = asyncio.create_task(self._ask(witness, candidate, calls))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, witness: Witness, candidate: Candidate, calls: Calls) -> None:
        """Ask a witness and note what came of it; whatever fails, it is free again."""
        label, begun = witness.endpoint.label, time.monotonic()
        outcome, trouble = "failed", None
        try:
            outcome = await self._question(witness, candidate, calls)
        except (ServiceError, StorageError, LookupError) as error:
            trouble = str(error)
        except Exception as error:
            trouble = describe(error)
        finally:
            witness.busy = False
            candidate.tried.add(label)
            seconds = time.monotonic() - begun
            self._figures.asked(self._log.record.name, label, outcome, seconds)
            self._wake.set()
        if trouble is not None:
            # Ours, and not the witness's.
            witness.rest(INTERVAL)
            if trouble != self._failure:
                logger.error("asking witness %a: %s", label, trouble)
        self._failure = trouble

    async def _question(
        self, witness: Witness, candidate: Candidate, calls: Calls
    ) -> str:
        """Return what came of asking a witness to cosign the candidate."""
        begun, size = time.monotonic(), candidate.head.size
        note = self._log.note(candidate.head).encode()
        try:
            prove = self._reader.consistency
            found = await witness.ask(calls, size, candidate.text, note, prove)
        except WitnessError as error:
            if not await self._claims.hear(witness, error, calls):
                witness.rest(INTERVAL)
                return "overtaken"
            witness.failed(error)
            return error.outcome
        candidate.add(found)
        witness.succeeded(found, time.monotonic() - begun)
        self._claims.withdraw(witness)
        return "cosigned"

    async def _publish(self, candidate: Candidate) -> None:
        policy = self._settings.policy
        there = candidate.witnesses(policy)
        quorum = policy.satisfied_by(there)
        witnesses = (each.name for each in policy.witnesses)
        self._publication.missing = tuple(
            each for each in witnesses if each not in there
        )
        if candidate.is_shown or time.monotonic() - self._shown < INTERVAL:
            return
        if not quorum and not self._may_be_open(candidate):
            return
        await self._keep_up(candidate)
        times, note = candidate.times(), candidate.note(self._log.note(candidate.head))
        await self._publication.publish(note, quorum=quorum)
        candidate.mark_shown(times)
        self._shown = time.monotonic()
        if quorum and self._behind is not None:
            # What is newer still has come since this candidate was chosen.
            caught_up = self._log.released.size <= candidate.head.size
            self._behind = None if caught_up else max(self._behind, self._begun)

    async def _keep_up(self, candidate: Candidate) -> None:
        """Before the first publication, publish a larger head that was served bare.

        Failing open every process has served the newest head so far.
        """
        publication = self._publication
        if not self._settings.fail_open or publication.published() is not None:
            return
        newest = await self._log.refresh()
        if newest.size > candidate.head.size:
            await publication.publish(self._log.note(newest).encode(), quorum=False)

    def _may_be_open(self, candidate: Candidate) -> bool:
        """Tell whether a head may be served that falls short of the quorum."""
        is_open = self._settings.fail_open and not self._is_patient()
        return is_open and self._is_exhausted(candidate)

    def _is_patient(self) -> bool:
        return self.waiting < self._settings.grace

    async def _pause(self) -> None:
        """Wait until there may be something to do, a second at most."""
        candidate = self._candidate
        shown = candidate is not None and candidate.is_shown
        last = self._begun if shown else max(self._begun, self._shown)
        rest = last + INTERVAL - time.monotonic()
        if candidate is None or rest > 0 or not self._is_done(candidate):
            await self._woken(rest if rest > 0 else INTERVAL)
            return
        size = candidate.head.size
        grown = asyncio.ensure_future(self._log.wait_beyond(size, INTERVAL))
        woken = asyncio.ensure_future(self._woken(INTERVAL))
        try:
            await asyncio.wait((grown, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            grown.cancel()
            woken.cancel()

    async def _woken(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _tell(self, trouble: str | None) -> None:
        """Log what keeps us from asking, once."""
        if trouble is not None and trouble != self._trouble:
            logger.error("witnesses of log %s: %s", self._log.origin, trouble)
        self._trouble = trouble
