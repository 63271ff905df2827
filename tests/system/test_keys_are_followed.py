"""A real log changes its keys and ends; who knew its first key alone follows it."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from provlog.merkle.keys import SigningKey
from provlog.server.cli import commands
from support.commands import Commands, verify_alone
from support.lying_log import event
from support.servers import Server

NEXT = SigningKey.from_seed("log.example/next", bytes(32)).verifier()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server.init(tmp_path, "--dev", "--source", "urn:okta:acme") as server:
        yield server


def manage(server: Server, *arguments: str) -> Any:  # noqa: ANN401
    """Return what a command of the operator's prints, beside the running server."""
    where = ["--dir", str(server.folder), "--guard", str(server.guard), "--json"]
    done = CliRunner().invoke(commands, [*arguments, *where])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def rotate(server: Server, *, retire: bool) -> str:
    """Replace the log's key; return the new one."""
    manage(server, "key", "prepare")
    new: str = manage(server, "key", "announce")["log_key"]
    if retire:
        manage(server, "key", "retire")
    return new


class Person:
    """Somebody who was given the log's first key, and nothing since."""

    def __init__(self, server: Server, folder: Path, role: str = "monitor") -> None:
        self.commands = Commands(server, folder, role)
        self.state = self.commands.state

    def run(self, *arguments: str | Path) -> Result:
        """Return how a command ended. In this process: loading is what takes time."""
        variables = self.commands.environment
        return CliRunner().invoke(cli, [*map(str, arguments)], env=variables)

    def said(self, *arguments: str | Path) -> Any:  # noqa: ANN401
        """Return the last line of JSON that a command printed, which has to succeed."""
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    def submit(self, name: str) -> Path:
        """Submit one event; return the file of its receipt."""
        path = self.commands.folder / f"{name}.json"
        path.write_text(json.dumps(event(id=name)))
        return Path(self.said("submit", path, "--receipts", path.parent)["file"])


def said(process: "subprocess.Popen[str]", size: int) -> None:
    """Return once a monitor has said that the log has grown to this size."""
    assert process.stdout is not None
    for line in process.stdout:
        report = json.loads(line)
        assert report["event"] in ("grown", "unchanged"), report
        if report["size"] >= size:
            return
    raise AssertionError("the monitor has ended")


def test_two_rotations_and_the_end_are_followed_from_the_first_key(
    server: Server, tmp_path: Path
) -> None:
    submitter = Person(server, tmp_path / "submitter", "submitter")
    away = Person(server, tmp_path / "away")
    old = submitter.submit("before")
    assert away.said("monitor", "--once")["event"] == "grown"
    there = Commands(server, tmp_path / "there", "monitor")
    following = there.start("monitor", "--json", "--pause", "0.1")
    said(following, 2)
    # An overlap, under the eyes of one monitor; the other one is away for all of it.
    rotate(server, retire=False)
    submitter.submit("overlap")
    said(following, 4)
    manage(server, "key", "retire")
    newest = rotate(server, retire=True)
    new = submitter.submit("after")
    said(following, 6)
    following.send_signal(signal.SIGTERM)
    assert following.communicate(timeout=20)[1] == ""
    assert following.returncode == 0
    assert away.said("monitor", "--once")["event"] == "grown"
    assert away.said("checkpoint")["log_key"] == newest
    check_receipts(server, away, old, new)
    check_the_end(server, submitter, away)


def check_receipts(server: Server, away: Person, old: Path, new: Path) -> None:
    """Verify receipts offline, by what is remembered or by a file of announcements."""
    known = verify_alone(server.log_key, old, new, "--state", away.state)
    assert known.returncode == 0, known.stdout
    none = ("--state", str(away.state / "none"))
    assert away.run("verify", old, *none).exit_code == 0
    assert away.run("verify", new, *none).exit_code == 1
    (announced,) = (away.state / "announcements").glob("*.json")
    done = away.run("verify", new, *none, "--announcements", announced)
    assert done.exit_code == 0, done.output


def check_the_end(server: Server, submitter: Person, away: Person) -> None:
    """End the log: a monitor and an audit see it, and the server keeps to it."""
    successor = ["--successor-origin", NEXT.name, "--successor-key", NEXT.vkey()]
    end = manage(server, "log", "freeze", "main", "--yes", *successor)["index"]
    report = away.said("monitor", "--once")
    assert (report["event"], report["size"]) == ("frozen", end + 1)
    assert NEXT.name in report["detail"]
    for reader in (away, Person(server, away.state / "new")):
        frozen = reader.said("audit")["frozen"]
        assert frozen["size"] == end + 1
        assert frozen["successor"] == {"origin": NEXT.name, "log_key": NEXT.vkey()}
    path = submitter.commands.folder / "late.json"
    path.write_text(json.dumps(event(id="late")))
    refused = submitter.run("submit", path)
    assert refused.exit_code == 2
    assert "ended" in refused.output
    # What a spool holds stays there, for the log that goes on.
    submitter.said("spool", "put", path)
    assert submitter.run("spool", "run", "--once").exit_code != 0
    status = submitter.said("spool", "status")
    assert (status["waiting"], status["failed"]) == (1, 0)
