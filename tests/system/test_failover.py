"""PostgreSQL fails over under servers that write: they follow it, or they stop."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT, event
from support.failovers import Pair
from support.observers import JSON, bearer
from support.postgres import Cluster
from support.servers import Server, run_server_command
from support.several import Crowd

pytestmark = pytest.mark.needs("postgres")

PATIENCE = 40.0


@contextmanager
def served(
    folder: Path, pair: Pair, *options: str, count: int = 2
) -> Iterator[list[Server]]:
    """Yield servers of one log in the database of a pair, started, with one guard."""
    chosen = ["--dev", "--source", "*", "--database", pair.url, *options]
    first = Server.init(folder, *chosen)
    servers = [first, *(replace(first) for _ in range(count - 1))]
    try:
        for server in servers:
            server.spawn()
        for server in servers:
            server.await_start()
        yield servers
    finally:
        for server in servers:
            server.end()


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    """Return once something is found."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await found():
                return
            await asyncio.sleep(0.05)


async def progress(crowd: Crowd, answers: int = 30) -> None:
    """Return once a crowd was told of more events that were logged."""
    goal = crowd.statuses[201] + answers

    async def reached() -> bool:
        return crowd.statuses[201] >= goal

    await until(reached)


async def submit(
    session: aiohttp.ClientSession, server: Server, event_id: str
) -> tuple[int, bytes]:
    """Submit one event; return status and body of the answer."""
    async with session.post(
        f"{server.url}/logs/main/events",
        data=json.dumps(event(event_id)),
        headers={**bearer(server, "submitter"), "Content-Type": JSON},
    ) as answer:
        return answer.status, await answer.read()


async def get(
    session: aiohttp.ClientSession, server: Server, path: str
) -> tuple[int, str]:
    """Return status and text of what a monitor asks for."""
    headers = bearer(server, "monitor")
    async with session.get(f"{server.url}{path}", headers=headers) as answer:
        return answer.status, await answer.text()


def head_row(cluster: Cluster) -> str:
    """Return a log's head as it stands in a cluster, with its count of barriers."""
    return cluster.execute(
        "SELECT size, encode(root, 'hex'), barrier FROM provlog.heads"
    )


async def test_servers_follow_a_synchronous_failover_and_lose_nothing(
    tmp_path: Path,
) -> None:
    with (
        Pair(synchronous=True) as pair,
        served(tmp_path, pair, "--failover", "synchronous") as servers,
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
    with Pair(synchronous=False) as pair, served(tmp_path, pair) as servers:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            status, _ = await submit(session, servers[0], "before")
            assert status == 201
            await pair.lose_track()
            await pair.fail_over()
            await require_halted(session, servers)
        await require_explained(
            servers, "on timeline 1", "on timeline 2", "provlog-server recover"
        )


async def test_after_lost_commits_every_server_refuses_to_go_on(
    tmp_path: Path,
) -> None:
    # The declaration is not true: the guard finds it out.
    with (
        Pair(synchronous=False) as pair,
        served(tmp_path, pair, "--failover", "synchronous") as servers,
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
        assert int(head_row(pair.standby).split("|")[0]) == kept


async def require_halted(
    session: aiohttp.ClientSession, servers: Sequence[Server]
) -> None:
    """Require that servers take nothing more, and that probes and metrics say it."""
    for number, server in enumerate(servers):

        async def halted(server: Server = server, number: int = number) -> bool:
            status, body = await submit(session, server, f"after-{number}")
            assert status == 503
            return "until its operator has looked" in json.loads(body)["detail"]

        await until(halted)
        status, text = await get(session, server, "/readyz")
        assert status == 503
        assert "entries cannot be written" in json.loads(text)["checks"]["logs"]
        assert server.metrics()['provlog_log_halted{log="main"}'] == 1


async def require_explained(servers: Sequence[Server], *said: str) -> None:
    """Require that the servers' logs say why, and that no further one starts."""
    arguments = ("--dir", servers[0].folder, "--guard", servers[0].guard)
    started = await asyncio.to_thread(
        run_server_command, "serve", *arguments, "--listen", "127.0.0.1:0"
    )
    assert started.returncode == 2
    for server in servers:
        _, errors = server.stop()
        for part in said:
            assert part in errors
            assert part in started.stderr
