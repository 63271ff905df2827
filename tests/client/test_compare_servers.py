"""Two real servers with one key that tell two stories: caught by comparing."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from support.commands import verify_alone
from support.servers import Server

EVENT = {"source": "urn:provlog:test", "type": "role.assign", "specversion": "1.0"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Yield two servers of one log's key: one a copy of the other's first days."""
    first = Server.init(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    # Sharing the guard, the second would notice and stop: this operator means to lie.
    guard = tmp_path / "second" / "guard"
    second = replace(
        first.another(),
        folder=tmp_path / "second" / "data",
        guard=guard,
        options=("--guard", str(guard)),
    )
    with ExitStack() as stack:
        yield stack.enter_context(first), stack.enter_context(second)


class User:
    """Somebody who was told of one of the servers."""

    def __init__(self, server: Server, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._server = server

    def run(self, *arguments: str | Path, role: str = "submitter") -> Result:
        environment = {
            "XDG_CONFIG_HOME": str(self.folder),
            "PROVLOG_STATE": str(self.folder / "state"),
            "PROVLOG_URL": self._server.url,
            "PROVLOG_LOG_KEY": self._server.log_key,
            "PROVLOG_TOKEN": self._server.tokens[role],
        }
        return CliRunner().invoke(cli, [*map(str, arguments)], env=environment)

    def submit(self, name: str, count: int) -> Path:
        """Submit events; return the folder of their receipts."""
        events = [{**EVENT, "id": f"{name}-{place}"} for place in range(count)]
        file, folder = self.folder / f"{name}.ndjson", self.folder / name
        file.write_text("".join(json.dumps(each) + "\n" for each in events))
        done = self.run("submit", file, "--receipts", folder)
        assert done.exit_code == 0, done.output
        return folder


def test_two_histories_under_one_key_are_caught(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    first, second = servers
    ours, theirs = User(first, tmp_path / "ours"), User(second, tmp_path / "theirs")
    mine, other = ours.submit("a", 6), theirs.submit("b", 3)
    fine = ours.run("compare", mine)
    assert (fine.exit_code, "consistent" in fine.stderr) == (0, True), fine.output
    # A submitter's token reaches consistency proofs, and no more is needed.
    caught = ours.run("compare", mine, other)
    assert (caught.exit_code, "SPLIT VIEW" in caught.stderr) == (1, True), caught.output
    files = sorted(ours.folder.rglob("*.inconsistency.json"))
    assert files
    judged = verify_alone(first.log_key, *files)
    assert (judged.returncode, judged.stdout.count("CONVICTED")) == (1, len(files))
    # And without any server, from what both have kept.
    alone = theirs.run("compare", "--offline", mine, other)
    assert "SPLIT VIEW" in alone.stderr, alone.output
    # A server that the token is not for is not given it.
    untold = ours.run("compare", f"{second.url}/logs/main", role="monitor")
    assert untold.exit_code == 3
    assert "none is sent but to the log" in untold.stdout
