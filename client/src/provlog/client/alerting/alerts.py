"""One alert: what is wrong with which log, since when, and what shows it. No I/O.

Texts name origins, sizes, times and files, and nobody: not even those of rules, which
say by index which entry they found something in.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self, cast

from provlog.client.errors import printable
from provlog.merkle.encoding import JsonValue, format_time, require_members
from provlog.merkle.errors import MalformedError

Severity = Literal["critical", "warning", "info"]
Phase = Literal["begins", "goes on", "resolved", "event", "test"]

SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
PHASES: Final[tuple[Phase, ...]] = ("begins", "goes on", "resolved", "event", "test")
END_OF_TIME: Final = 253_402_300_800_000
"""The first millisecond that cannot be written as a time."""

_MEMBERS = ("v", "kind", "phase", "origin", "severity", "text", "at", "details")


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to tell about the log `origin`; of the monitor itself that is empty.

    `at` is in Unix milliseconds. `phase` tells whether an alarm ``begins``, ``goes
    on`` (told again), or is ``resolved``; an ``event`` is told once.
    """

    kind: str
    origin: str
    severity: Severity
    text: str
    at: int
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    phase: Phase = "begins"

    def to_json(self) -> dict[str, JsonValue]:
        """Return what receivers get: the members, `time` and an `id`.

        Two deliveries of one alert have one `id`.
        """
        kept = self.to_state()
        digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
        kept.pop("at")
        return {**kept, "time": format_time(self.at), "id": digest[:32]}

    def to_state(self) -> dict[str, JsonValue]:
        """Return the alert for `from_state`."""
        return {
            "v": 1,
            "kind": self.kind,
            "phase": self.phase,
            "origin": self.origin,
            "severity": self.severity,
            "text": self.text,
            "at": self.at,
            "details": dict(self.details),
        }

    @classmethod
    def from_state(cls, value: JsonValue) -> Self:
        """Return the alert that `to_state` returned, or raise `MalformedError`."""
        state = require_members(value, _MEMBERS, (), "alert")
        texts = [state[name] for name in ("kind", "origin", "text")]
        if state["severity"] not in SEVERITIES or state["phase"] not in PHASES:
            raise MalformedError("alert: of no severity or phase")
        if not all(isinstance(text, str) for text in texts):
            raise MalformedError("alert: a member is no text")
        at = state["at"]
        if (
            type(at) is not int
            or not 0 <= at < END_OF_TIME
            or not isinstance(state["details"], dict)
        ):
            raise MalformedError("alert: without a time or details")
        kind, origin, text = cast("list[str]", texts)
        severity = state["severity"]
        phase = state["phase"]
        return cls(kind, origin, severity, text, at, state["details"], phase)

    def headline(self) -> str:
        """Return one line that says what it is about, for a subject."""
        about = self.origin or "the monitor itself"
        words = {"resolved": "resolved", "goes on": "still", "test": "test"}
        word = words.get(self.phase, self.severity)
        return printable(f"[provlog] {word}: {self.kind}: {about}")

    def message(self) -> str:
        """Return the whole of it as text for a person, a line for each detail."""
        lines = [
            printable(self.text),
            "",
            f"log: {printable(self.origin) or '-'}",
            f"kind: {printable(self.kind)} ({self.severity}, {self.phase})",
            f"time: {format_time(self.at)}",
        ]
        for name, value in self.details.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            lines.append(f"{printable(name)}: {printable(shown)}")
        return "\n".join(lines) + "\n"


def at_least(severity: Severity, least: Severity) -> bool:
    """Tell whether a severity is `least` or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def trial_alert(at: int) -> Alert:
    """Return an alert that says that it is none."""
    text = "a test: this is how an alert of provlog monitor looks, and nothing is wrong"
    return Alert("test", "", "info", text, at, {}, "test")
