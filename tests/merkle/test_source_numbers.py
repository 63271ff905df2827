"""Missing numbers of a source: as a naive count of all numbers finds them."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import MAX_SAFE_INTEGER
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_numbers import MAX_RANGES, REACH, MissingRange, Numbers


def numbers_of(*numbers: int) -> Numbers:
    found = Numbers()
    for index, number in enumerate(numbers):
        found.add(number, index, 1_000 + index)
    return found


def shown(numbers: Numbers) -> list[tuple[int, int, int]]:
    return [(each.run, each.first, each.last) for each in numbers.ranges()]


def test_numbers_without_a_gap_miss_nothing() -> None:
    found = numbers_of(7, 8, 9)
    assert (found.first, found.newest, found.missing, found.ranges()) == (7, 9, 0, [])
    assert (found.run, found.repeated, found.filled, found.restarted) == (0, 0, 0, None)


def test_a_gap_names_the_numbers_and_the_entry_that_showed_it() -> None:
    found = numbers_of(1, 2, 6, 9)
    assert found.ranges() == [
        MissingRange(0, 3, 5, 2, 1_002),
        MissingRange(0, 7, 8, 3, 1_003),
    ]
    assert found.missing == 5


def test_what_comes_late_fills_its_gap() -> None:
    found = numbers_of(1, 9, 5, 2, 8)
    assert shown(found) == [(0, 3, 4), (0, 6, 7)]
    assert {each.entry for each in found.ranges()} == {1}
    assert (found.filled, found.newest, found.repeated) == (3, 9, 0)
    for number in (3, 4, 6, 7):
        found.add(number, 9, 9)
    assert (found.missing, found.ranges()) == (0, [])


def test_a_run_may_begin_out_of_order() -> None:
    found = numbers_of(5, 2, 3)
    assert (found.first, found.newest, shown(found)) == (2, 5, [(0, 4, 4)])
    assert found.run == 0


def test_a_number_that_was_there_is_repeated_and_changes_nothing() -> None:
    found = numbers_of(1, 2, 3, 2, 3)
    assert (found.repeated, found.missing, found.newest, found.run) == (2, 0, 3, 0)


@pytest.mark.parametrize(
    "before", [(1, 2, 4), (5_000, 5_001, 5_003)], ids=["lowest again", "far below"]
)
def test_a_source_that_counts_anew_keeps_what_it_missed(
    before: tuple[int, ...],
) -> None:
    found = numbers_of(*before, 1, 2, 5)
    gap = before[1] + 1
    assert (found.run, found.restarted) == (1, 3)
    assert shown(found) == [(0, gap, gap), (1, 3, 4)]
    # Of the old run nothing is filled any more.
    found.add(3, 6, 6)
    assert shown(found) == [(0, gap, gap), (1, 4, 4)]


def test_a_gap_is_filled_from_however_far_behind() -> None:
    found = numbers_of(1, 3, 3 + 2 * REACH, 2)
    assert (found.run, found.filled) == (0, 1)


def test_of_many_gaps_the_newest_are_listed_and_all_are_counted() -> None:
    gaps = MAX_RANGES + 6
    found = numbers_of(*range(1, 2 * gaps + 2, 2))
    assert len(found.ranges()) == MAX_RANGES
    assert found.ranges()[-1].last == 2 * gaps
    assert (found.missing, found.unlisted) == (gaps, 6)
    found.add(2, 0, 0)  # lies where nothing is listed any more
    assert (found.unplaced, found.repeated, found.run) == (1, 0, 0)
    found.add(2 * gaps, 0, 0)
    assert (found.filled, found.missing) == (1, gaps - 1)
    for number in range(1, 4 * gaps, 2):
        found.add(number, 0, 0)
    found.add(1, 0, 0)
    assert len(found.ranges()) == MAX_RANGES
    assert found.run == 2


def test_a_gap_as_large_as_numbers_go_is_one_range() -> None:
    found = numbers_of(0, MAX_SAFE_INTEGER)
    assert shown(found) == [(0, 1, MAX_SAFE_INTEGER - 1)]
    for _ in range(2):
        found.add(0, 0, 0)
        found.add(MAX_SAFE_INTEGER, 0, 0)
    assert found.missing == MAX_SAFE_INTEGER


@dataclass
class Naive:
    """The same by keeping every number that was ever seen."""

    seen: set[int] = field(default_factory=set)
    runs: list[set[int]] = field(default_factory=list)
    repeated: int = 0
    filled: int = 0

    def add(self, number: int) -> None:
        if not self.seen or number > max(self.seen):
            self.seen.add(number)
        elif min(self.seen) < number and number not in self.seen:
            self.filled += 1
            self.seen.add(number)
        elif number == min(self.seen) or number < max(self.seen) - REACH:
            self.runs.append(self.seen)
            self.seen = {number}
        elif number < min(self.seen):
            self.seen.add(number)
        else:
            self.repeated += 1

    def missing(self) -> set[tuple[int, int]]:
        return {
            (run, number)
            for run, seen in enumerate([*self.runs, self.seen])
            for number in range(min(seen, default=0), max(seen, default=0))
            if number not in seen
        }


steps = st.one_of(st.integers(0, 40), st.integers(1_480, 1_500))


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, min_size=1, max_size=40))
def test_it_is_what_a_naive_count_finds(sequence: list[int]) -> None:
    naive = Naive()
    for number in sequence:
        naive.add(number)
    found = numbers_of(*sequence)
    listed = {
        (each.run, number)
        for each in found.ranges()
        for number in range(each.first, each.last + 1)
    }
    assert found.unlisted == 0
    assert listed == naive.missing()
    assert found.missing == len(listed)
    assert (found.repeated, found.filled) == (naive.repeated, naive.filled)
    assert (found.run, found.newest) == (len(naive.runs), max(naive.seen))


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, max_size=200), st.integers(0, 200))
def test_a_state_that_is_read_again_goes_on_as_if_nothing_were(
    sequence: list[int], cut: int
) -> None:
    whole = numbers_of(*sequence)
    part = Numbers.from_json(numbers_of(*sequence[:cut]).to_json())
    for index, number in enumerate(sequence[cut:], cut):
        part.add(number, index, 1_000 + index)
    assert part.to_json() == whole.to_json()


@pytest.mark.parametrize(
    "changes",
    [
        {"newest": None},
        {"newest": -1},
        {"run": True},
        {"run": 2**53},
        {"repeated": 1.0},
        {"open": [[0, 3, 5, 2]]},
        {"open": [[0, 3, 9, 2, 1]]},
        {"open": [[0, 5, 3, 2, 1]]},
        {"open": [[1, 3, 5, 2, 1]]},
        {"open": [[0, 3, 4, 2, 1], [0, 5, 5, 2, 1]]},
        {"open": [[0, 3, 3, 2, 1]] * (MAX_RANGES + 1)},
        {"open": {}},
        {"closed": [[0, 3, 5, 2, 1]]},
        {"more": 1},
    ],
)
def test_what_is_no_state_is_refused(changes: dict[str, Any]) -> None:
    state = numbers_of(1, 2, 6).to_json()
    Numbers.from_json(state)
    with pytest.raises(MalformedError):
        Numbers.from_json({**state, **changes})


def test_counting_anew_is_seen_also_after_what_was_before_is_not_looked_for() -> None:
    numbers = Numbers()
    for number in range(500, 3000):
        numbers.add(number, number, 0)
    numbers.settle()
    numbers.add(2990, 3000, 0)  # out of order: which one it is cannot be told
    assert (numbers.unplaced, numbers.run) == (1, 0)
    for index, number in enumerate([1, 2, 4], 3001):
        numbers.add(number, index, 0)
    assert (numbers.run, numbers.restarted, numbers.missing) == (1, 3001, 1)
