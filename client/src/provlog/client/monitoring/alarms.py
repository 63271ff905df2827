"""The alarms of one log: each begins once, is repeated, and is resolved. No I/O.

What one look shows is a symptom or its absence; what people are told is an alarm. In
between stand times, so that a log that comes and goes does not send an alert each time.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from provlog.client.alerting.alerts import Alert, Phase
from provlog.client.monitoring.symptoms import KINDS, Symptom
from provlog.merkle.encoding import JsonValue, format_time, require_members
from provlog.merkle.errors import MalformedError

REPEAT: Final = 86_400.0

_MEMBERS = ("kind", "since", "told", "gone", "text", "details")


@dataclass(slots=True)
class Alarm:
    """A symptom over time; times are POSIX seconds.

    `since` is when it was seen first, `told` when people were told last (None as long
    as it is not an alarm), `gone` when it was first seen to be away (None while it is
    there).
    """

    symptom: Symptom
    since: float
    told: float | None = None
    gone: float | None = None

    @property
    def raised(self) -> bool:
        """Whether it is an alarm, and not merely a symptom."""
        return self.told is not None


class Alarms:
    """What is wrong with the log `origin`, and what of it was told.

    An alarm that goes on is told again every `repeat` seconds.
    """

    def __init__(
        self,
        origin: str,
        repeat: float = REPEAT,
        onsets: dict[str, float] | None = None,
    ) -> None:
        self._origin = origin
        self._repeat = repeat
        self._onsets = onsets or {}
        self._alarms: dict[str, Alarm] = {}

    def raised(self) -> list[Alarm]:
        """Return the alarms that are on, those that have been longest first."""
        alarms = [each for each in self._alarms.values() if each.raised]
        return sorted(alarms, key=lambda each: each.since)

    def present(self) -> dict[str, str]:
        """Return the text of each symptom that is there, alarm or not yet, by kind."""
        return {
            kind: each.symptom.text
            for kind, each in self._alarms.items()
            if each.gone is None
        }

    def observe(
        self, symptoms: Iterable[Symptom], judged: Collection[str], now: float
    ) -> list[Alert]:
        """Return what is to be told after a look at the time `now`, POSIX seconds.

        `judged` are the kinds that the look said something about: those of them that
        are no symptom are away. About others nothing is known, and they stay as they
        are: a log that does not answer has not stopped to lie.
        """
        alerts: list[Alert] = []
        seen = {each.kind: each for each in symptoms}
        for symptom in seen.values():
            alerts += self._present(symptom, now)
        for kind in set(judged) - seen.keys():
            alerts += self._absent(kind, now)
        return alerts

    def to_json(self) -> JsonValue:
        """Return the state for `restore`."""
        return [
            {
                "kind": each.symptom.kind,
                "since": each.since,
                "told": each.told,
                "gone": each.gone,
                "text": each.symptom.text,
                "details": dict(each.symptom.details),
            }
            for each in self._alarms.values()
        ]

    def restore(self, value: JsonValue) -> None:
        """Take up the state of `to_json`, or raise `MalformedError`."""
        if not isinstance(value, list):
            raise MalformedError("alarms: no list")
        alarms = [_read(each) for each in value]
        self._alarms = {each.symptom.kind: each for each in alarms}

    def _present(self, symptom: Symptom, now: float) -> list[Alert]:
        kind = symptom.kind
        alarm = self._alarms.get(kind)
        if alarm is None:
            alarm = self._alarms[kind] = Alarm(symptom, now)
        # A lasting alarm keeps the words and the evidence it began with.
        if not (KINDS[kind].lasting and alarm.raised):
            alarm.symptom = symptom
        alarm.gone = None
        return self._tell(alarm, now)

    def _tell(self, alarm: Alarm, now: float) -> list[Alert]:
        kind = alarm.symptom.kind
        # A clock that was set back must not hold an alarm up.
        alarm.since = min(alarm.since, now)
        if alarm.told is None:
            onset = self._onsets.get(kind, KINDS[kind].onset)
            if now - alarm.since < onset:
                return []
            alarm.told = now
            return [self._alert(alarm, "begins", now)]
        alarm.told = min(alarm.told, now)
        if now - alarm.told < self._repeat:
            return []
        alarm.told = now
        return [self._alert(alarm, "goes on", now)]

    def _absent(self, kind: str, now: float) -> list[Alert]:
        alarm = self._alarms.get(kind)
        if alarm is None:
            return []
        if not alarm.raised:
            del self._alarms[kind]
            return []
        if KINDS[kind].lasting:
            return self._tell(alarm, now)
        alarm.gone = now if alarm.gone is None else min(alarm.gone, now)
        if now - alarm.gone < KINDS[kind].settle:
            return []
        del self._alarms[kind]
        return [self._alert(alarm, "resolved", now)]

    def _alert(self, alarm: Alarm, phase: Phase, now: float) -> Alert:
        symptom = alarm.symptom
        since = format_time(int(alarm.since * 1000))
        details = {**symptom.details, "since": since}
        severity = KINDS[symptom.kind].severity
        at = int(now * 1000)
        return Alert(
            symptom.kind, self._origin, severity, symptom.text, at, details, phase
        )


def _read(value: JsonValue) -> Alarm:
    state = require_members(value, _MEMBERS, (), "alarm")
    kind, text, details = state["kind"], state["text"], state["details"]
    if kind not in KINDS or not isinstance(kind, str) or not isinstance(text, str):
        raise MalformedError("alarm: of no kind")
    if not isinstance(details, dict):
        raise MalformedError("alarm: without details")
    since = _time(state["since"])
    if since is None:
        raise MalformedError("alarm: without a beginning")
    symptom = Symptom(kind, text, details)
    return Alarm(symptom, since, _time(state["told"]), _time(state["gone"]))


def _time(value: JsonValue) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedError("alarm: a time is none")
    return float(value)
