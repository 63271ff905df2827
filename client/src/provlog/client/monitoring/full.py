"""Every entry of a log, read as it grows: the audit, going on where it was.

A pass reads from the last bundle on that was whole, up to a checkpoint that was
verified, and recomputes its root. What it finds is of one of two kinds. If the leaves
lead to the root, they are the log's, and a rule that they break is broken for good. If
anything else is wrong, what was served is not what was signed: the pass does not count,
and the next one reads the same again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from provlog.client.auditing import Auditor
from provlog.client.auditing_parts import MAX_LISTED, Finding, Part
from provlog.client.auditing_run import downloads
from provlog.client.chain import split_entries
from provlog.client.fetching import LogReader, Served
from provlog.client.monitoring.full_evidence import Exhibits
from provlog.client.monitoring.full_state import (
    FullFile,
    FullState,
    Todo,
    without_findings,
)
from provlog.client.monitoring.mirror import Mirror
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.encoding import JsonValue
from provlog.merkle.tiles import TILE_WIDTH, Bundle
from provlog.merkle.trust import SignedCheckpoint

SAVE_SECONDS: Final = 5.0
PASS_SECONDS: Final = 600.0
"""How long a pass goes on while other logs may wait for its place."""
MAX_WRONG: Final = 100
"""Parts that are not as they must be; then a pass ends, whatever size was signed."""

Note = Callable[[Todo, int, Sequence[bytes]], Todo]


class PassOverError(Exception):
    """A pass has left its place to others; the next one goes on from there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass found. `wrong` is what was served and is not what was signed.

    `fresh` are rules that were found broken in this pass for the first time. If
    anything was found, `exhibits` holds what shows it.
    """

    wrong: tuple[Finding, ...]
    fresh: tuple[Finding, ...]
    exhibits: Exhibits


class FullReading:
    """Reads all entries of one log; `state` says how far.

    `note` is given what rules have to judge, and the leaves of each bundle with the
    index of the first, and returns what they have to judge then. Those of the last
    bundle come again in the next pass. They are not verified yet.
    """

    def __init__(
        self,
        reader: LogReader,
        file: FullFile,
        *,
        mirror: Mirror | None = None,
        note: Note | None = None,
        parallel: int = 4,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reader = reader
        self._file = file
        self._mirror = mirror
        self._note = note
        self._todo = Todo()
        self._parallel = parallel
        self._crowded = crowded
        self.state = file.load()

    def due(self, signed: SignedCheckpoint) -> bool:
        """Tell whether a checkpoint has something that was not read, or not copied."""
        if signed.checkpoint.size > self.state.size:
            return True
        if self._mirror is None or signed.checkpoint.size < self.state.size:
            return False
        shown = self._mirror.published()
        return shown is None or shown.size < self.state.size

    async def catch_up(self, signed: SignedCheckpoint) -> Outcome:
        """Read all that is new up to a verified checkpoint, and copy it if asked to.

        Raises `UnavailableError` if the log went away meanwhile, `PassOverError` if it
        took long while it was `crowded`; what was read until then is not lost. Raises
        `UsageError` where files cannot be written.
        """
        auditor = await asyncio.to_thread(self._begin, signed)
        exhibits = Exhibits(signed)
        snapshot = await self._read(auditor, signed, exhibits)
        if auditor.done == signed.checkpoint.size:
            exhibits.note(auditor.finish())
            exhibits.note(auditor.require_signer(signed))
        broken = [each for each in auditor.findings if each.index is not None]
        if not auditor.matches or len(broken) < auditor.total:
            await self._save(replace(self.state, progress=None))
            return Outcome(tuple(auditor.findings), (), exhibits)
        known = len(self.state.broken)
        state = self.state.with_broken(broken)
        await self._publish(signed)
        # If we crash here, the copy is ahead of the state: it is written once more.
        await self._save(
            replace(
                state,
                size=signed.checkpoint.size,
                recorded=auditor.recorded,
                verified=snapshot,
                progress=None,
                todo=self._todo,
            )
        )
        return Outcome((), self.state.broken[known:], exhibits)

    async def refresh(self, signed: SignedCheckpoint) -> None:
        """Show newer cosignatures of the tree that the copy has already."""
        if self._mirror is not None and signed.checkpoint.size == self.state.size:
            await asyncio.to_thread(
                self._mirror.publish, signed, signed.checkpoint.size
            )

    async def keep(self, state: FullState) -> None:
        """Write down another state."""
        await self._save(state)

    def _begin(self, signed: SignedCheckpoint) -> Auditor:
        shown = None if self._mirror is None else self._mirror.published()
        if self._mirror is not None and (shown.size if shown else 0) < self.state.size:
            # The copy is another one, or new: it has to be filled from the beginning.
            self.state = replace(self.state, size=0, verified=None, progress=None)
        auditor, self._todo = self.state.begin(signed.checkpoint)
        if self._todo.start is None:
            # Rules are on what comes from now on, not on what was there before.
            self._todo = replace(self._todo, start=signed.checkpoint.size)
        if self._mirror is not None and auditor.done and self.state.progress:
            self._mirror.resume()
        elif self._mirror is not None:
            self._mirror.begin()
        return auditor

    async def _read(
        self, auditor: Auditor, signed: SignedCheckpoint, exhibits: Exhibits
    ) -> JsonValue:
        """Feed all that remains; return the state before the last bundle."""
        last = -(-signed.checkpoint.size // TILE_WIDTH) - 1
        snapshot: JsonValue = None
        first, wrong = auditor.done, 0
        begun = saved = time.monotonic()
        parts = downloads(auditor.remaining(), self._reader, self._parallel)
        async with aclosing(parts):
            async for part, served in parts:
                if isinstance(part, Bundle) and part.index == last:
                    snapshot = without_findings(auditor)
                elif isinstance(part, Bundle):
                    over = auditor.done > first and self._is_over(begun)
                    saved = await self._between(auditor, saved, over=over)
                wrong += await self._feed(auditor, part, served, exhibits)
                if wrong >= MAX_WRONG or auditor.total > MAX_LISTED:
                    # Of 2^60 entries that are not there the end is never reached.
                    break
        return snapshot

    def _is_over(self, begun: float) -> bool:
        # Whoever answers slowly must not keep those of other logs from being read.
        return self._crowded() and time.monotonic() - begun > PASS_SECONDS

    async def _between(self, auditor: Auditor, saved: float, *, over: bool) -> float:
        """Save, between two bundles, what is worth it; return when that was last."""
        if (over or _is_due(saved)) and not auditor.total:
            await self._save(self.state.under_way(auditor, self._todo))
            saved = time.monotonic()
        if over:
            raise PassOverError
        return saved

    async def _feed(
        self, auditor: Auditor, part: Part, served: Served, exhibits: Exhibits
    ) -> int:
        """Feed one part; return how much was found that is of no single entry."""
        done = auditor.done
        exhibits.hold(part, served.data)
        findings = auditor.feed(part, served.data, served.trouble)
        if findings:
            exhibits.note(findings, part, served.data, done)
        if self._mirror is not None and served.data is not None:
            await asyncio.to_thread(self._mirror.stage, part, served.data)
        if self._note is not None and isinstance(part, Bundle):
            leaves = list(split_entries(served.data or b"", part.width))
            self._todo = self._note(self._todo, done, leaves)
        return sum(each.index is None for each in findings)

    async def _publish(self, signed: SignedCheckpoint) -> None:
        if self._mirror is None:
            return
        shown = self._mirror.published()
        before, size = 0 if shown is None else shown.size, signed.checkpoint.size
        if before > size:
            # It has a newer checkpoint than this one: a reader must not see it shrink.
            return
        if shown is not None and 0 < before < size:
            # Nothing else holds a copy that is older than the state against the log.
            proof = await self._reader.consistency(before, size)
            root = signed.checkpoint.root
            verify_consistency(before, shown.root, size, root, proof)
        await asyncio.to_thread(self._mirror.publish, signed, before)

    async def _save(self, state: FullState) -> None:
        await asyncio.to_thread(self._file.save, state)
        self.state = state


def _is_due(saved: float) -> bool:
    return time.monotonic() - saved > SAVE_SECONDS
