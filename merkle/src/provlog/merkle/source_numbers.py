"""Which of a source's own numbers are missing, from the numbers in the order they came.

A source that numbers its events (`seq` in their leaves) lets anybody count what did not
arrive. The numbers of a run lie between its lowest and its newest; what was not seen of
these is missing, until it comes late. Counting may begin anywhere and in any order:

- Above the newest: what lies between is missing from then on.
- Missing so far: filled.
- Below the lowest, by at most `REACH` from the newest: the run began earlier.
- The lowest once more, or one more than `REACH` below the newest that is not missing:
  the source counts anew, and a new run begins. What was missing of the old one stays.
- Anything else was there before: repeated.

Memory is bounded: of the ranges that are missing, the `MAX_RANGES` newest of this run
and of earlier ones are kept, and of the others their sum.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from provlog.merkle.encoding import MAX_SAFE_INTEGER, JsonValue, require_members
from provlog.merkle.errors import MalformedError

REACH: Final = 1_000
"""How far out of order numbers come, at most, before counting anew is assumed."""

MAX_RANGES: Final = 64

_INTEGERS: Final = ("run", "repeated", "filled", "unplaced", "unlisted", "floor")
_OPTIONAL: Final = ("first", "newest", "restarted")
_RANGE: Final = 5


class MissingRange(NamedTuple):
    """The numbers `first` to `last` of a run, none of which is there.

    That they are missing was seen at the entry `entry`, recorded at `recorded` (Unix
    milliseconds), which has a later number. Runs count from 0.
    """

    run: int
    first: int
    last: int
    entry: int
    recorded: int

    @property
    def size(self) -> int:
        """How many numbers these are."""
        return self.last - self.first + 1


class Numbers:
    """The numbers of one source.

    `newest` is the highest of the present run, None before there was one; `run` how
    often the source began to count anew, the last time at entry `restarted`. `repeated`
    numbers were there before, `filled` ones came late. `unplaced` ones lie where ranges
    are not kept any more: whether they fill one cannot be told. `unlisted` numbers are
    missing in such ranges.
    """

    __slots__ = (
        "_closed",
        "_open",
        "filled",
        "first",
        "floor",
        "newest",
        "repeated",
        "restarted",
        "run",
        "unlisted",
        "unplaced",
    )

    def __init__(self) -> None:
        self.first: int | None = None
        self.newest: int | None = None
        self.restarted: int | None = None
        self.run = 0
        self.repeated = 0
        self.filled = 0
        self.unplaced = 0
        self.unlisted = 0
        # Below it ranges of this run were left off the list.
        self.floor = 0
        # In the order of their numbers; they neither meet nor overlap.
        self._open: list[MissingRange] = []
        self._closed: list[MissingRange] = []

    def add(self, number: int, index: int, recorded: int) -> None:
        """Take the number of the entry `index`, recorded at `recorded`."""
        if self.first is None or self.newest is None:
            self.first = self.newest = number
        elif number > self.newest:
            self._miss(len(self._open), self.newest + 1, number - 1, index, recorded)
            self.newest = number
        elif (place := self._place(number)) is not None:
            self._fill(place, number)
        elif number != self.first and self._is_unplaced(number):
            self.unplaced += 1
        elif number == self.first or number < self.newest - REACH:
            self._begin_anew(number, index)
        elif number < self.first:
            self._miss(0, number + 1, self.first - 1, index, recorded)
            self.first = number
        else:
            self.repeated += 1

    def settle(self) -> None:
        """Count from here on: what is missing so far is not looked for any more."""
        self._open, self._closed = [], []
        self.run = self.repeated = self.filled = self.unplaced = self.unlisted = 0
        self.restarted = None
        # What was there and what was not is no longer told apart.
        self.floor = self.newest or 0

    @property
    def missing(self) -> int:
        """How many numbers are missing."""
        listed = sum(each.size for each in (*self._closed, *self._open))
        return min(listed + self.unlisted, MAX_SAFE_INTEGER)

    def ranges(self) -> list[MissingRange]:
        """Return the missing ranges that are kept, by run and number."""
        return [*self._closed, *self._open]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state, for `from_json`."""
        state: dict[str, JsonValue] = {
            name: getattr(self, name) for name in (*_INTEGERS, *_OPTIONAL)
        }
        state["open"] = [list[JsonValue](each) for each in self._open]
        state["closed"] = [list[JsonValue](each) for each in self._closed]
        return state

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return numbers in the state of `to_json`; `MalformedError` for any other."""
        names = (*_INTEGERS, *_OPTIONAL, "open", "closed")
        state = require_members(value, names, (), "numbers")
        numbers = cls()
        for name in _INTEGERS:
            setattr(numbers, name, require_integer(state[name], name))
        for name in _OPTIONAL:
            setattr(numbers, name, optional_integer(state[name], name))
        numbers._open = list(_read_ranges(state["open"]))
        numbers._closed = list(_read_ranges(state["closed"]))
        numbers._require_order()
        return numbers

    def _require_order(self) -> None:
        if (self.first is None) != (self.newest is None):
            raise MalformedError("numbers: half a run")
        before, newest = (self.first or 0) - 1, self.newest or 0
        for each in self._open:
            if each.run != self.run or not before < each.first <= each.last < newest:
                raise MalformedError("numbers: ranges outside of their run")
            before = each.last + 1
        if any(each.run >= self.run or each.size < 1 for each in self._closed):
            raise MalformedError("numbers: ranges of no earlier run")

    def _place(self, number: int) -> int | None:
        """Return which missing range holds a number, None where none does."""
        place = bisect_right(self._open, number, key=lambda each: each.first) - 1
        if place < 0 or self._open[place].last < number:
            return None
        return place

    def _is_unplaced(self, number: int) -> bool:
        """Tell whether a number may fill a range that is not kept any more.

        Of ranges that were only settled none is still looked for.
        """
        reach = (self.newest or 0) - REACH
        return number < self.floor and (self.unlisted > 0 or number >= reach)

    def _miss(
        self, place: int, first: int, last: int, index: int, recorded: int
    ) -> None:
        if first > last:
            return
        self._open.insert(place, MissingRange(self.run, first, last, index, recorded))
        self._keep_few()

    def _fill(self, place: int, number: int) -> None:
        found = self._open[place]
        before = found._replace(last=number - 1)
        after = found._replace(first=number + 1)
        self._open[place : place + 1] = [x for x in (before, after) if x.size > 0]
        self.filled += 1
        self._keep_few()

    def _keep_few(self) -> None:
        # The oldest go: those of higher numbers may still be filled.
        while len(self._open) > MAX_RANGES:
            gone = self._open.pop(0)
            self.floor = gone.last + 1
            self._leave_off(gone)

    def _begin_anew(self, number: int, index: int) -> None:
        self._closed += self._open
        while len(self._closed) > MAX_RANGES:
            self._leave_off(self._closed.pop(0))
        self._open = []
        self.floor = 0
        self.run += 1
        self.restarted = index
        self.first = self.newest = number

    def _leave_off(self, gone: MissingRange) -> None:
        self.unlisted = min(self.unlisted + gone.size, MAX_SAFE_INTEGER)


def require_integer(value: JsonValue, what: str) -> int:
    """Return an integer of 0 to 2^53-1 of a state, or raise `MalformedError`."""
    if type(value) is not int or not 0 <= value <= MAX_SAFE_INTEGER:
        raise MalformedError(f"state: {what} is no integer of 0 to 2^53-1")
    return value


def optional_integer(value: JsonValue, what: str) -> int | None:
    """Return such an integer, or None for null."""
    return None if value is None else require_integer(value, what)


def read_rows(
    value: JsonValue, what: str, width: int, most: int
) -> Iterator[list[int]]:
    """Yield lists of `width` such integers, `most` of them at most."""
    if not isinstance(value, list) or len(value) > most:
        raise MalformedError(f"state: {what} is no list of {most} at most")
    for row in value:
        if not isinstance(row, list) or len(row) != width:
            raise MalformedError(f"state: {what} holds rows of another width")
        yield [require_integer(each, what) for each in row]


def _read_ranges(value: JsonValue) -> Iterator[MissingRange]:
    for row in read_rows(value, "ranges", _RANGE, MAX_RANGES):
        yield MissingRange(*row)
