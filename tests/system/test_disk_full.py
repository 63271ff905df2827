"""The database's disk is full: nothing new is taken, and nothing is lost."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT, Crowd
from support.servers import Server

pytestmark = pytest.mark.needs("program:mount")


@pytest.fixture
def server(disk: Path, tmp_path: Path) -> Iterator[Server]:
    made = Server.init(tmp_path)
    yield made
    made.end()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 3 MiB."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = _mount("size=3m,mode=700", folder)
    if mounted.returncode:
        pytest.skip("program: mount may not be used here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def _mount(options: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "provlog-test", str(folder)],
        capture_output=True,
        check=False,
        timeout=10,
    )


async def _require_refusals(crowd: Crowd) -> None:
    """Keep the server busy until it takes nothing any more."""
    crowd.statuses.clear()
    async with crowd.busy(), asyncio.timeout(20):
        while crowd.statuses[503] < 20:  # noqa: ASYNC110  nobody could tell us
            await asyncio.sleep(0.05)
        crowd.statuses.clear()
        await asyncio.sleep(0.2)
    assert set(crowd.statuses) == {503}
    crowd.judge()


def _take_all(disk: Path) -> Path:
    ballast = disk / "ballast"
    # As much of it is written as there is room for.
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(16 << 20))
    return ballast


async def test_a_full_disk_costs_nothing_that_was_acknowledged(
    disk: Path, server: Server
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
        assert not _mount("remount,size=16m", disk).returncode
        await crowd.settle(session)
        assert len(crowd.observer.acknowledged) > acknowledged

    ballast = _take_all(disk)
    await _require_refusals(crowd)
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"\(3\): Error: .*full") as refused:
        server.start()
    assert len(str(refused.value).splitlines()) == 1

    ballast.unlink()
    server.start()
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        await crowd.observer.follow(session)
        await crowd.settle(session)
        await crowd.observer.download_again(session)
    assert server.stop() == (0, "")
