"""PostgreSQL restarts, dies or waits under a server that writes: nothing is lost."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT
from support.failovers import Pair
from support.postgres import Cluster
from support.several import Crowd
from support.stopped_servers import (
    get,
    head_row,
    progress,
    served,
    submit,
    until,
)

pytestmark = pytest.mark.needs("postgres")

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_CANCEL = (
    "SELECT count(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity"
    " WHERE wait_event = 'SyncRep'"
)


async def test_restarts_and_kills_lose_nothing(tmp_path: Path) -> None:
    with (
        Cluster.create() as cluster,
        served(tmp_path, "--database", cluster.dsn()) as [server],
    ):
        crowd = Crowd([server], singles=3)
        async with crowd.busy():
            await progress(crowd, 10)
            await asyncio.to_thread(cluster.restart, "fast")
            await progress(crowd, 10)
            await asyncio.to_thread(cluster.restart, "immediate")
            await progress(crowd, 10)
            await asyncio.to_thread(cluster.kill)
            await asyncio.to_thread(cluster.start)
            await progress(crowd, 10)
        await crowd.judge()
        print(f"{len(crowd.observer.leaves)} entries, {dict(crowd.statuses)}")
        interrupted = server.metrics()['provlog_commits_total{result="interrupted"}']
        assert interrupted, "nobody was interrupted"
        code, errors = server.stop()
        assert code == 0
        assert "Traceback" not in errors


async def test_who_waits_while_the_database_is_away_gets_a_receipt(
    tmp_path: Path,
) -> None:
    with (
        Cluster.create() as cluster,
        served(tmp_path, "--database", cluster.dsn()) as [server],
    ):
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            assert (await submit(session, server, "before"))[0] == 201
            await asyncio.to_thread(cluster.kill)
            waiting = [
                asyncio.create_task(submit(session, server, f"during-{number}"))
                for number in range(3)
            ]
            await asyncio.to_thread(cluster.start)
            answers = await asyncio.gather(*waiting)
            assert [status for status, _ in answers] == [201] * 3


async def test_what_waits_for_a_dead_standby_is_not_released_before_it_is_there(
    tmp_path: Path,
) -> None:
    with (
        Pair(synchronous=True) as pair,
        served(tmp_path, "--database", pair.primary.dsn()) as [server],
    ):
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            assert (await submit(session, server, "before"))[0] == 201
            _, shown = await get(session, server, "/logs/main/checkpoint")
            await asyncio.to_thread(pair.standby.kill)
            waiting = asyncio.create_task(submit(session, server, "waiting"))
            await asyncio.to_thread(pair.primary.await_answer, _WAITING, "1")
            assert not waiting.done()

            async def cancelled() -> bool:
                # First the commit, then the barrier that is to find out about it.
                await asyncio.to_thread(pair.primary.execute, _CANCEL)
                return waiting.done()

            await until(cancelled)
            status, body = await waiting
            assert status == 503
            assert "send the same events again" in json.loads(body)["detail"]
            # It is on the primary, where everybody sees it now, and nowhere else.
            size = int(shown.split("\n")[1])
            assert head_row(pair.primary).startswith(f"{size + 1}|")
            assert (await get(session, server, "/logs/main/checkpoint"))[1] == shown
            again = asyncio.create_task(submit(session, server, "waiting"))
            await asyncio.to_thread(pair.standby.start)
            status, body = await again
            assert status == 200, "it was logged before"
            assert json.loads(body)["index"] == size
            assert head_row(pair.standby).startswith(f"{size + 1}|")
        _, errors = server.stop()
        assert "a warning, SQLSTATE 01000" in errors
