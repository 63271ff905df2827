"""From one look at a log to what is wrong with it, and what was found out at all."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provlog.client.errors import RefusedError, UsageError, printable
from provlog.client.evidence import judge_evidence
from provlog.client.memory import Evidence, FileMemory, VolatileMemory
from provlog.client.monitoring.symptoms import Symptom
from provlog.client.watching import MisbehaviourError, Report
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MerkleError, PolicyError
from provlog.merkle.trust import Trust

MAX_EVIDENCE: Final = 8

# What an answer that is accepted says something about.
_ANSWERED: Final = frozenset(
    {
        "forked",
        "rolled-back",
        "not-proved",
        "not-believed",
        "too-few-witnesses",
        "stale",
        "unreachable",
        "refused",
        "trouble",
    }
)
_VERDICTS: Final = {
    "forked": "forked",
    "rolled back": "rolled-back",
    "not proved": "not-proved",
    "went on after its end": "after-its-end",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong, and the kinds of alarm that were judged at all."""

    symptoms: tuple[Symptom, ...]
    judged: frozenset[str]


def judge_report(report: Report) -> Judgement:
    """Return what a look that ended well, or found nobody, says."""
    if report.event == "unreachable":
        return Judgement((Symptom("unreachable", report.detail),), frozenset())
    if report.event == "stale":
        return Judgement((Symptom("stale", report.detail),), _ANSWERED)
    if report.event == "frozen":
        return Judgement((Symptom("frozen", report.detail),), _ANSWERED)
    return Judgement((), _ANSWERED)


def judge_error(error: Exception, *, proved: bool = False) -> Judgement:
    """Return what a look that failed says; whatever it was, it ends nothing else.

    `proved`: what was kept of it convicts the log.
    """
    if isinstance(error, MisbehaviourError):
        answered = frozenset({"unreachable", "refused", "trouble"})
        return Judgement((_lie(error, proved=proved),), answered)
    if isinstance(error, RefusedError):
        text = f"the token does not reach the log: {error}"
        return Judgement(
            (Symptom("refused", text),), frozenset({"unreachable", "trouble"})
        )
    return Judgement((Symptom("trouble", describe(error)),), frozenset())


def describe(error: Exception) -> str:
    """Return what went wrong here, without what a log may have put into it."""
    if isinstance(error, UsageError):
        return printable(str(error))
    return f"internal error ({type(error).__name__})"


def _lie(error: MisbehaviourError, *, proved: bool) -> Symptom:
    report = error.report
    details: dict[str, JsonValue] = {"newest": report.newest}
    if report.evidence is not None:
        details["evidence"] = report.evidence
    verdict = report.detail.partition(":")[0]
    kind, text = _VERDICTS.get(verdict, "not-believed"), report.detail
    if kind == "forked" and not proved:
        # A wrong proof is anybody's who answers: it says nothing that lasts.
        kind = "not-proved"
        text = f"not proved, and what was answered convicts nobody: {text}"
    if isinstance(error.cause, PolicyError):
        kind = "too-few-witnesses"
    return Symptom(kind, printable(text), details)


class SparingMemory(FileMemory):
    """A memory that keeps the first few pieces of evidence against a log, and no more.

    A log that goes on to lie would otherwise fill the disk with proofs of it. What does
    not convict it under `trust` takes no room from what does: anybody can make that up.
    """

    def __init__(self, folder: Path, trust: Callable[[], Trust]) -> None:
        super().__init__(folder)
        self._trust = trust
        self._kept: dict[bool, list[str]] = {True: [], False: []}

    def convict(self, evidence: Evidence) -> str:
        """Keep the evidence, unless there is enough; return where some is."""
        kept = self._kept[self._convicts(evidence)]
        if len(kept) >= MAX_EVIDENCE:
            return kept[0]
        place = super().convict(evidence)
        if place not in kept:
            kept.append(place)
        return place

    def proves(self, place: str | None) -> bool:
        """Tell whether what was kept there convicts the log."""
        return place in self._kept[True]

    def _convicts(self, evidence: Evidence) -> bool:
        try:
            judge_evidence(json.dumps(evidence.to_json()).encode(), self._trust())
        except MerkleError:
            return False
        return True


class PassingMemory(VolatileMemory):
    """Remembers as long as it lives, and keeps evidence for good.

    `convicting` says where the last is that convicts the log.
    """

    def __init__(self, folder: Path, trust: Callable[[], Trust]) -> None:
        super().__init__()
        self._files = SparingMemory(folder, trust)
        self.convicting: str | None = None

    def convict(self, evidence: Evidence) -> str:
        """Keep the evidence in a file."""
        place = self._files.convict(evidence)
        if self._files.proves(place):
            self.convicting = place
        return place
