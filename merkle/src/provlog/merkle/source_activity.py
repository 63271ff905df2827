"""How many entries of a source fall into which hours or days: a plot's worth of it.

The steps are of an hour, and as time goes by of 2, 4, 8 hours and so on: always the
shortest that need `MAX_STEPS` of them at most. They begin at multiples of their length
since 1970, so that a plot does not depend on when somebody looked.
"""

from typing import Final, NamedTuple, Self

from provlog.merkle.encoding import JsonValue, require_members
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_numbers import read_rows, require_integer

MAX_STEPS: Final = 96
HOUR: Final = 3_600_000


class Step(NamedTuple):
    """How many entries were recorded in the step from `start` on (milliseconds)."""

    start: int
    entries: int


class Activity:
    """Entries by the time they were recorded. `width` is that of a step."""

    __slots__ = ("_counts", "width")

    def __init__(self) -> None:
        self.width = HOUR
        self._counts: dict[int, int] = {}

    def add(self, recorded: int) -> None:
        """Count one more entry; times never decrease from call to call."""
        place = recorded // self.width
        self._counts[place] = self._counts.get(place, 0) + 1
        while place - next(iter(self._counts)) >= MAX_STEPS:
            self._widen()
            place //= 2

    def steps(self) -> list[Step]:
        """Return all steps from the first entry's to the last one's, empty ones too."""
        if not self._counts:
            return []
        places = range(min(self._counts), max(self._counts) + 1)
        return [Step(at * self.width, self._counts.get(at, 0)) for at in places]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state, for `from_json`."""
        counts: list[JsonValue] = [[place, n] for place, n in self._counts.items()]
        return {"width": self.width, "counts": counts}

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return activity in the state of `to_json`; `MalformedError` for any other."""
        state = require_members(value, ("width", "counts"), (), "activity")
        activity = cls()
        activity.width = require_integer(state["width"], "width")
        rows = list(read_rows(state["counts"], "counts", 2, MAX_STEPS))
        activity._counts = {row[0]: row[1] for row in rows}
        places = [*activity._counts]
        if activity.width not in _WIDTHS or places != sorted(places):
            raise MalformedError("activity: no such steps")
        if len(places) != len(rows) or (places and places[-1] - places[0] >= MAX_STEPS):
            raise MalformedError("activity: too many steps")
        return activity

    def _widen(self) -> None:
        self.width *= 2
        counts: dict[int, int] = {}
        for place, count in self._counts.items():
            counts[place // 2] = counts.get(place // 2, 0) + count
        self._counts = counts


_WIDTHS: Final = frozenset(HOUR << doubled for doubled in range(40))
