"""What the leaves of one source tell of its silence: pauses, lateness, numbers, clock.

A leaf says in the clear from which source it is, when the event is said to have
happened (`time`), when the log recorded it, and which number the source gave it
(`seq`). A report is fed these in the order of the log. It needs no personal data, and
two that were fed the same are equal, however the feeding was cut.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from provlog.merkle.encoding import JsonValue, parse_time, require_members
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_activity import Activity
from provlog.merkle.source_numbers import (
    Numbers,
    optional_integer,
    require_integer,
)
from provlog.merkle.source_silence import HEARTBEAT, Heartbeats, Period, Periods

ATTEMPT: Final = "attempt."
LATE_MS: Final = 3_600_000
SKEW_MS: Final = 5_000
MAX_TYPES: Final = 64
"""How many types of a source are counted apart; those of further ones together."""

LATENESS: Final = (1_000, 10_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000)
"""Upper bounds of the steps of `SourceReport.lateness`, in milliseconds; one follows
without a bound."""

# Whether a leaf is in canonical form is for others to find out; in one that is, nothing
# else can look like this, because strings hold no quotation marks.
_EVENT = re.compile(
    rb'"n":\d{1,16},"recorded":"([^"]{24})",(?:"seq":(\d{1,16}),)?'
    rb'"source":"([ !#-\[\]-~]{1,256})","tags":\[[^\]]*\],"time":"([^"]{24})",'
    rb'"type":"([a-z0-9_.-]{1,128})","v":1\}\Z'
)
_COUNTS: Final = ("count", "late", "ahead", "others")
_MOMENTS: Final = ("newest", "newest_time", "first", "last")


class Seen(NamedTuple):
    """What one event's leaf says in the clear; times in Unix milliseconds."""

    source: str
    type: str
    recorded: int
    time: int
    seq: int | None


def seen_in(leaf: bytes) -> Seen | None:
    """Return what the leaf of an event says, None for a leaf of any other kind.

    The leaf is one of a log, in canonical form; that is not checked here.
    """
    found = _EVENT.search(leaf)
    if found is None:
        return None
    recorded, seq, source, time, kind = (
        None if each is None else each.decode("ascii") for each in found.groups()
    )
    try:
        # Before 1970 nothing was recorded; what says so counts as of that year.
        moments = [max(0, parse_time(text or "")) for text in (recorded, time)]
    except MalformedError:
        return None
    number = None if seq is None else int(seq)
    return Seen(source or "", kind or "", moments[0], moments[1], number)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on an arrival is late and a clock ahead, in milliseconds."""

    late: int = LATE_MS
    skew: int = SKEW_MS


class Extreme(NamedTuple):
    """The largest of something, in milliseconds, and the entry that has it."""

    value: int
    entry: int


class SourceReport:
    """What one source's events were like, in the order of the log.

    `count` events, from the entry `first` on. The entry `last` was recorded at `newest`
    and says to have happened at `newest_time`; it may be one that is only remembered.
    `late` events arrived later than the threshold, `ahead` ones are from a clock that
    was ahead of the log's by more than the other; `latest` and `furthest` are the worst
    of all, None where none was late or ahead at all. `lateness` counts arrivals by the
    steps of `LATENESS`. `types` counts events by type, `others` those beyond
    `MAX_TYPES` types.
    """

    __slots__ = (
        "activity",
        "ahead",
        "count",
        "first",
        "furthest",
        "heartbeats",
        "last",
        "late",
        "lateness",
        "latest",
        "newest",
        "newest_time",
        "numbers",
        "others",
        "periods",
        "types",
    )

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self.last: int | None = None
        self.newest: int | None = None
        self.newest_time: int | None = None
        self.late = 0
        self.latest: Extreme | None = None
        self.lateness = [0] * (len(LATENESS) + 1)
        self.ahead = 0
        self.furthest: Extreme | None = None
        self.types: dict[str, int] = {}
        self.others = 0
        self.numbers = Numbers()
        self.periods = Periods()
        self.heartbeats = Heartbeats()
        self.activity = Activity()

    def add(self, index: int, seen: Seen, thresholds: Thresholds) -> None:
        """Take the event at `index`, the next one of the source."""
        if self.count == 0:
            self.first = index
            self.numbers.settle()
            self.heartbeats.settle()
        before, self.count = self.newest, self.count + 1
        recorded = self._place(index, seen)
        if before is not None and recorded > before:
            self.periods.add(before, recorded, index)
        self._judge_time(index, recorded - seen.time, thresholds)
        self._count_type(seen.type)
        self.activity.add(recorded)

    def remember(self, index: int, seen: Seen) -> None:
        """Take an event from before all that is to be counted."""
        self._place(index, seen)

    def attempts(self) -> dict[str, tuple[int, int]]:
        """Return how many attempts and how many outcomes there are, by type.

        An attempt of `x.y` is an event of the type `attempt.x.y`; its outcome has the
        type `x.y`. Of several outcomes of one attempt each counts.
        """
        return {
            name.removeprefix(ATTEMPT): (
                count,
                self.types.get(name.removeprefix(ATTEMPT), 0),
            )
            for name, count in self.types.items()
            if name.startswith(ATTEMPT)
        }

    def silent_periods(self, threshold: int, now: int) -> list[Period]:
        """Return the pauses of more than `threshold` milliseconds, the last one open.

        Those between entries are the longest that there were, `MAX_PERIODS` at most.
        """
        found = self.periods.beyond(threshold)
        if self.newest is not None and now - self.newest > threshold:
            found.append(Period(self.newest, now, None))
        return found

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state, for `from_json`."""
        state: dict[str, JsonValue] = {
            name: getattr(self, name) for name in (*_COUNTS, *_MOMENTS)
        }
        return {
            **state,
            "latest": None if self.latest is None else [*self.latest],
            "furthest": None if self.furthest is None else [*self.furthest],
            "lateness": [*self.lateness],
            "types": {**self.types},
            "numbers": self.numbers.to_json(),
            "periods": self.periods.to_json(),
            "heartbeats": self.heartbeats.to_json(),
            "activity": self.activity.to_json(),
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return a report in the state of `to_json`; `MalformedError` for any other."""
        parts = ("numbers", "periods", "heartbeats", "activity")
        others = ("latest", "furthest", "lateness", "types")
        names = (*_COUNTS, *_MOMENTS, *parts, *others)
        state = require_members(value, names, (), "report")
        report = cls()
        for name in _COUNTS:
            setattr(report, name, require_integer(state[name], name))
        for name in _MOMENTS:
            setattr(report, name, optional_integer(state[name], name))
        report.latest = _read_extreme(state["latest"])
        report.furthest = _read_extreme(state["furthest"])
        report.lateness = _read_lateness(state["lateness"])
        report.types = _read_types(state["types"])
        report.numbers = Numbers.from_json(state["numbers"])
        report.periods = Periods.from_json(state["periods"])
        report.heartbeats = Heartbeats.from_json(state["heartbeats"])
        report.activity = Activity.from_json(state["activity"])
        return report

    def _place(self, index: int, seen: Seen) -> int:
        """Note where the source is now; return when that was recorded."""
        # A log whose times go back is wrong, and found to be by an audit.
        recorded = max(seen.recorded, self.newest or 0)
        self.last, self.newest, self.newest_time = index, recorded, seen.time
        if seen.seq is not None:
            self.numbers.add(seen.seq, index, recorded)
        if seen.type == HEARTBEAT:
            self.heartbeats.add(recorded)
        return recorded

    def _judge_time(self, index: int, behind: int, thresholds: Thresholds) -> None:
        lateness = max(0, behind)
        step = sum(lateness > bound for bound in LATENESS)
        self.lateness[step] += 1
        if behind > 0:
            self.late += behind > thresholds.late
            self.latest = _larger(self.latest, behind, index)
        elif behind < 0:
            self.ahead += -behind > thresholds.skew
            self.furthest = _larger(self.furthest, -behind, index)

    def _count_type(self, name: str) -> None:
        if name in self.types or len(self.types) < MAX_TYPES:
            self.types[name] = self.types.get(name, 0) + 1
        else:
            self.others += 1


def _larger(known: Extreme | None, value: int, index: int) -> Extreme:
    return Extreme(value, index) if known is None or value > known.value else known


def _read_extreme(value: JsonValue) -> Extreme | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedError("report: no pair of value and index")
    return Extreme(*(require_integer(each, "extreme") for each in value))


def _read_lateness(value: JsonValue) -> list[int]:
    if not isinstance(value, list) or len(value) != len(LATENESS) + 1:
        raise MalformedError("report: no counts by lateness")
    return [require_integer(each, "lateness") for each in value]


def _read_types(value: JsonValue) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > MAX_TYPES:
        raise MalformedError("report: no counts by type")
    return {name: require_integer(count, "types") for name, count in value.items()}
