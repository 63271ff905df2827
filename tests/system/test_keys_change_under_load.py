"""Keys change and the log ends, while two servers are busy and are killed."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from provlog.merkle.announcements import Followed, follow
from provlog.merkle.trust import verify_checkpoint
from provlog.server.instance import load_instance
from provlog.server.key_changes import (
    announce_key,
    freeze,
    prepare_key,
    retire_keys,
)
from provlog.server.log import Log
from provlog.server.service import Service
from support.crowds import TIMEOUT, event
from support.observers import JSON, Observer, bearer
from support.rotations import id_of, signers
from support.servers import Server
from support.several import Crowd

_in_thread = asyncio.to_thread


pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def server(postgres_url: str, tmp_path: Path) -> Iterator[Server]:
    made = Server.init(tmp_path, "--dev", "--source", "*", "--database", postgres_url)
    yield made
    made.end()


async def test_keys_change_and_the_log_ends_while_servers_are_killed(
    server: Server,
) -> None:
    servers = [server, replace(server)]
    try:
        await asyncio.gather(*(_in_thread(each.start) for each in servers))
        crowd = Crowd(servers, singles=1, batches=0)
        async with crowd.busy(), _operator(server) as (service, log):
            await prepare_key(log)
            await _kill(servers[0])
            await announce_key(service, log, None, "operator")
            await _kill(servers[1])
        # Who knows nothing but the first key believed all that was answered.
        await crowd.judge()
        assert crowd.broken >= 2
        first = id_of(server.log_key)
        assert all(
            first in signers(signed.note)
            for signed in crowd.observer.checkpoints.values()
        )
        async with _operator(server) as (_, log):
            await retire_keys(log, destroy=True)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            found = await _follow_once_retired(session, servers)
            [change] = found.keys
            led = [replace(each, log_key=change.log_key.vkey()) for each in servers]
            observer = Observer(led[0])
            for each in led:
                await observer.follow(session, each)
            assert observer.leaves[: len(crowd.observer.leaves)] == (
                crowd.observer.leaves
            )
            await _end(session, server, servers)
    finally:
        for each in servers:
            each.end()


@asynccontextmanager
async def _operator(server: Server) -> AsyncIterator[tuple[Service, Log]]:
    """Open the log in this process, as a command does beside the servers."""
    instance = load_instance(server.folder, server.guard)
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        yield service, log


async def _kill(victim: Server) -> None:
    victim.listen = ":".join(map(str, victim.address))
    code, _ = await _in_thread(victim.stop, signal.SIGKILL)
    assert code == -signal.SIGKILL, "it had died before it was killed"
    victim.spawn()
    await _in_thread(victim.await_start)


async def _get(session: aiohttp.ClientSession, server: Server, what: str) -> bytes:
    url = f"{server.url}/logs/main/{what}"
    async with session.get(url, headers=bearer(server, "monitor")) as answer:
        assert answer.status == 200
        return await answer.read()


async def _follow_once_retired(
    session: aiohttp.ClientSession, servers: list[Server]
) -> Followed:
    """Follow from the first key, once no server signs with it any more."""
    first = servers[0].trust
    async with asyncio.timeout(20):
        for each in servers:
            while True:
                note = await _get(session, each, "checkpoint")
                if id_of(each.log_key) not in signers(note):
                    break
                await asyncio.sleep(0.1)
    found = follow(first, await _get(session, servers[1], "announcements"))
    verify_checkpoint(note, found.trust)
    return found


async def _end(
    session: aiohttp.ClientSession, server: Server, servers: list[Server]
) -> None:
    """End the log under load; what was acknowledged stands before the end."""
    acknowledged: list[str] = []
    busy = asyncio.Event()

    async def submit(to: Server, name: str) -> None:
        for number in count():
            event_id = f"{name}-{number}"
            if await _post(session, to, event_id) == 410:
                return
            acknowledged.append(event_id)
            if len(acknowledged) > 20:
                busy.set()

    loads = [
        asyncio.create_task(submit(to, f"{place}-{number}"))
        for number in range(2)
        for place, to in enumerate(servers)
    ]
    await busy.wait()
    async with _operator(server) as (service, log):
        made = await freeze(service, log, None, "operator")
    await asyncio.gather(*loads)
    for to in servers:
        assert await _post(session, to, "late") == 410
        size = (await _get(session, to, "checkpoint")).split(b"\n")[1]
        assert int(size) == made.index + 1
    again = [await _post(session, servers[0], each) for each in acknowledged]
    assert set(again) == {200}
    document = await _get(session, server, "announcements")
    assert follow(server.trust, document).freeze is not None


async def _post(session: aiohttp.ClientSession, server: Server, event_id: str) -> int:
    async with session.post(
        f"{server.url}/logs/main/events",
        data=json.dumps(event(event_id)),
        headers={**bearer(server, "submitter"), "Content-Type": JSON},
    ) as answer:
        await answer.read()
        assert answer.status in (200, 201, 410)
        return answer.status
