"""One log of many: looked at, read, judged. Whatever it does ends nothing but a look.

Two things go on side by side: looks at the head, and the reading of entries, which may
take hours where a log is large. A log that misbehaves stays in alarm and is watched on,
along the history that this monitor knows: what it does next matters as well.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from provlog.client.alerting.alerts import Alert
from provlog.client.errors import UsageError
from provlog.client.fetching import LogReader
from provlog.client.memory import FileMemory
from provlog.client.monitoring.alarm_file import AlarmFile
from provlog.client.monitoring.alarms import Alarms
from provlog.client.monitoring.clocks import Clock
from provlog.client.monitoring.config import LogConfig
from provlog.client.monitoring.followed import Followed
from provlog.client.monitoring.freshness import judge_freshness, quorum_time
from provlog.client.monitoring.judging import (
    Judgement,
    SparingMemory,
    judge_error,
    judge_report,
)
from provlog.client.monitoring.reading_on import ReadingOn
from provlog.client.transport import Transport
from provlog.client.watching import MisbehaviourError, Report, Watch
from provlog.merkle.errors import MerkleError
from provlog.merkle.trust import SignedCheckpoint, verify_checkpoint

PATIENCE: Final = 2.0
FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 60.0

Tell = Callable[[Sequence[Alert]], Awaitable[None]]
OnReport = Callable[[Report], None]


class Follower:
    """Follows one log; `followed` is what is known of it.

    `tell` keeps alerts for good before it returns. `limit` bounds how many logs are
    read at a time. Alarms and the state of the reading are kept beside `memory`.
    """

    def __init__(
        self,
        config: LogConfig,
        memory: FileMemory,
        clock: Clock,
        tell: Tell,
        *,
        repeat: float,
        parallel: int,
        limit: asyncio.Semaphore,
        on_report: OnReport = lambda _: None,
    ) -> None:
        self.config = config
        self.followed = Followed(config.origin)
        self._clock = clock
        self._tell = tell
        self._on_report = on_report
        self._reader = LogReader(_transport(config), config.trust)
        self._evidence = SparingMemory(memory.folder, lambda: self._reader.keys.trust)
        self._watch = Watch(self._reader, config.trust, self._evidence)
        onsets = {"unreachable": config.unreachable_after}
        self._alarms = Alarms(config.origin, repeat, onsets)
        self._file = AlarmFile(
            memory.path("monitor", config.origin, "alarms.json"), config.origin
        )
        self._file.load(self._alarms)
        self._observing = asyncio.Lock()
        self._grown = asyncio.Event()
        self._reading = (
            ReadingOn(config, memory, clock, self._reader, tell, parallel, limit)
            if config.full
            else None
        )
        self._show()

    async def run(self) -> None:
        """Follow for ever, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_looking())
            if self._reading is not None:
                group.create_task(self._keep_reading())

    async def look(self, wait: float = 0.0) -> Report | None:
        """Look at the log once and judge it; None where the look itself failed."""
        report: Report | None = None
        try:
            report = await self._watch.look(wait)
            judgement = judge_report(report)
        except MisbehaviourError as error:
            report = error.report
            proved = self._evidence.proves(report.evidence)
            judgement = judge_error(error, proved=proved)
        except Exception as error:  # one log's trouble is no other log's
            judgement = judge_error(error)
        self._learn(report)
        await self._observe(judgement)
        await self._observe(self._judge_times())
        if report is not None:
            self._on_report(report)
        return report

    async def read(self) -> bool:
        """Read what is new of the entries; tell whether all of it was read, or none is.

        Without `full` there is nothing to read.
        """
        signed = self.followed.signed
        if self._reading is None or signed is None:
            return True
        judgement, done = await self._reading.read(signed)
        self._reading.show(self.followed)
        await self._observe(judgement)
        await self._observe(self._judge_times())
        return done

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.close()
        if self._reading is not None:
            await self._reading.close()

    async def _keep_looking(self) -> None:
        backoff = FIRST_BACKOFF
        # What is remembered is not shown before it was looked at: the first look is
        # answered at once, even where the log does not grow.
        wait = 0.0
        while True:
            started = self._clock.steady()
            report = await self.look(wait)
            wait = self.config.wait
            if self._watch.accepted is not None and self._is_reading_due():
                self._grown.set()
            if report is None or report.event in ("unreachable", "misbehaves"):
                # Half of it is chance, so that many monitors do not come back as one.
                chance = random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
                asked = 0.0 if report is None else report.retry_after or 0.0
                await asyncio.sleep(max(backoff * chance, asked))
                backoff = min(2 * backoff, LONGEST_BACKOFF)
                continue
            backoff = FIRST_BACKOFF
            taken = self._clock.steady() - started
            await asyncio.sleep(max(0.0, self.config.pause - taken))

    async def _keep_reading(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            await self._grown.wait()
            self._grown.clear()
            if await self.read():
                backoff = FIRST_BACKOFF
                continue
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF)
            self._grown.set()

    def _is_reading_due(self) -> bool:
        return self._reading is not None and self._reading.due(self.followed.signed)

    def _learn(self, report: Report | None) -> None:
        known, now = self.followed, self._clock.now()
        known.looked_at = now
        if report is not None:
            known.count(report.event)
            if report.event != "misbehaves":
                known.reachable = report.event != "unreachable"
            known.stale = report.event == "stale"
        accepted = self._watch.accepted
        if accepted is not None:
            known.verified_at, known.served_size = now, accepted.checkpoint.size
            if report is not None and report.event == "grown":
                known.grown_at = now
        for signed in (self._remembered(), accepted):
            if signed is not None and self._is_newer(signed):
                known.signed = signed
        known.quorum_time = self._quorum_time(known.signed)

    def _remembered(self) -> SignedCheckpoint | None:
        """Return what was accepted before this program started, if that is all."""
        newest = self._watch.newest
        if newest is None or self.followed.signed is not None:
            return None
        with contextlib.suppress(MerkleError):
            return verify_checkpoint(newest.note, self._reader.keys.trust)
        return newest

    def _is_newer(self, signed: SignedCheckpoint) -> bool:
        """Tell whether a checkpoint is larger, or was cosigned later."""
        best = self.followed.signed
        if best is None or signed.checkpoint.size != best.checkpoint.size:
            return best is None or signed.checkpoint.size > best.checkpoint.size
        return (self._quorum_time(signed) or 0) >= (self._quorum_time(best) or 0)

    def _quorum_time(self, signed: SignedCheckpoint | None) -> int | None:
        policy = self.config.trust.policy
        if signed is None or policy is None:
            return None
        return quorum_time(policy, signed.cosignatures)

    def _judge_times(self) -> Judgement:
        signed = self.followed.signed
        if signed is None:
            return Judgement((), frozenset())
        judged = {"stale-witnesses", "cosignature-ahead"}
        recorded = None
        if self._reading is not None and self._reading.size == signed.checkpoint.size:
            recorded = self._reading.recorded
            judged.add("recorded-ahead")
        symptoms = judge_freshness(
            signed,
            self.config.trust.policy,
            recorded,
            self.config.freshness,
            self._clock.now(),
        )
        if "frozen" in self.followed.present:
            # A log that has ended is not cosigned for ever.
            symptoms = [each for each in symptoms if each.kind != "stale-witnesses"]
        return Judgement(tuple(symptoms), frozenset(judged))

    async def _observe(self, judgement: Judgement) -> None:
        # Looks and readings judge side by side; what is told is told in one order.
        async with self._observing:
            now, before = self._clock.now(), self._alarms.to_json()
            alerts = self._alarms.observe(judgement.symptoms, judgement.judged, now)
            self._show()
            try:
                if alerts:
                    await self._tell(alerts)
            except BaseException:
                # Nobody was told: the next look is to tell it.
                self._alarms.restore(before)
                raise
            # If we crash here, these alerts are told once more.
            await asyncio.to_thread(self._file.save, self._alarms)

    def _show(self) -> None:
        raised = self._alarms.raised()
        self.followed.alarms = tuple(each.symptom.kind for each in raised)
        self.followed.present = self._alarms.present()
        self.followed.troubles = tuple(each.symptom.text for each in raised)


def _transport(config: LogConfig) -> Transport:
    try:
        return Transport(
            config.url, config.log, config.token, PATIENCE, insecure=config.insecure
        )
    except UsageError as error:
        # Of many logs, which.
        raise UsageError(f"{config.origin}: {error}") from None
