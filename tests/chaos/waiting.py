"""Waiting for what the load and the servers show; too long is `TimeoutError`."""

import asyncio
import json
from collections.abc import Callable, Iterable

import aiohttp

from chaos.rigs import Rig
from support.crowds import TIMEOUT
from support.servers import Server

PATIENCE = 20.0
_ENOUGH = 20


async def until(is_so: Callable[[], bool]) -> None:
    """Return as soon as it is so: nobody tells us."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def require_writing(rig: Rig) -> None:
    """Return when events are taken, under a load that runs."""
    statuses = rig.crowd.statuses
    statuses.clear()
    await until(lambda: statuses[201] >= _ENOUGH)


async def require_refusals(rig: Rig, why: str, *, wholly: bool = True) -> None:
    """Return when all events are refused; `AssertionError` if not for that reason.

    Unless `wholly`, some may be written all the same.
    """
    crowd = rig.crowd
    crowd.refusals.clear()
    await until(lambda: crowd.refusals.total() >= _ENOUGH)
    crowd.statuses.clear()
    crowd.refusals.clear()
    await until(lambda: crowd.refusals.total() >= _ENOUGH)
    if wholly:
        assert set(crowd.statuses) == {503}, f"written in spite of it: {crowd.statuses}"
    assert all(why in each for each in crowd.refusals), dict(crowd.refusals)


async def until_ready(servers: Iterable[Server], ready: bool) -> None:
    """Return when all servers say that they are ready, or that they are not."""
    async with asyncio.timeout(PATIENCE):
        for server in servers:
            while (await readiness(server))["ready"] is not ready:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def readiness(server: Server) -> dict[str, object]:
    """Return what a server says of itself, ready or not."""
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(f"{server.url}/readyz") as answer,
    ):
        said: dict[str, object] = json.loads(await answer.read())
    return said
