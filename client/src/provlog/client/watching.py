"""Following a log: every checkpoint is held against all that the log signed before.

What can be wrong is told apart, since different people have to do different things:

========== ==================================================================
grown      larger, and its tree begins with the one before: as it should be
unchanged  the checkpoint that is known already
stale      smaller, and the log proves that it is an older head of the same tree
frozen     the log announced that it ends with this tree, which goes no further
unreachable  no answer: says nothing about the log
misbehaves   not signed, not believed, rolled back, or of another history
========== ==================================================================

A log that serves a smaller tree and no longer proves what it signed has been rolled
back; one that contradicts what it signed has been forked. Either way both checkpoints
are kept in a file, and whoever follows the log stops.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from provlog.client.errors import ClientError, UnavailableError
from provlog.client.fetching import LogReader
from provlog.client.heads import Heads
from provlog.client.kept_announcements import describe_end
from provlog.client.memory import Evidence, Memory
from provlog.merkle.encoding import JsonValue, format_time
from provlog.merkle.errors import (
    FrozenError,
    InconsistencyError,
    MerkleError,
    ProofError,
)
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 60.0

ANNOUNCED_SECONDS: Final = 10.0
"""How often at most a log that grows is asked what it announces."""

Event = Literal["grown", "unchanged", "frozen", "stale", "unreachable", "misbehaves"]


@dataclass(frozen=True, slots=True)
class Report:
    """What one look at the log showed.

    `size` is that of the checkpoint that was served, None where none could be verified;
    `newest` is the largest one that was ever accepted, and `before` what that was
    before this look. `evidence` says where both checkpoints of a log that misbehaves
    are kept. `successor` is the `origin` and `log_key` of the log that goes on, if one
    that ended names one. `at` is in Unix milliseconds.
    """

    event: Event
    origin: str
    at: int
    size: int | None
    newest: int | None
    before: int | None
    detail: str
    evidence: str | None = None
    retry_after: float | None = None
    successor: Mapping[str, JsonValue] | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the report as JSON, without what is not known."""
        value: dict[str, JsonValue] = {
            "event": self.event,
            "time": format_time(self.at),
            "origin": self.origin,
            "size": self.size,
            "newest": self.newest,
            "before": self.before,
            "detail": self.detail,
            "evidence": self.evidence,
            "successor": None if self.successor is None else dict(self.successor),
        }
        return {name: each for name, each in value.items() if each is not None}


class MisbehaviourError(Exception):
    """The log misbehaves: `report` says how, `cause` is the error that showed it."""

    def __init__(self, report: Report, cause: MerkleError) -> None:
        super().__init__(report.detail)
        self.report = report
        self.cause = cause


class _Keeper:
    """A memory that knows where it kept the last evidence."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.place: str | None = None

    def load(self, origin: str, vkey: str) -> bytes | None:
        return self._memory.load(origin, vkey)

    def replace(
        self, origin: str, vkey: str, expected: bytes | None, note: bytes
    ) -> bool:
        return self._memory.replace(origin, vkey, expected, note)

    def convict(self, evidence: Evidence) -> str:
        self.place = self._memory.convict(evidence)
        return self.place


class Watch:
    """One log, watched. What it accepts is in `memory` before `look` returns it."""

    def __init__(self, reader: LogReader, trust: Trust, memory: Memory) -> None:
        self._reader = reader
        self._trust = trust
        self._memory = _Keeper(memory)
        self._accepted: SignedCheckpoint | None = None
        self._keys = reader.keys
        # The reader may have followed the log before.
        self._heads = Heads(
            self._keys.trust, self._memory, reader.consistency, reader.inclusion
        )
        self._keys.remember_in(self._memory, shelf=memory)
        self._keys.listen(self._heads.follow)
        # The size at which the log was asked last what it announces, and when.
        self._asked: tuple[int, float] | None = None

    @property
    def newest(self) -> SignedCheckpoint | None:
        """The newest checkpoint that was ever accepted, None before the first look.

        One that is only remembered has no cosignatures: its policy is not asked for.
        """
        return self._heads.newest

    @property
    def accepted(self) -> SignedCheckpoint | None:
        """What the last look accepted, None if it accepted nothing."""
        return self._accepted

    async def look(self, wait: float = 0.0) -> Report:
        """Ask for the checkpoint, for at most `wait` seconds if it is the known one.

        Raises `MisbehaviourError`, `RefusedError` where the token does not reach the
        log, and `UsageError` where nothing can be remembered.
        """
        self._accepted = None
        await self._keys.recall()
        await self._heads.recall()
        before = self._heads.newest
        served = signed = None
        try:
            served = await self._reader.checkpoint_unverified(
                None if before is None else before.checkpoint.size, wait
            )
            signed = await self._keys.believe(partial(verify_checkpoint, served))
            await self._accept(signed)
            await self._look_at_announcements(signed)
        except UnavailableError as error:
            return self._report("unreachable", None, before, str(error), error)
        except MerkleError as error:
            detail = f"{_verdict(error, signed, before)}: {error}"
            raise await self._misbehaviour(error, detail, served, before) from error
        self._accepted = signed
        return self._judge(signed, before)

    async def _accept(self, signed: SignedCheckpoint) -> None:
        await self._heads.accept(signed)
        newest = self._heads.newest
        if newest is not None and signed.checkpoint.size < newest.checkpoint.size:
            # It is of the same tree, or was once; has the log still got the rest?
            await self._heads.require_consistent(signed, newest)
        await self._heads.save()

    async def _look_at_announcements(self, signed: SignedCheckpoint) -> None:
        """Find out whether the log has new keys or has ended, after it grew."""
        size, now = signed.checkpoint.size, time.monotonic()
        if self._asked is not None:
            asked, at = self._asked
            if size == asked or now - at < ANNOUNCED_SECONDS:
                return
        try:
            await self._keys.look(size)
        except UnavailableError:
            # What was accepted is to be reported; the next look asks again.
            return
        self._asked = size, now
        newest = self._heads.newest or signed
        for each in (signed, newest):
            await self._keys.believe(partial(_verify_without_policy, each.note))

    def _judge(
        self, signed: SignedCheckpoint, before: SignedCheckpoint | None
    ) -> Report:
        size, freeze = signed.checkpoint.size, self._keys.freeze
        if freeze is not None and size == freeze.final_size:
            report = self._report(
                "frozen",
                size,
                before,
                describe_end(freeze.final_size, freeze.successor),
            )
            return replace(report, successor=freeze.successor)
        if before is None:
            detail = f"a log of {size} entries, seen for the first time"
            return self._report("grown", size, None, detail)
        known = before.checkpoint.size
        if size > known:
            detail = f"grown from {known} to {size} entries, and consistent"
            return self._report("grown", size, before, detail)
        if size == known:
            return self._report("unchanged", size, before, f"still of {size} entries")
        detail = (
            f"stale: serves its tree of {size} entries, having signed {known}; "
            "it is an older head of the same log"
        )
        return self._report("stale", size, before, detail)

    async def _misbehaviour(
        self,
        error: MerkleError,
        detail: str,
        served: bytes | None,
        before: SignedCheckpoint | None,
    ) -> MisbehaviourError:
        if self._memory.place is None and served is not None and before is not None:
            evidence = Evidence(self._trust.origin, before.note, served, None)
            try:
                await asyncio.to_thread(self._memory.convict, evidence)
            except ClientError as trouble:
                detail += f" (the checkpoints could not be kept: {trouble})"
        report = self._report("misbehaves", None, before, detail)
        return MisbehaviourError(report, error)

    def _report(
        self,
        event: Event,
        size: int | None,
        before: SignedCheckpoint | None,
        detail: str,
        error: UnavailableError | None = None,
    ) -> Report:
        newest = self._heads.newest
        return Report(
            event,
            self._trust.origin,
            time.time_ns() // 1_000_000,
            size,
            None if newest is None else newest.checkpoint.size,
            None if before is None else before.checkpoint.size,
            detail,
            self._memory.place,
            None if error is None else error.retry_after,
        )


async def follow(
    watch: Watch, *, wait: float, pause: float, on_report: Callable[[Report], None]
) -> None:
    """Look at a log for ever; ends with what `Watch.look` raises.

    Looks are at least `pause` seconds apart, so that neither a busy log nor one that
    answers at once makes this a load. While the log cannot be reached, the time between
    two attempts doubles up to a minute.
    """
    # The first look is answered at once, also where the log does not grow.
    backoff, held = FIRST_BACKOFF, 0.0
    while True:
        started = time.monotonic()
        report = await watch.look(held)
        held = wait
        on_report(report)
        if report.event == "unreachable":
            # Half of it is chance, so that many monitors do not come back as one.
            chance = random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
            await asyncio.sleep(max(backoff * chance, report.retry_after or 0.0))
            backoff = min(2 * backoff, LONGEST_BACKOFF)
            continue
        backoff = FIRST_BACKOFF
        await asyncio.sleep(max(0.0, pause - (time.monotonic() - started)))


def _verify_without_policy(note: bytes, trust: Trust) -> SignedCheckpoint:
    # It met the policy, or is a head that was remembered under another one.
    return verify_checkpoint(note, replace(trust, policy=None))


def _verdict(
    error: MerkleError,
    signed: SignedCheckpoint | None,
    before: SignedCheckpoint | None,
) -> str:
    if isinstance(error, InconsistencyError):
        return "forked"
    if isinstance(error, FrozenError):
        return "went on after its end"
    if isinstance(error, ProofError) and signed is not None and before is not None:
        smaller = signed.checkpoint.size < before.checkpoint.size
        return "rolled back" if smaller else "not proved"
    return "not to be believed"
