"""The database's disk is full: nothing new is taken, and nothing is lost."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT, Crowd
from support.disks import SmallDisk, small_disk
from support.servers import Server

pytestmark = pytest.mark.needs("program:mount")


@pytest.fixture
def server(disk: SmallDisk, tmp_path: Path) -> Iterator[Server]:
    made = Server.init(tmp_path)
    yield made
    made.end()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "data", "3m") as disk:
        if disk is None:
            pytest.skip("program: mount may not be used here")
        yield disk


async def _require_refusals(crowd: Crowd) -> None:
    """Keep the server busy until it takes nothing any more.

    What is kept beside the database may be given up first and leave room for another
    commit: it counts from the last that was taken.
    """
    crowd.statuses.clear()
    async with crowd.busy():
        await crowd.until_nothing_is_taken()
    assert set(crowd.statuses) == {503}
    crowd.judge()


async def test_a_full_disk_costs_nothing_that_was_acknowledged(
    disk: SmallDisk, server: Server
) -> None:
    crowd = Crowd(server)
    server.start()
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        await _require_refusals(crowd)
        # Everything that was acknowledged can be read and proved meanwhile.
        await crowd.observer.download_again(session)
        acknowledged = len(crowd.observer.acknowledged)
        assert acknowledged

        # With room, it goes on by itself.
        disk.resize("16m")
        await crowd.settle(session)
        assert len(crowd.observer.acknowledged) > acknowledged

    disk.fill()
    await _require_refusals(crowd)
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    disk.empty()
    server.start()
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        await crowd.observer.follow(session)
        await crowd.settle(session)
        await crowd.observer.download_again(session)
    assert server.stop() == (0, "")


def test_a_start_on_a_full_disk_is_refused_in_one_line(
    disk: SmallDisk, server: Server
) -> None:
    server.start()
    # Killed with next to nothing in the write-ahead log. One that has grown may have
    # room for the barrier of a start, which then is right to go on.
    server.stop(signal.SIGKILL)
    disk.fill()
    with pytest.raises(RuntimeError, match=r"\(3\): Error: .*full") as refused:
        server.start()
    assert len(str(refused.value).splitlines()) == 1

    disk.empty()
    server.start()
    assert server.stop() == (0, "")
