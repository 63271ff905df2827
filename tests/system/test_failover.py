"""PostgreSQL fails over under servers that write: they follow it, or they stop."""

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT
from support.failovers import Pair
from support.several import Crowd
from support.stopped_servers import (
    get,
    head_row,
    progress,
    recover,
    require_explained,
    require_halted,
    require_lost,
    require_succession,
    served,
    submit,
)

pytestmark = pytest.mark.needs("postgres")

SYNCHRONOUS = ("--failover", "synchronous")


async def test_servers_follow_a_synchronous_failover_and_lose_nothing(
    tmp_path: Path,
) -> None:
    with (
        Pair(synchronous=True) as pair,
        served(tmp_path, *SYNCHRONOUS, "--database", pair.url, count=2) as servers,
    ):
        crowd = Crowd(servers)
        async with crowd.busy():
            await progress(crowd)
            await pair.fail_over()
            await progress(crowd)
            # The old primary comes back, on its old timeline, first in the URL.
            await asyncio.to_thread(pair.primary.start)
            before = head_row(pair.primary)
            newcomer = replace(servers[0])
            servers.append(newcomer)
            await asyncio.to_thread(newcomer.start)
            await progress(crowd)
        await crowd.judge()
        assert head_row(pair.primary) == before
        assert int(head_row(pair.standby).split("|")[0]) == len(crowd.observer.leaves)
        print(f"{len(crowd.observer.leaves)} entries, {dict(crowd.statuses)}")
        for server in servers:
            assert server.stop()[0] == 0


async def test_without_a_declaration_every_server_stops_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    with (
        Pair(synchronous=False) as pair,
        served(tmp_path, "--database", pair.url, count=2) as servers,
    ):
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            status, _ = await submit(session, servers[0], "before")
            assert status == 201
            await pair.lose_track()
            await pair.fail_over()
            await require_halted(session, servers)
        await require_explained(
            servers, "on timeline 1", "on timeline 2", "provlog-server recover"
        )
        # Nothing was lost, and the operator says so.
        server = servers[0]
        code, _ = await asyncio.to_thread(recover, server, "--accept-database")
        assert code == 0
        await asyncio.to_thread(server.start)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            assert (await submit(session, server, "accepted"))[0] == 201


async def test_after_lost_commits_every_server_refuses_to_go_on(
    tmp_path: Path,
) -> None:
    # The declaration is not true, and the guard finds it out.
    with (
        Pair(synchronous=False) as pair,
        served(tmp_path, *SYNCHRONOUS, "--database", pair.url, count=2) as servers,
    ):
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            status, _ = await submit(session, servers[0], "kept")
            assert status == 201
            await pair.lose_track()
            status, _ = await submit(session, servers[1], "lost")
            assert status == 201
            _, note = await get(session, servers[0], "/logs/main/checkpoint")
            lost = int(note.split("\n")[1])
            await pair.fail_over()
            kept = int(head_row(pair.standby).split("|")[0])
            await require_halted(session, servers)
            for server in servers:
                # What was signed stands; nothing else is.
                answer = await get(session, server, "/logs/main/checkpoint")
                assert answer == (200, note)
        await require_explained(
            servers, f"ends at size {kept}", f"size {lost} was released"
        )
        await asyncio.to_thread(require_lost, servers[0], kept, lost)
        assert int(head_row(pair.standby).split("|")[0]) == kept
        await require_succession(servers[0], note)
