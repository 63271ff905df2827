"""From one look at a log to what is wrong with it, and what was found out at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provlog.client.errors import RefusedError, UsageError, printable
from provlog.client.memory import Evidence, FileMemory
from provlog.client.monitoring.symptoms import Symptom
from provlog.client.watching import MisbehaviourError, Report
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import PolicyError

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


def judge_error(error: Exception) -> Judgement:
    """Return what a look that failed says; whatever it was, it ends nothing else."""
    if isinstance(error, MisbehaviourError):
        answered = frozenset({"unreachable", "refused", "trouble"})
        return Judgement((_lie(error),), answered)
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


def _lie(error: MisbehaviourError) -> Symptom:
    report = error.report
    details: dict[str, JsonValue] = {"newest": report.newest}
    if report.evidence is not None:
        details["evidence"] = report.evidence
    verdict = report.detail.partition(":")[0]
    kind = _VERDICTS.get(verdict, "not-believed")
    if isinstance(error.cause, PolicyError):
        kind = "too-few-witnesses"
    return Symptom(kind, printable(report.detail), details)


class SparingMemory(FileMemory):
    """A memory that keeps the first few pieces of evidence against a log, and no more.

    A log that goes on to lie would otherwise fill the disk with proofs of it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._kept: list[str] = []

    def convict(self, evidence: Evidence) -> str:
        """Keep the evidence, unless there is enough; return where some is."""
        if len(self._kept) >= MAX_EVIDENCE:
            return self._kept[0]
        place = super().convict(evidence)
        if place not in self._kept:
            self._kept.append(place)
        return place
