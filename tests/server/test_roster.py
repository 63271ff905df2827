"""Who has to go, by a clock that the test moves."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.server.http.roster import ConnectionSettings, Roster

SETTINGS = ConnectionSettings(
    most=3,
    keepalive_seconds=75,
    head_seconds=20,
    head_bytes=1000,
    write_seconds=30,
    write_bytes=100,
    answer_bytes=5000,
    stalled_seconds=1,
)


STEPS = ("enter", "began", "ended", "lost")


class Client:
    """A connection that remembers whether it was cut."""

    def __init__(self) -> None:
        self._cut = False
        self.requests = 0
        self.buffered = 0
        self.kept = 0

    def has_work(self) -> bool:
        return self.requests > 0

    def unsent(self) -> int:
        return self.buffered

    def held(self) -> int:
        return self.kept or self.buffered

    def drop(self) -> None:
        assert not self._cut
        self._cut = True

    def cut(self) -> bool:
        return self._cut


class House:
    """A roster, its clock, and the reasons it gave."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reasons: Counter[str] = Counter()
        self.roster = Roster(SETTINGS, lambda: self.now, self._note)

    def _note(self, reason: str) -> None:
        self.reasons[reason] += 1

    def enter(self) -> Client:
        client = Client()
        assert self.roster.make_room()
        self.roster.enter(client)
        return client

    def asked(self) -> Client:
        """Return a client that has been answered once."""
        client = self.enter()
        self.roster.began(client)
        self.roster.ended(client)
        return client

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.roster.sweep()


@pytest.fixture
def house() -> House:
    return House()


def test_heads_have_their_time_from_the_opening_or_the_first_byte(house: House) -> None:
    fresh, asked = house.enter(), house.asked()
    house.after(19)
    assert not fresh.cut()
    house.roster.head_part(fresh, 1)
    house.roster.head_part(asked, 1)
    house.after(1)
    assert (fresh.cut(), asked.cut()) == (True, False)
    house.after(18)
    house.roster.head_part(asked, 1)
    assert not asked.cut()
    house.after(1)
    assert asked.cut()
    assert house.reasons == {"head": 2}


def test_a_head_that_came_whole_has_no_time_left_to_keep(house: House) -> None:
    client = house.enter()
    house.roster.head_part(client, 900)
    house.roster.began(client)
    house.after(60)
    house.roster.ended(client)
    house.after(60)
    house.roster.head_part(client, 900)
    assert not client.cut()
    house.roster.head_part(client, 101)
    assert client.cut()
    house.roster.head_part(client, 101)
    assert house.reasons == {"head": 1}


def test_idleness_begins_with_the_end_of_an_answer(house: House) -> None:
    busy, idle = house.asked(), house.asked()
    house.roster.began(busy)
    house.after(74)
    assert not idle.cut()
    house.after(1)
    assert (busy.cut(), idle.cut()) == (False, True)
    house.after(600)
    house.roster.ended(busy)
    house.after(74)
    assert not busy.cut()
    house.after(1)
    assert busy.cut()
    assert house.reasons == {"idle": 2}


def test_who_does_not_take_enough_in_each_span_is_cut(house: House) -> None:
    slow, steady = house.asked(), house.asked()
    for client in (slow, steady):
        house.roster.began(client)
        client.buffered = 1000
        house.roster.stalled(client)
    house.after(29)
    slow.buffered, steady.buffered = 901, 900
    house.after(1)
    assert (slow.cut(), steady.cut()) == (True, False)
    house.after(29)
    assert not steady.cut()
    house.roster.drained(steady)
    house.after(100)
    assert not steady.cut()
    assert house.reasons == {"slow": 1}


def test_a_request_that_has_come_is_not_cut_off_to_make_room(house: House) -> None:
    piped, second, third = house.asked(), house.asked(), house.asked()
    piped.requests = 1
    newcomer = house.enter()
    assert (piped.cut(), second.cut(), third.cut()) == (False, True, False)
    piped.requests = 0
    house.roster.began(piped)
    house.roster.ended(piped)
    house.enter()
    assert (piped.cut(), third.cut(), newcomer.cut()) == (False, True, False)


def test_where_nobody_is_idle_there_is_no_room(house: House) -> None:
    clients = [house.enter() for _ in range(3)]
    for client in clients:
        house.roster.began(client)
    assert not house.roster.make_room()
    assert house.reasons == {"full": 1}
    house.roster.ended(clients[1])
    assert house.roster.make_room()
    assert [client.cut() for client in clients] == [False, True, False]


def test_who_takes_nothing_makes_room_where_nobody_is_idle(house: House) -> None:
    clients = [house.enter() for _ in range(3)]
    for client in clients:
        house.roster.began(client)
    for client in clients[:2]:
        client.buffered = 1000
        house.roster.stalled(client)
    # It may be sent to as fast as it reads; that takes an instant at most.
    assert not house.roster.make_room()
    house.after(1)
    assert house.roster.make_room()
    assert [client.cut() for client in clients] == [True, False, False]
    assert house.reasons == {"full": 1, "room": 1}


def test_answers_that_are_not_taken_are_bounded_in_all(house: House) -> None:
    clients = [house.enter() for _ in range(3)]
    for client, kept in zip(clients, (2000, 2500, 600), strict=True):
        house.roster.began(client)
        client.kept = kept
        house.roster.stalled(client)
    assert [client.cut() for client in clients] == [False, True, False]
    assert house.reasons == {"slow": 1}
    # What was taken, or went with its client, counts no more.
    house.roster.drained(clients[0])
    house.roster.leave(clients[2])
    clients[0].kept = 5000
    house.roster.stalled(clients[0])
    house.roster.stalled(clients[0])
    assert not clients[0].cut()


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9))))
def test_room_is_made_by_whoever_has_been_idle_longest(
    steps: list[tuple[str, int]],
) -> None:
    house = House()
    here: list[Client] = []
    idle: list[Client] = []
    gone: list[Client] = []
    for step, number in steps:
        client = here[number % len(here)] if here else None
        if step == "enter":
            expected = idle[0] if len(here) == SETTINGS.most and idle else None
            if house.roster.make_room():
                if expected is not None:
                    here.remove(expected)
                    idle.remove(expected)
                new = Client()
                house.roster.enter(new)
                here.append(new)
                idle.append(new)
            else:
                assert expected is None
        elif client is None:
            continue
        elif step == "began" and client in idle:
            house.roster.began(client)
            idle.remove(client)
        elif step == "ended" and client not in idle:
            house.roster.ended(client)
            idle.append(client)
        elif step == "lost":
            house.roster.leave(client)
            house.roster.ended(client)
            here.remove(client)
            gone.append(client)
            idle = [each for each in idle if each is not client]
        assert len(house.roster) == len(here) <= SETTINGS.most
        assert not any(each.cut() for each in [*here, *gone])
