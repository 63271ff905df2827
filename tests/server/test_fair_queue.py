"""Who is taken next from a queue that many fill, and who may still put something in."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.server.errors import OverloadedError, OversizedError
from provlog.server.queueing import FairQueue, QueueLimits
from provlog.server.sharing import Load
from provlog.server.turns import QUANTUM, Turns

MANY = QueueLimits()
ONE = Load(1, 1000)


@dataclass(frozen=True)
class Unit:
    """A submission as the queue sees it."""

    log: str
    sender: str
    load: Load = ONE
    number: int = 0


def filled(*units: Unit, limits: QueueLimits = MANY) -> FairQueue[Unit]:
    """Return a queue that took these submissions in this order."""
    queue: FairQueue[Unit] = FairQueue(limits)
    for unit in units:
        queue.require_room(unit.log, unit.sender, unit.load)
        queue.push(unit)
    return queue


def singles(log: str, sender: str, count: int) -> list[Unit]:
    return [Unit(log, sender, number=number) for number in range(count)]


def test_one_sender_is_served_in_order() -> None:
    units = singles("a", "s", 300)
    assert filled(*units).take() == units


def test_a_quiet_log_is_in_the_next_batch_of_a_busy_one() -> None:
    limits = QueueLimits(batch_events=20)
    queue = filled(*singles("busy", "s", 500), Unit("quiet", "s"), limits=limits)
    assert Unit("quiet", "s") in queue.take()


def test_a_quiet_log_is_not_outvoted_by_the_senders_of_a_busy_one() -> None:
    limits = QueueLimits(batch_events=20)
    crowd = [unit for n in range(100) for unit in singles("busy", f"s{n}", 5)]
    queue = filled(*crowd, Unit("quiet", "s"), limits=limits)
    assert Unit("quiet", "s") in queue.take()


def test_a_quiet_sender_is_in_the_next_batch_of_a_busy_one() -> None:
    limits = QueueLimits(batch_events=20)
    queue = filled(*singles("a", "busy", 500), Unit("a", "quiet"), limits=limits)
    assert Unit("a", "quiet") in queue.take()


def test_a_sender_of_batches_gets_no_more_than_one_of_single_events() -> None:
    limits = QueueLimits(batch_events=1200)
    batches = [Unit("a", "bulk", Load(1000, 10**6), number) for number in range(5)]
    queue = filled(*batches, *singles("a", "lone", 900), limits=limits)
    taken = queue.take()
    lone = sum(unit.sender == "lone" for unit in taken)
    # The first batch has to save up for its turn; meanwhile the other one goes ahead.
    assert lone >= 900


def test_a_batch_holds_up_nobody_of_its_log_while_other_logs_are_busy() -> None:
    limits = QueueLimits(batch_events=500)
    crowd = [unit for n in range(9) for unit in singles(f"busy {n}", "s", 300)]
    queue = filled(Unit("a", "bulk", Load(1000, 10**6)), *crowd, limits=limits)
    queue.take()
    quiet = Unit("a", "quiet")
    queue.push(quiet)
    assert quiet in queue.take()


def test_a_log_of_many_senders_gets_as_much_as_one_of_few() -> None:
    limits = QueueLimits(batch_events=600)
    many = [Unit("many", f"s{number}") for number in range(400)]
    queue = filled(*singles("few", "s", 400), *many, limits=limits)
    taken = queue.take()
    assert abs(sum(unit.log == "many" for unit in taken) - 300) <= QUANTUM


def test_a_batch_is_bounded_but_never_empty() -> None:
    limits = QueueLimits(batch_events=10, batch_bytes=5000)
    big = Unit("a", "s", Load(50, 50_000))
    queue = filled(big, *singles("a", "s", 20), limits=limits)
    assert queue.take() == [big]
    assert len(queue.take()) == 5


def test_a_flood_leaves_room_for_others() -> None:
    queue = filled(limits=QueueLimits(queued_events=100))
    for unit in singles("a", "flood", 50):
        queue.require_room("a", "flood", unit.load)
        queue.push(unit)
    with pytest.raises(OverloadedError):
        queue.require_room("a", "flood", ONE)
    queue.require_room("b", "other", Load(50, 1))
    with pytest.raises(OverloadedError):
        queue.require_room("b", "other", Load(51, 1))


def test_the_tokens_of_one_log_leave_room_to_other_logs() -> None:
    queue = filled(limits=QueueLimits(queued_events=100))
    for number in range(75):
        queue.push(Unit("busy", f"s{number % 50}"))
    with pytest.raises(OverloadedError):
        queue.require_room("busy", "s0", Load(1, 1))
    queue.require_room("busy", "s50", Load(1, 1))
    queue.require_room("quiet", "s0", Load(1, 1))


def test_a_token_of_many_logs_has_one_share() -> None:
    queue = filled(limits=QueueLimits(queued_events=100))
    for number in range(50):
        queue.push(Unit(f"log {number}", "flood"))
    with pytest.raises(OverloadedError):
        queue.require_room("another", "flood", Load(1, 1))


def test_what_the_empty_queue_could_not_take_is_refused_for_good() -> None:
    queue = filled(limits=QueueLimits(queued_events=10, queued_bytes=100))
    with pytest.raises(OversizedError):
        queue.require_room("a", "s", Load(11, 1))
    with pytest.raises(OversizedError):
        queue.require_room("a", "s", Load(1, 101))
    queue.require_room("a", "s", Load(10, 100))


weights = st.lists(st.integers(1, 100), min_size=1, max_size=3)
senders = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"))


@settings(max_examples=30)
@given(st.dictionaries(senders, weights, min_size=2))
def test_who_always_has_something_waiting_gets_a_fair_share(
    sent: dict[tuple[str, str], list[int]],
) -> None:
    turns: Turns[tuple[str, str]] = Turns()
    by_sender, by_log = Counter[tuple[str, str]](), Counter[str]()
    for who, mine in sent.items():
        for weight in mine * 20:
            turns.push(*who, weight, who)
    for _ in range(500):
        weight, who = turns.pop()
        by_sender[who] += weight
        by_log[who[0]] += weight
        turns.push(*who, weight, who)
    most = 100 + QUANTUM
    for log in by_log:
        shares = [by_sender[who] for who in sent if who[0] == log]
        assert max(shares) - min(shares) <= most
    assert max(by_log.values()) - min(by_log.values()) <= len(sent) * most


units = st.builds(
    Unit,
    st.sampled_from("abc"),
    st.sampled_from("xyz"),
    st.builds(Load, st.integers(1, 1000), st.integers(1, 10**6)),
    st.integers(),
)


@given(st.lists(units, max_size=60))
def test_everything_is_taken_once_and_each_senders_in_order(sent: list[Unit]) -> None:
    queue: FairQueue[Unit] = FairQueue(QueueLimits(batch_events=1500))
    for unit in sent:
        queue.push(unit)
    taken: list[Unit] = []
    while queue:
        taken += queue.take()
    assert queue.waiting == Load()
    assert (queue._room._tokens, queue._room._logs) == ({}, {})
    for log in "abc":
        for sender in "xyz":
            mine = [each for each in sent if (each.log, each.sender) == (log, sender)]
            assert mine == [
                each for each in taken if (each.log, each.sender) == (log, sender)
            ]
