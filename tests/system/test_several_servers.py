"""Three servers write one log, and one after the other is killed under load."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.servers import Server, provlog_server
from support.several import Crowd
from support.workers import workers_of

_in_thread = asyncio.to_thread

SERVERS = 3
SECONDS_BETWEEN = 0.5


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    options = ["--dev", "--source", "*"]
    if request.param == "postgres":
        options += ["--database", request.getfixturevalue("postgres_url")]
    made = Server.init(tmp_path, *options)
    yield made
    made.end()


async def test_of_three_servers_one_after_the_other_is_killed_and_started_again(
    server: Server,
) -> None:
    servers = [replace(server) for _ in range(SERVERS)]
    try:
        await asyncio.gather(*(_in_thread(each.start) for each in servers))
        crowd = Crowd(servers)
        async with crowd.busy():
            for victim in servers:
                await asyncio.sleep(SECONDS_BETWEEN)
                victim.listen = ":".join(map(str, victim.address))
                code, _ = await _in_thread(victim.stop, signal.SIGKILL)
                assert code == -signal.SIGKILL, "it had died before it was killed"
                victim.spawn()
            await asyncio.gather(*(_in_thread(each.await_start) for each in servers))
        await _require_sound(crowd)
        ends = await asyncio.gather(*(_in_thread(each.stop) for each in servers))
        assert [code for code, _ in ends] == [0, 0, 0]
    finally:
        for each in servers:
            each.end()


async def test_of_three_workers_one_after_the_other_is_killed_and_replaced(
    server: Server,
) -> None:
    server.options = ("--workers", str(SERVERS))
    await _in_thread(server.start)
    crowd = Crowd([server] * SERVERS)
    async with crowd.busy():
        for _ in range(SERVERS):
            await asyncio.sleep(SECONDS_BETWEEN)
            # Those that were killed are replaced by younger ones, behind the others.
            os.kill(workers_of(server)[0], signal.SIGKILL)
    await _require_sound(crowd)
    code, errors = server.stop()
    assert code == 0
    assert errors.count("ended (signal 9)") == SERVERS


async def _require_sound(crowd: Crowd) -> None:
    await crowd.judge()
    # Otherwise nothing was interrupted, or nothing was sent twice.
    assert crowd.broken >= SERVERS
    assert crowd.repeated
    await _in_thread(_require_clean, crowd.servers[0])
    print(
        f"{len(crowd.observer.leaves)} entries,"
        f" {len(crowd.observer.checkpoints)} checkpoints, {crowd.broken} broken,"
        f" {crowd.repeated} answered by several, {dict(crowd.statuses)}"
    )


def _require_clean(server: Server) -> None:
    options = ("--dir", server.folder, "--guard", server.guard)
    found = json.loads(provlog_server("fsck", *options, "--json"))
    assert found["clean"], found["findings"]
