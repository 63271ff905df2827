"""A flood of one token or log takes half of what there is, and no more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provlog.server.errors import OverloadedError, OversizedError
from provlog.server.http.app import HttpSettings
from provlog.server.http.context import CROWD, POLLS
from provlog.server.http.crowd import Crowd, Polls
from provlog.server.sharing import Holder, Load, Room
from support.events import event_json
from support.instances import Reply, Served, served

ONE = Load(1)


def flood(room: Room, token: str, log: str = "log", load: Load = ONE) -> int:
    """Return how often a token can take a load until it is refused."""
    for taken in range(1000):
        try:
            room.require(Holder(log, token), load)
        except OverloadedError:
            return taken
        room.take(Holder(log, token), load)
    raise AssertionError("never refused")


def test_one_alone_gets_half_and_leaves_the_rest_to_others() -> None:
    room = Room(Load(100, 0))
    assert flood(room, "a") == 50
    assert flood(room, "b") == 25
    room.require(Holder("log", "c"), Load(12))


def test_the_tokens_of_one_log_leave_room_to_another_log() -> None:
    room = Room(Load(100, 0))
    for number in range(10):
        flood(room, f"token {number}")
    assert room.taken.count <= 75 + 10
    assert flood(room, "a", "another log") >= 7


def test_however_many_tokens_a_log_has_another_log_finds_room() -> None:
    room = Room(Load(100))
    for number in range(100):
        with contextlib.suppress(OverloadedError):
            room.require(Holder("log", number), ONE)
            room.take(Holder("log", number), ONE)
    assert room.taken.count == 87
    assert flood(room, "a", "another log") >= 6


def test_bytes_are_shared_like_places() -> None:
    room = Room(Load(10**6, 1000))
    assert flood(room, "a", load=Load(1, 100)) == 5
    room.require(Holder("log", "b"), Load(1, 375))
    room.require(Holder("another log", "b"), Load(1, 500))


def test_whoever_holds_nothing_may_have_all_that_is_free() -> None:
    room, a, b = Room(Load(10)), Holder("log", "a"), Holder("log", "b")
    room.require(a, Load(10))
    room.take(a, Load(10))
    with pytest.raises(OverloadedError):
        room.require(b, ONE)
    room.give_back(a, Load(10))
    assert room.taken == Load()
    room.require(b, Load(10))


def test_what_would_not_fit_alone_is_refused_for_good() -> None:
    with pytest.raises(OversizedError):
        Room(Load(10)).require(Holder("log", "a"), Load(11))


def test_a_body_of_unknown_length_counts_as_the_longest() -> None:
    crowd = Crowd(10, 1000)
    with crowd.place("log", "a", None, 600), pytest.raises(OverloadedError):
        crowd.place("log", "b", None, 600).__enter__()
    with crowd.place("log", "a", 10, 600), crowd.place("log", "b", None, 600):
        pass


def test_long_polls_of_one_token_leave_places_to_others() -> None:
    polls, a, b = Polls(10), Holder("log", "a"), Holder("log", "b")
    assert [polls.enter(a) for _ in range(6)] == [True] * 5 + [False]
    polls.leave(a)
    assert polls.enter(a)
    assert polls.enter(b)
    polls.stopping.set()
    assert not polls.enter(Holder("log", "c"))


async def test_a_crowd_at_one_public_log_leaves_waiting_at_another_to_others(
    tmp_path: Path,
) -> None:
    settings = HttpSettings(polls=4)
    async with served(tmp_path, public=True, settings=settings) as log:
        await log.service.create_log("b", "log.example.com/b", public=True)
        room, waiting = log.app[POLLS]._room, list[asyncio.Task[Reply]]()
        for name in ("main", "main", "b"):
            path = f"/logs/{name}/checkpoint?newer_than=9"
            waiting.append(asyncio.create_task(log.get(path, role=None)))
            while room.taken.count < len(waiting):
                assert not waiting[-1].done(), "it was answered at once"
                await asyncio.sleep(0.01)
        log.app[POLLS].stopping.set()
        assert [reply.status for reply in await asyncio.gather(*waiting)] == [200] * 3
        assert room.taken == Load()


@asynccontextmanager
async def uploading(log: Served, count: int) -> AsyncIterator[None]:
    """Hold that many requests of the submitter whose bodies do not come to an end."""
    writers = []
    for _ in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", log.client.port)
        head = (
            "POST /logs/main/events HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {log.bearer('submitter')['Authorization']}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
        writer.write(head.encode())
        writers.append(writer)
    crowd = log.app[CROWD]
    while crowd._room.taken.count < count:  # noqa: ASYNC110  others' state
        await asyncio.sleep(0.01)
    yield
    for writer in writers:
        writer.close()


async def test_a_flood_of_one_token_is_refused_while_another_is_served(
    tmp_path: Path,
) -> None:
    settings = HttpSettings(requests=8)
    async with served(tmp_path, settings=settings) as log, uploading(log, 4):
        reply = await log.post(event_json(id="flood"))
        assert (reply.status, reply.slug) == (503, "overloaded")
        assert int(reply.headers["Retry-After"]) >= 1
        assert (await log.post(event_json(), role="submitter+auditor")).status == 201


async def test_long_polls_of_anybody_are_counted_for_each_public_log(
    tmp_path: Path,
) -> None:
    settings = HttpSettings(polls=8, poll_seconds=60)
    async with served(tmp_path, public=True, settings=settings) as log:
        await log.service.create_log("second", "log.example.com/second", public=True)
        room = log.app[POLLS]._room

        async def poll(name: str) -> None:
            path = f"/logs/{name}/checkpoint?newer_than=99&timeout=60"
            assert (await log.get(path, role=None)).status == 200

        async with asyncio.TaskGroup() as group:
            polls = [group.create_task(poll("main")) for _ in range(6)]
            while not any(each.done() for each in polls):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert room.taken.count <= 4
            before = room.taken.count
            group.create_task(poll("second"))
            async with asyncio.timeout(10):
                while room.taken.count == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            log.app[POLLS].stopping.set()
