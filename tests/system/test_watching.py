"""Monitor and audit as processes, beside a real server: what they say and survive."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from support.commands import Commands
from support.lying_log import event
from support.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server.init(tmp_path, "--dev", "--source", "urn:okta:acme") as server:
        yield server


@pytest.fixture
def monitor(server: Server, tmp_path: Path) -> Commands:
    return Commands(server, tmp_path / "monitor", "monitor")


def submit(server: Server, folder: Path, *ids: str, user: str = "submitter") -> None:
    path = folder / "events.ndjson"
    path.write_text("".join(json.dumps(event(id=each)) + "\n" for each in ids))
    done = Commands(server, folder / user).run("submit", path)
    assert done.returncode == 0, done.stderr


def said(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def overwrite(server: Server, table: str, column: str, where: str) -> None:
    """Change one bit in the database of a stopped server, past all of its guards."""
    connection = apsw.Connection(str(server.folder / "provlog.db"))
    connection.execute(f"DROP TRIGGER {table}_keep")
    connection.execute(
        f"UPDATE {table} SET {column} = CAST(replace({column}, 'role.assign', "
        f"'role.assigm') AS BLOB) WHERE {where}"
    )
    assert connection.changes() == 1
    connection.close()


def test_the_log_is_followed_across_kill_and_restart(
    server: Server, monitor: Commands, tmp_path: Path
) -> None:
    following = monitor.start("monitor", "--json", "--pause", "0.1")
    assert said(following)["detail"] == "a log of 1 entries, seen for the first time"
    submit(server, tmp_path, "a", "b")
    grown = said(following)
    assert (grown["event"], grown["before"]) == ("grown", 1)
    while grown["size"] < 3:
        grown = said(following)
    following.kill()
    following.communicate(timeout=10)
    submit(server, tmp_path, "c")
    again = monitor.start("monitor", "--json", "--metrics", "127.0.0.1:0")
    grown = said(again)
    assert (grown["before"], grown["size"]) == (3, 4)
    server.stop()
    assert said(again)["event"] == "unreachable"
    again.send_signal(signal.SIGTERM)
    out, err = again.communicate(timeout=10)
    assert (again.returncode, out) == (0, "")
    assert re.fullmatch(r"metrics on http://127\.0\.0\.1:\d+/metrics\n", err)


def test_ctrl_c_ends_it_well_while_it_waits(monitor: Commands) -> None:
    following = monitor.start("monitor", "--json")
    said(following)
    started = time.monotonic()
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=10)
    assert (following.returncode, out, err) == (0, "", "")
    assert time.monotonic() - started < 5


def test_an_honest_log_is_audited_and_one_changed_leaf_is_named(
    server: Server, monitor: Commands, tmp_path: Path
) -> None:
    submit(server, tmp_path, *(f"e{place}" for place in range(300)))
    lines = monitor.lines("audit")
    assert [each["event"] for each in lines] == ["started", "finished"]
    assert lines[-1]["ok"]
    assert lines[-1]["size"] == 301
    server.stop()
    overwrite(server, "entries", "leaf", "idx = 17")
    server.start()
    done = monitor.run("audit", "--json", PROVLOG_URL=server.url)
    assert done.returncode == 1, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["place"] for each in found if "place" in each] == [
        "entry 17",
        "checkpoint",
    ]
    assert done.stderr == ""


def test_a_restored_older_copy_is_caught_by_the_monitor(
    server: Server, monitor: Commands, tmp_path: Path
) -> None:
    submit(server, tmp_path, "a")
    server.stop()
    kept = tmp_path / "kept"
    for base in (server.folder, server.guard):
        shutil.copytree(base, kept / base.name)
    server.start()
    submit(server, tmp_path, "b", "c")
    monitor.environment["PROVLOG_URL"] = server.url
    assert monitor.lines("monitor", "--once")[0]["size"] == 4
    server.stop()
    for base in (server.folder, server.guard):
        shutil.rmtree(base)
        shutil.copytree(kept / base.name, base)
    server.start()
    rolled = monitor.run("monitor", "--once", PROVLOG_URL=server.url)
    assert rolled.returncode == 1
    assert "rolled back: " in rolled.stdout
    # Somebody who never saw the entries that are gone, and so cannot miss them.
    submit(server, tmp_path, "x", "y", "z", user="newcomer")
    forked = monitor.run("monitor", "--once", "--json", PROVLOG_URL=server.url)
    assert forked.returncode == 1
    evidence = json.loads(forked.stdout)["evidence"]
    judged = monitor.run("verify", evidence)
    assert judged.returncode == 1
    assert "CONVICTED" in judged.stdout
