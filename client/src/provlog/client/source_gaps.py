"""What is to be said of the sources of a log: what is missing, late, silent. No I/O.

Everything here comes from leaves, which name nobody; whoever may read the log's tiles
can find it out, and so cannot be told otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from provlog.merkle.encoding import JsonValue, format_time
from provlog.merkle.source_fold import SourceFold
from provlog.merkle.source_numbers import MissingRange, Numbers
from provlog.merkle.source_report import Extreme, SourceReport
from provlog.merkle.source_silence import MAX_PERIODS, Period

SILENT_MS: Final = 86_400_000
"""The longest silence that means nothing, of a source that sends no heartbeats."""

Kind = Literal["absent", "missing", "restarted", "repeated", "silent", "late", "ahead"]


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """One thing that somebody should look into; `details` are its figures as JSON.

    Times in `details` are RFC 3339, spans in seconds. `text` says the same in words.
    """

    kind: Kind
    source: str
    text: str
    details: Mapping[str, JsonValue]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the finding as JSON."""
        return {"kind": self.kind, "source": self.source, **self.details}


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides what is worth telling. `now` is when the log is looked at.

    In Unix milliseconds. `silent` is the longest silence that means nothing, in
    milliseconds; None for what a source's heartbeats tell, and `SILENT_MS` without any.
    """

    now: int
    silent: int | None = None

    def allowed_silence(self, report: SourceReport) -> int:
        """Return the longest silence that means nothing, in milliseconds."""
        return self.silent or report.heartbeats.patience or SILENT_MS

    def findings(self, source: str, fold: SourceFold) -> Iterator[SourceFinding]:
        """Yield what is to be told of one source."""
        report = fold.reports.get(source)
        if report is None:
            yield SourceFinding("absent", source, "there is no event of it", {})
            return
        yield from _numbers(source, report.numbers)
        yield from _silence(source, self.silent_periods(report))
        if report.late and report.latest is not None:
            text = f"{counted(report.late, 'event')}, by more than"
            text += f" {span(fold.scope.late)}"
            yield _extreme("late", source, text, report.late, report.latest)
        if report.ahead and report.furthest is not None:
            text = f"{counted(report.ahead, 'event')}, by more than"
            text += f" {span(fold.scope.skew)}"
            yield _extreme("ahead", source, text, report.ahead, report.furthest)

    def silent_periods(self, report: SourceReport) -> list[Period]:
        """Return a source's silences that are worth telling, by time."""
        return report.silent_periods(self.allowed_silence(report), self.now)


def describe(report: SourceReport) -> str:
    """Return a source's figures in one line."""
    words = [counted(report.count, "event")]
    if report.newest is not None:
        words.append(f"newest {moment(report.newest)} (entry {report.last})")
    numbers = report.numbers
    if numbers.newest is not None:
        words.append(f"numbers {numbers.first} to {numbers.newest}")
    beats = report.heartbeats
    if beats.count and beats.interval is not None:
        words.append(f"a heartbeat every {span(beats.interval)}, {beats.missed} missed")
    for name, (attempts, outcomes) in sorted(report.attempts().items()):
        made = counted(attempts, "attempt")
        words.append(f"{made} of {name} and {counted(outcomes, 'outcome')}")
    return ", ".join(words)


def summary(report: SourceReport, allowed: int) -> dict[str, JsonValue]:
    """Return a source's figures as JSON."""
    numbers, beats = report.numbers, report.heartbeats
    attempts: dict[str, JsonValue] = {
        name: {"attempts": made, "outcomes": outcomes}
        for name, (made, outcomes) in report.attempts().items()
    }
    return {
        "events": report.count,
        "first_entry": report.first,
        "newest_entry": report.last,
        "newest": _moment(report.newest),
        "numbers": {
            "first": numbers.first,
            "newest": numbers.newest,
            "missing": numbers.missing,
            "repeated": numbers.repeated,
            "filled": numbers.filled,
            "unplaced": numbers.unplaced,
            "restarts": numbers.run,
        },
        "lateness": [*report.lateness],
        "heartbeats": {
            "count": beats.count,
            "interval": _seconds(beats.interval),
            "missed": beats.missed,
        },
        "attempts": attempts,
        "allowed_silence": _seconds(allowed),
    }


def plot(report: SourceReport, silences: Sequence[Period], now: int) -> tuple[str, int]:
    """Return events by time as one line of bars, and how long a bar is in milliseconds.

    From the first event to `now`. `·` stands where there was silence. Empty without
    events.
    """
    steps, width = report.activity.steps(), report.activity.width
    if not steps:
        return "", width
    first, now = steps[0].start, max(now, steps[-1].start)
    while now // width - first // width >= WIDEST:
        width *= 2
    places = range(first // width, now // width + 1)
    entries = dict.fromkeys(places, 0)
    for step in steps:
        entries[step.start // width] += step.entries
    most = max(entries.values())
    bars = (
        _bar(entries[at], most) or _hole(at * width, width, silences) for at in places
    )
    return "".join(bars), width


WIDEST: Final = 72
"""How many bars fit on a line."""

_BARS: Final = "▁▂▃▄▅▆▇█"


def _bar(entries: int, most: int) -> str:
    return _BARS[(entries * len(_BARS) - 1) // most] if entries else ""


def _hole(start: int, width: int, silences: Sequence[Period]) -> str:
    inside = any(each.start < start + width and start < each.end for each in silences)
    return "·" if inside else " "


def _numbers(source: str, numbers: Numbers) -> Iterator[SourceFinding]:
    for each in numbers.ranges():
        yield _missing(source, each)
    if numbers.unlisted:
        text = f"{numbers.unlisted:,} older numbers, not listed"
        yield SourceFinding("missing", source, text, {"count": numbers.unlisted})
    if numbers.run:
        text = (
            f"it counted anew, last at entry {numbers.restarted}; times: {numbers.run}"
        )
        details: dict[str, JsonValue] = {
            "times": numbers.run,
            "entry": numbers.restarted,
        }
        yield SourceFinding("restarted", source, text, details)
    if numbers.repeated:
        text = f"numbers that were there, in {counted(numbers.repeated, 'event')}"
        details = {"count": numbers.repeated}
        yield SourceFinding("repeated", source, text, details)


def _missing(source: str, found: MissingRange) -> SourceFinding:
    named = f"number {found.first}"
    if found.size > 1:
        named = f"numbers {found.first} to {found.last} ({found.size:,})"
    text = f"{named}, seen at entry {found.entry}, {moment(found.recorded)}"
    details: dict[str, JsonValue] = {
        "first": found.first,
        "last": found.last,
        "count": found.size,
        "run": found.run,
        "entry": found.entry,
        "recorded": format_time(found.recorded),
    }
    return SourceFinding("missing", source, text, details)


def _silence(source: str, periods: Sequence[Period]) -> Iterator[SourceFinding]:
    for each in periods:
        text = f"{span(each.length)}, since {moment(each.start)}"
        if each.entry is not None:
            text = f"{span(each.length)}, {moment(each.start)} to {moment(each.end)}"
            text += f" (entry {each.entry})"
        details: dict[str, JsonValue] = {
            "from": format_time(each.start),
            "to": None if each.entry is None else format_time(each.end),
            "seconds": _seconds(each.length),
            "entry": each.entry,
        }
        yield SourceFinding("silent", source, text, details)
    if sum(each.entry is not None for each in periods) == MAX_PERIODS:
        text = f"these are the {MAX_PERIODS} longest; there may be more"
        yield SourceFinding("silent", source, text, {"listed": MAX_PERIODS})


def _extreme(
    kind: Kind, source: str, text: str, count: int, worst: Extreme
) -> SourceFinding:
    text += f", the worst by {span(worst.value)} (entry {worst.entry})"
    details: dict[str, JsonValue] = {
        "count": count,
        "most": _seconds(worst.value),
        "entry": worst.entry,
    }
    return SourceFinding(kind, source, text, details)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return how many there are of something, in words."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def span(milliseconds: int) -> str:
    """Return a span of time as people say it, such as ``1d 4h`` or ``5.2s``."""
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{milliseconds / 1000:g}s"
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        amount, seconds = divmod(seconds, length)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2])


def moment(milliseconds: int) -> str:
    """Return a time to the second, in UTC."""
    return f"{format_time(milliseconds)[:19]}Z"


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else format_time(milliseconds)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
