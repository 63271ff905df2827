"""When a queue of commits is said to be held up, and when that is forgotten."""

import pytest

from provlog.server.errors import ClockError, UnavailableError
from provlog.server.progress import FORGET_SECONDS, HELD_UP_SECONDS, Progress

FAILED = UnavailableError("the database does not answer")


class Steady:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Steady:
    return Steady()


@pytest.fixture
def progress(clock: Steady) -> Progress:
    return Progress(clock)


def test_an_idle_queue_is_not_held_up(progress: Progress, clock: Steady) -> None:
    clock.now += 1000
    assert progress.trouble() is None
    progress.begin()
    progress.end()
    clock.now += 1000
    assert progress.trouble() is None


def test_a_batch_that_takes_too_long_is_until_it_ends(
    progress: Progress, clock: Steady
) -> None:
    progress.begin()
    clock.now += HELD_UP_SECONDS
    assert progress.trouble() is None
    clock.now += 0.1
    assert progress.trouble()
    progress.end()
    assert progress.trouble() is None


def test_batches_that_fail_one_after_another_are_one_trouble(
    progress: Progress, clock: Steady
) -> None:
    for _ in range(3):
        progress.begin()
        clock.now += HELD_UP_SECONDS / 2
        progress.end(FAILED)
        clock.now += 0.1
    assert progress.trouble()
    progress.begin()
    assert progress.trouble(), "an attempt is no success"
    progress.end()
    assert progress.trouble() is None


def test_a_failure_is_forgotten_when_nobody_tries_any_more(
    progress: Progress, clock: Steady
) -> None:
    progress.begin()
    clock.now += HELD_UP_SECONDS + 0.1
    progress.end(FAILED)
    assert progress.trouble()
    clock.now += FORGET_SECONDS + 0.1
    assert progress.trouble() is None
    progress.begin()
    assert progress.trouble() is None, "it is a new attempt, with its own time"


def test_a_clock_that_is_not_believed_is_trouble_at_once(
    progress: Progress, clock: Steady
) -> None:
    progress.begin()
    progress.end(ClockError("the database's clock is +7.0 s off"))
    assert progress.trouble() == "the database's clock is +7.0 s off"
    progress.begin()
    assert progress.trouble(), "an attempt is no success"
    progress.end()
    assert progress.trouble() is None
