"""A server that is killed over and over, under load, while outsiders look on."""

import asyncio
import random
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import apsw
import pytest

from provlog.server.guard import FileGuard
from support.crowds import TIMEOUT, Crowd
from support.servers import Server

KILLS = 30
KILLS_AT_START = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server.init(tmp_path)
    yield made
    made.end()


async def test_thirty_kills_under_load_lose_nothing_and_never_fork(
    server: Server,
) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    crowd = Crowd(server)
    ahead = unanswered = 0
    for number in range(KILLS):
        if number % (KILLS // KILLS_AT_START) == 1:
            await _kill_at_start(crowd.server, chance)
        await _start(crowd, chance)
        if number:
            await _require_same_history(crowd, chance)
        await _kill_under_load(crowd, chance)
        unanswered += bool(crowd.lost)
        ahead += _committed(crowd.server) > await _guarded(crowd.server)
    await _start(crowd, chance)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        found = await crowd.settle(session)
        downloaded = await crowd.observer.download_again(session)
    code, errors = crowd.server.stop()
    assert (code, errors) == (0, "")
    observer = crowd.observer
    # Settled, each event that was ever sent is acknowledged, and is there once.
    events = sum(entry.kind == "event" for entry in observer.entries)
    assert events == len(crowd.sent) == len(observer.acknowledged)
    print(
        f"{len(observer.leaves)} entries, {len(observer.checkpoints)} checkpoints, "
        f"{downloaded} tiles and bundles; kills with submissions under way "
        f"{unanswered}, between commit and guard {ahead}; events logged without an "
        f"answer {crowd.found_again}, {found} of them found at the end"
    )
    # Otherwise the kills were not where they hurt.
    assert unanswered > KILLS / 2
    assert ahead
    assert crowd.found_again


async def _start(crowd: Crowd, chance: random.Random) -> None:
    server = crowd.server
    # Now on a new port, now on the one that its dead predecessor held.
    keep = server.url and chance.random() < 0.5
    server.listen = ":".join(map(str, server.address)) if keep else "127.0.0.1:0"
    await asyncio.to_thread(server.start)


async def _kill_at_start(server: Server, chance: random.Random) -> None:
    server.spawn()
    await asyncio.sleep(chance.uniform(0.1, 0.5))
    await asyncio.to_thread(server.stop, signal.SIGKILL)


async def _require_same_history(crowd: Crowd, chance: random.Random) -> None:
    observer = crowd.observer
    # On a slow machine the first kill may come before anything was observed.
    before = max(observer.checkpoints, default=0)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        await observer.follow(session)
        await observer.require_chain(session, chance, 5, around=before)


async def _kill_under_load(crowd: Crowd, chance: random.Random) -> None:
    async with crowd.busy():
        await asyncio.sleep(chance.uniform(0.03, 0.25))
        code, _ = await asyncio.to_thread(crowd.server.stop, signal.SIGKILL)
    assert code == -signal.SIGKILL, "the server had died before it was killed"
    crowd.judge()


def _committed(server: Server) -> int:
    flags = apsw.SQLITE_OPEN_READONLY
    database = apsw.Connection(str(server.folder / "provlog.db"), flags=flags)
    try:
        [(size,)] = database.execute("SELECT size FROM heads")
    finally:
        database.close()
    return int(size)


async def _guarded(server: Server) -> int:
    head = await FileGuard(server.guard).read(server.origin)
    assert head is not None
    return head.size
