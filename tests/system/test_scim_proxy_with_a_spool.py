"""The SCIM proxy in relaxed mode and a real spool: from a change to its entry."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from support.fake_scim import fake_scim
from support.nginx import free_port
from support.scim_processes import SOURCE, ProxyProcess, logged
from support.servers import Server, environment, provlog_server

pytest.importorskip("provlog.client.outbox", reason="provlog spool: not there")

TOKEN = "a-token-of-the-spool-s-own"


@contextmanager
def spooling(folder: Path, port: int, variables: Mapping[str, str]) -> Iterator[None]:
    """Run `provlog spool` on a port."""
    options = ("--spool", folder / "spool.db", "--state", folder / "state")
    listening = ("--listen", f"127.0.0.1:{port}", "--token-file", folder / "token")
    process = subprocess.Popen(
        [sys.executable, "-m", "provlog.client", "spool", "run", *options, *listening],
        env=environment() | dict(variables),
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def await_entries(server: Server, count: int) -> None:
    """Return once the log has so many entries."""
    deadline = time.monotonic() + 60
    while server.metrics()['provlog_log_size{log="main"}'] < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_changes_pass_while_the_spool_is_away_and_are_in_the_log_in_the_end(
    tmp_path: Path,
) -> None:
    server = await asyncio.to_thread(Server.init, tmp_path)
    where = ("--dir", server.folder)
    await asyncio.to_thread(
        provlog_server, "source", "create", *where, "--connector", "scim", SOURCE
    )
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    port = free_port()
    options = (
        *("--mode", "relaxed", "--spool", f"http://127.0.0.1:{port}"),
        *("--spool-token-file", str(tmp_path / "token")),
        *("--caller-key-file", str(tmp_path / "key")),
    )
    async with fake_scim() as scim:
        proxy = ProxyProcess(tmp_path, scim.url, options, strict=False)
        with server, proxy:
            size = int(server.metrics()['provlog_log_size{log="main"}'])
            async with aiohttp.ClientSession() as session:
                for number in range(3):
                    body = {"userName": f"ann{number}"}
                    async with session.post(f"{proxy.url}/Users", json=body) as answer:
                        assert answer.status == 201
            variables = {
                "PROVLOG_URL": server.url,
                "PROVLOG_TOKEN": server.tokens["submitter"],
                "PROVLOG_LOG_KEY": server.log_key,
            }
            with spooling(tmp_path, port, variables):
                await asyncio.to_thread(await_entries, server, size + 3)
            assert await asyncio.to_thread(proxy.stop)
            server.stop()
    found = await logged(proxy.instance)
    assert [each.type for each in found] == ["account.create"] * 3
    assert [each.record["request"]["userName"] for each in found if each.record] == [
        "ann0",
        "ann1",
        "ann2",
    ]
