"""Servers whose database changes under them: asked, and found to go on or to stop."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from provlog.server.recovery.diagnosis import Verdict
from support.crowds import TIMEOUT, event
from support.observers import JSON, bearer
from support.postgres import Cluster
from support.servers import Server, provlog_server, run_server_command
from support.several import Crowd

PATIENCE = 40.0


@contextmanager
def served(folder: Path, *options: str, count: int = 1) -> Iterator[list[Server]]:
    """Yield servers of one log and one guard, started; `init` gets the options."""
    first = Server.init(folder, "--dev", "--source", "*", *options)
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


async def require_refused(server: Server, *said: str) -> None:
    """Require that a server does not start any more, with an error that says why."""
    started = await asyncio.to_thread(
        run_server_command, "serve", *_of(server), "--listen", "127.0.0.1:0"
    )
    assert started.returncode == 2
    for part in said:
        assert part in started.stderr


async def require_explained(servers: Sequence[Server], *said: str) -> None:
    """Require that the servers' logs say why, and that no further one starts."""
    await require_refused(servers[0], *said)
    for server in servers:
        _, errors = server.stop()
        for part in said:
            assert part in errors


def recover(server: Server, *options: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and answer of `provlog-server recover` for a server's logs."""
    done = run_server_command("recover", *_of(server), "--json", *options)
    return done.returncode, json.loads(done.stdout)


def require_lost(server: Server, kept: int, lost: int) -> None:
    """Require that `recover` explains a database that lost released entries."""
    code, found = recover(server)
    [log] = found["logs"]
    told = (log["verdict"], log["released"]["size"], log["size"])
    assert (code, *told) == (1, Verdict.LOST.value, lost, kept)


async def require_succession(server: Server, note: str) -> None:
    """Open a successor of a server's log: its entry 0 names what was signed last.

    `note` is that checkpoint. The old log is signed no more by who is started then.
    """
    origin, size, root = note.split("\n")[:3]
    options = ("--successor", "main-2", "--origin", f"{origin}-2")
    code, made = await asyncio.to_thread(recover, server, *options)
    previous = {"origin": origin, "size": int(size), "root": root}
    assert (code, made["previous"]) == (0, previous)
    new = ("--log", "main-2", "--role", "monitor", "--json")
    token = json.loads(provlog_server("token", "create", *_of(server), *new))["token"]
    await asyncio.to_thread(server.start)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        status, _ = await get(session, server, "/logs/main/checkpoint")
        assert status == 410
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{server.url}/logs/main-2/entries/0"
        async with session.get(url, headers=headers) as answer:
            leaf = base64.b64decode((await answer.json())["leaf"])
    named = json.loads(leaf)["previous"]
    root = base64.urlsafe_b64encode(base64.b64decode(root)).decode().rstrip("=")
    assert named == {**previous, "root": root}


def _of(server: Server) -> tuple[str | Path, ...]:
    return ("--dir", server.folder, "--guard", server.guard)
