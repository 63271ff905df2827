"""Yesterday's database under a newer guard is refused; no server goes on with it."""

import asyncio
import shutil
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT
from support.postgres import Cluster
from support.postgres_binaries import run
from support.servers import Server
from support.stopped_servers import (
    get,
    require_explained,
    require_halted,
    require_lost,
    require_refused,
    served,
    submit,
)


async def test_a_sqlite_file_of_yesterday_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as [server]:
        await _write(server, "kept")
        server.stop()
        saved = shutil.copytree(server.folder, tmp_path / "saved")
        server.start()
        await _write(server, "lost")
        server.stop()
        for path in server.folder.glob("provlog.db*"):
            path.unlink()
        for path in saved.glob("provlog.db*"):
            shutil.copy2(path, server.folder)
        await require_refused(server, "ends at size 3", "size 4 was released")
        await asyncio.to_thread(require_lost, server, 3, 4)


@pytest.mark.needs("postgres")
async def test_a_cluster_of_yesterday_is_refused_also_by_a_server_that_runs_on(
    tmp_path: Path,
) -> None:
    with (
        Cluster.create(tcp=True) as cluster,
        served(tmp_path, "--database", cluster.dsn()) as [server],
    ):
        await _write(server, "kept")
        await asyncio.to_thread(cluster.stop)
        saved = cluster.folder / "saved"
        run(["cp", "-a", str(cluster.data), str(saved)])
        await asyncio.to_thread(cluster.start)
        await _write(server, "lost")
        await asyncio.to_thread(cluster.stop)
        shutil.rmtree(cluster.data)
        saved.rename(cluster.data)
        await asyncio.to_thread(cluster.start)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            await require_halted(session, [server])
            _, note = await get(session, server, "/logs/main/checkpoint")
            assert note.split("\n")[1] == "4"
        await require_explained([server], "ends at size 3", "size 4 was released")
        await asyncio.to_thread(require_lost, server, 3, 4)


async def _write(server: Server, event_id: str) -> None:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        status, body = await submit(session, server, event_id)
        assert status == 201, body
