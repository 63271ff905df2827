"""When a source was silent: the longest pauses between its entries, and heartbeats.

A heartbeat is an event of the type `source.heartbeat` that a source sends at a fixed
interval, so that silence can be told from nothing to say. How long the interval is
nobody has to be told: it is the median of those that were seen.
"""

from collections import deque
from typing import Final, NamedTuple, Self

from provlog.merkle.encoding import MAX_SAFE_INTEGER, JsonValue, require_members
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_numbers import (
    optional_integer,
    read_rows,
    require_integer,
)

HEARTBEAT: Final = "source.heartbeat"
MAX_PERIODS: Final = 16
PATIENCE: Final = 3
"""After how many intervals without a heartbeat a source counts as silent."""

_REMEMBERED: Final = 9
_ENOUGH: Final = 3


class Period(NamedTuple):
    """A time without an entry of a source, in Unix milliseconds.

    `entry` is the one that ended it, None where none did.
    """

    start: int
    end: int
    entry: int | None

    @property
    def length(self) -> int:
        """Its length in milliseconds."""
        return self.end - self.start


class Periods:
    """The longest periods that were added, `MAX_PERIODS` of them at most."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        # From the longest to the shortest; of two that are as long, the older first.
        self._kept: list[tuple[int, int, int]] = []

    def add(self, start: int, end: int, index: int) -> None:
        """Take one that the entry `index` ended."""
        kept = self._kept
        if len(kept) == MAX_PERIODS and start - end >= kept[-1][0]:
            return
        # By length downwards, then by place: the tuples sort by themselves.
        kept.append((start - end, index, start))
        kept.sort()
        del kept[MAX_PERIODS:]

    def beyond(self, threshold: int) -> list[Period]:
        """Return those of more than `threshold` milliseconds, in their order of time.

        There were `MAX_PERIODS` of them, or more, if there are as many.
        """
        found = [
            Period(start, start - length, index)
            for length, index, start in self._kept
            if -length > threshold
        ]
        return sorted(found)

    def to_json(self) -> list[JsonValue]:
        """Return the state, for `from_json`."""
        return [[start, start - length, index] for length, index, start in self._kept]

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return periods in the state of `to_json`; `MalformedError` for any other."""
        periods = cls()
        rows = read_rows(value, "periods", 3, MAX_PERIODS)
        periods._kept = [(start - end, index, start) for start, end, index in rows]
        if periods._kept != sorted(periods._kept):
            raise MalformedError("periods: not from the longest to the shortest")
        return periods


class Heartbeats:
    """The heartbeats of one source.

    `newest` is when the last one was recorded, None before there was one. `missed`
    estimates how many are missing between those that came.
    """

    __slots__ = ("_intervals", "count", "missed", "newest")

    def __init__(self) -> None:
        self.count = 0
        self.missed = 0
        self.newest: int | None = None
        self._intervals: deque[int] = deque(maxlen=_REMEMBERED)

    def add(self, recorded: int) -> None:
        """Take one that was recorded at that time."""
        self.count += 1
        if self.newest is not None:
            passed = max(0, recorded - self.newest)
            usual = self.interval
            if usual:
                # Half an interval of delay is no heartbeat that is missing.
                missed = (passed + usual // 2) // usual - 1
                self.missed = min(self.missed + max(0, missed), MAX_SAFE_INTEGER)
            self._intervals.append(passed)
        self.newest = recorded

    def settle(self) -> None:
        """Count from here on; what the interval is stays known."""
        self.count = self.missed = 0

    @property
    def interval(self) -> int | None:
        """The usual time between two, in milliseconds; None before it can be told."""
        if len(self._intervals) < _ENOUGH:
            return None
        return sorted(self._intervals)[(len(self._intervals) - 1) // 2]

    @property
    def patience(self) -> int | None:
        """How long a silence is that means something, in milliseconds, or None."""
        usual = self.interval
        return PATIENCE * usual if usual else None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state, for `from_json`."""
        return {
            "count": self.count,
            "missed": self.missed,
            "newest": self.newest,
            "intervals": [*self._intervals],
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return heartbeats in the state of `to_json`; `MalformedError` else."""
        names = ("count", "missed", "newest", "intervals")
        state = require_members(value, names, (), "heartbeats")
        beats = cls()
        beats.count = require_integer(state["count"], "count")
        beats.missed = require_integer(state["missed"], "missed")
        beats.newest = optional_integer(state["newest"], "newest")
        intervals = state["intervals"]
        if not isinstance(intervals, list) or len(intervals) > _REMEMBERED:
            raise MalformedError("heartbeats: no list of intervals")
        beats._intervals.extend(require_integer(x, "interval") for x in intervals)
        return beats
