"""Submissions on their way: what waits in a queue, and how it is answered."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from provlog.server.batch import Outcome, Release
from provlog.server.errors import UnavailableError
from provlog.server.intake.draft import Draft
from provlog.server.log import Log
from provlog.server.sharing import Load


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one submission, in the order of its drafts."""

    outcomes: list[Outcome]
    release: Release


@dataclass(slots=True, eq=False)
class Unit:
    """One submission in the queue: committed as a whole, answered by its future."""

    log: Log
    sender: str
    drafts: Sequence[Draft]
    load: Load
    answer: "asyncio.Future[Committed]"
    queued: float = field(default_factory=time.perf_counter)

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless it was answered."""
        if not self.answer.done():
            self.answer.set_exception(error)


Work: TypeAlias = dict[Log, list[Unit]]
"""The submissions of one batch, by log."""


def by_log(units: Sequence[Unit]) -> Work:
    """Return the submissions of a batch by log, in their order."""
    work: Work = {}
    for unit in units:
        work.setdefault(unit.log, []).append(unit)
    return work


def unanswered(work: Work) -> Work:
    """Return what is left of a batch: the submissions that were not answered yet."""
    left = {
        log: [unit for unit in units if not unit.answer.done()]
        for log, units in work.items()
    }
    return {log: units for log, units in left.items() if units}


def refuse(work: Mapping[Log, Sequence[Unit]], error: Exception) -> None:
    """Answer all submissions with an error, but for those that were answered."""
    for units in work.values():
        for unit in units:
            unit.fail(error)


def unreachable() -> UnavailableError:
    """Return what to answer where nothing was written."""
    return UnavailableError("the database does not answer")


def unknown() -> UnavailableError:
    """Return what to answer where nobody can tell what was written."""
    return UnavailableError("the database failed; send the same events again")
