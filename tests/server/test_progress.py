"""When a queue of commits is said to be held up, and when that is forgotten."""

import pytest

from provlog.server.progress import FORGET_SECONDS, HELD_UP_SECONDS, Progress


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
    assert not progress.is_held_up()
    progress.begin()
    progress.end(served=True)
    clock.now += 1000
    assert not progress.is_held_up()


def test_a_batch_that_takes_too_long_is_until_it_ends(
    progress: Progress, clock: Steady
) -> None:
    progress.begin()
    clock.now += HELD_UP_SECONDS
    assert not progress.is_held_up()
    clock.now += 0.1
    assert progress.is_held_up()
    progress.end(served=True)
    assert not progress.is_held_up()


def test_batches_that_fail_one_after_another_are_one_trouble(
    progress: Progress, clock: Steady
) -> None:
    for _ in range(3):
        progress.begin()
        clock.now += HELD_UP_SECONDS / 2
        progress.end(served=False)
        clock.now += 0.1
    assert progress.is_held_up()
    progress.begin()
    assert progress.is_held_up(), "an attempt is no success"
    progress.end(served=True)
    assert not progress.is_held_up()


def test_a_failure_is_forgotten_when_nobody_tries_any_more(
    progress: Progress, clock: Steady
) -> None:
    progress.begin()
    clock.now += HELD_UP_SECONDS + 0.1
    progress.end(served=False)
    assert progress.is_held_up()
    clock.now += FORGET_SECONDS + 0.1
    assert not progress.is_held_up()
    progress.begin()
    assert not progress.is_held_up(), "it is a new attempt, with its own time"
