"""`provlog-server poll` of tokens, killed after the commit and before it says so."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fake_set_transmitter import TOKEN, FakeTransmitter, fake_transmitter
from support.servers import COMMAND, Server, environment, provlog_server
from support.sets import AUDIENCE

SOURCE = "urn:set:idp"
KILLED = """
import os, signal
from provlog.server.polling.sets import SetFeed
request = SetFeed._request
def killed(self):
    if self._durable:
        os.kill(os.getpid(), signal.SIGKILL)
    return request(self)
SetFeed._request = killed
from provlog.server.cli import main
main()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server.init(tmp_path)
    create = ("source", "create", "--dir", str(server.folder), "--connector", "set")
    provlog_server(*create, SOURCE)
    yield server
    server.end()


def configure(server: Server, fake: FakeTransmitter) -> None:
    """Write the settings of the source, as an operator does."""
    folder = server.folder / "connect"
    folder.mkdir()
    token = folder / "transmitter.token"
    token.touch(0o600)
    token.write_text(TOKEN + "\n")
    (folder / "idp.toml").write_text(
        f'source = "{SOURCE}"\n'
        f'[[issuers]]\nissuer = "{fake.issuer}"\naudience = "{AUDIENCE}"\n'
        f'jwks_url = "{fake.jwks_url}"\n'
        f'[poll]\nurl = "{fake.poll_url}"\ntoken_file = "transmitter.token"\n'
    )


async def poll(server: Server, *command: str) -> tuple[int, str]:
    """Run the command for one round; return how it ended and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(command or COMMAND),
        *("poll", "--dir", str(server.folder), "--source", SOURCE, "--once", "--json"),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert TOKEN not in (out + err).decode()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_a_token_comes_again_is_known_and_is_acknowledged(
    server: Server,
) -> None:
    async with fake_transmitter() as fake:
        configure(server, fake)
        for number in range(3):
            fake.queue(f"jti-{number}")
        fake.queue("nobody", aud="urn:x")
        code, _ = await poll(server, sys.executable, "-c", KILLED)
        assert code == -9
        assert (fake.acknowledged, len(fake.pending)) == ([], 4)

        code, out = await poll(server)
        assert code == 0
        first = json.loads(out.splitlines()[0])
        assert (first["records"], first["logged"], first["repeated"]) == (3, 0, 3)
        assert fake.acknowledged == ["jti-0", "jti-1", "jti-2"]
        assert fake.refused == {"nobody": "invalid_audience"}
