"""What can be wrong with a followed log, how bad it is, and when that counts. No I/O.

An alarm begins once its symptom was there for `onset` seconds, and is resolved once it
was away for `settle` seconds. A lasting one never is: what a log signed stays signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from provlog.client.alerting.alerts import Severity
from provlog.merkle.encoding import JsonValue

SETTLE: Final = 120.0
PATIENCE: Final = 300.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of alarm; times are in seconds."""

    severity: Severity
    onset: float = 0.0
    settle: float = SETTLE
    lasting: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "forked": Kind("critical", lasting=True),
    "rolled-back": Kind("critical"),
    "not-proved": Kind("critical"),
    "not-believed": Kind("critical"),
    "too-few-witnesses": Kind("critical", onset=SETTLE),
    "wrong-content": Kind("critical"),
    "broken-rules": Kind("critical", lasting=True),
    "after-its-end": Kind("critical", lasting=True),
    "recorded-ahead": Kind("critical"),
    "stale-witnesses": Kind("warning"),
    "cosignature-ahead": Kind("warning"),
    "stale": Kind("warning", onset=PATIENCE),
    "unreachable": Kind("warning", onset=PATIENCE),
    "refused": Kind("warning"),
    "withheld": Kind("warning", onset=PATIENCE),
    "unread": Kind("warning", onset=PATIENCE),
    "rules": Kind("warning", onset=PATIENCE),
    "frozen": Kind("info", lasting=True),
    "trouble": Kind("critical"),
}
"""By name. `trouble` is of the monitor itself; `frozen` is no fault."""

LIES: Final = frozenset(
    {
        "forked",
        "rolled-back",
        "not-proved",
        "not-believed",
        "too-few-witnesses",
        "wrong-content",
        "broken-rules",
        "after-its-end",
        "recorded-ahead",
    }
)
"""Alarms that say that the log misbehaves: exit code 1."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """What was seen to be wrong: one of `KINDS`, in words, with what shows it."""

    kind: str
    text: str
    details: Mapping[str, JsonValue] = field(default_factory=dict)
