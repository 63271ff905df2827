"""The SCIM proxy killed in the midst of many changes: what passed is in the log."""

import asyncio
import random
import signal
from pathlib import Path

import aiohttp
from aiohttp import web

from support.checked_instance import check
from support.fake_scim import FakeScim, fake_scim
from support.scim_processes import ProxyProcess, logged

ROUNDS = 3
CALLERS = 8
SEED = 20_261_127


async def call(url: str, answered: set[str]) -> None:
    """Make changes until the proxy is gone; note those that were answered."""
    async with aiohttp.ClientSession() as session:
        try:
            while True:
                async with session.post(url, json={"userName": "ann"}) as answer:
                    await answer.read()
                    assert answer.status == 201
                    answered.add(answer.headers["Provlog-Request-Id"])
        except aiohttp.ClientError:
            return


async def one_round(
    proxy: ProxyProcess, scim: FakeScim, answered: set[str], most: int
) -> None:
    """Start the proxy, and kill it once `most` requests came through it."""
    reached = asyncio.Event()
    first = len(scim.seen)

    async def answer(_: web.Request) -> web.Response:
        if len(scim.seen) - first >= most:
            reached.set()
        # Some answers are on their way when it happens, some requests are.
        await asyncio.sleep(random.random() / 50)
        return web.json_response({"id": "u1"}, status=201)

    scim.handler = answer
    await asyncio.to_thread(proxy.start)
    callers = [
        asyncio.create_task(call(f"{proxy.url}/Users", answered))
        for _ in range(CALLERS)
    ]
    await asyncio.wait_for(reached.wait(), 60)
    await asyncio.to_thread(proxy.stop, signal.SIGKILL)
    await asyncio.gather(*callers)


async def test_whatever_passed_was_attempted_and_whatever_was_answered_is_known(
    tmp_path: Path,
) -> None:
    chosen, answered = random.Random(SEED), set[str]()
    async with fake_scim() as scim:
        proxy = await asyncio.to_thread(ProxyProcess.init, tmp_path, scim.url)
        for _ in range(ROUNDS):
            await one_round(proxy, scim, answered, chosen.randrange(10, 60))
        passed = {each.field("Provlog-Request-Id") for each in scim.seen}
    events = await logged(proxy.instance)
    attempts, outcomes = (
        {
            each.record["id"]
            for each in events
            if each.record and each.record["phase"] == phase
        }
        for phase in ("attempt", "outcome")
    )
    assert len(passed) == len(scim.seen)
    assert passed <= attempts
    assert answered <= outcomes <= attempts
    assert len(answered) > 10
    # What was under way when it was killed has an attempt, and nothing else.
    assert 0 < len(attempts - outcomes) <= ROUNDS * CALLERS
    assert {each.result for each in events} == {"pending", "success"}
    assert await asyncio.to_thread(check, proxy.instance) == []
