"""`provlog monitor --config` as a process beside a real server; killed, restarted."""

import asyncio
import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provlog.client.monitoring.config import LogConfig
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.merkle.witness_messages import origin_hash
from provlog.server.witnessing.writing import Wanted, write_witnesses
from support.alert_sinks import webhook
from support.commands import Commands
from support.lying_log import event
from support.monitored import HandClock, monitored
from support.servers import Server
from support.static_sites import static
from support.witnesses import serve_witness


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server.init(tmp_path, "--dev", "--source", "urn:okta:acme") as server:
        yield server


@pytest.fixture
def monitor(server: Server, tmp_path: Path) -> Commands:
    commands = Commands(server, tmp_path / "monitor", "monitor")
    # All that it knows stands in its file.
    for name in ("URL", "LOG_KEY", "TOKEN", "STATE", "PATIENCE"):
        del commands.environment[f"PROVLOG_{name}"]
    return commands


def submit(server: Server, folder: Path, *ids: str) -> None:
    path = folder / "events.ndjson"
    path.write_text("".join(json.dumps(event(id=each)) + "\n" for each in ids))
    done = Commands(server, folder / "submitter").run("submit", path)
    assert done.returncode == 0, done.stderr


def configure(server: Server, folder: Path, role: str, *more: str) -> Path:
    token = folder / "token"
    token.touch(0o600)
    token.write_text(server.tokens[role] + "\n")
    path = folder / "monitor.toml"
    lines = [
        'state = "state"',
        'listen = "127.0.0.1:0"',
        "[[log]]",
        f'url = "{server.url}"',
        f'log_key = "{server.log_key}"',
        'token_file = "token"',
        'interval = "100ms"',
        *more,
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def said(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def address(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    for line in process.stderr:
        found = re.fullmatch(r"listening on (http://\S+)\n", line)
        if found:
            return found[1]
    raise AssertionError("it does not listen")


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        data: bytes = answer.read()
    return data


def until(holds: Callable[[], bool]) -> None:
    """Return once a condition on what a monitor shows holds; fail if it never does."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_size(url: str, name: str, size: int) -> None:
    """Return once a monitor's status has come to a size."""
    until(lambda: json.loads(read(f"{url}/status.json"))["logs"][0].get(name) == size)


async def test_it_is_killed_and_goes_on_and_its_copy_can_be_followed_and_audited(
    server: Server, monitor: Commands, tmp_path: Path
) -> None:
    rules = (
        '[[rule]]\nname = "bob-grants"\nseverity = "critical"\n'
        'types = ["role.assign"]\nactor_in = ["name:bob@*"]\n'
    )
    (tmp_path / "rules.toml").write_text(rules)
    async with webhook() as hook:
        alerts = ("[alerts.webhook]", f'url = "{hook.url}"')
        more = ('mirror = "web"', 'rules = "rules.toml"', *alerts)
        path = configure(server, tmp_path, "auditor", *more)
        await asyncio.to_thread(submit, server, tmp_path, "before")
        await asyncio.to_thread(kill_and_go_on, server, monitor, path, tmp_path)
    # The entry from before the monitor began is not judged, and the other one is told
    # in words that name nobody.
    [alert] = {value["id"]: value for value in map(json.loads, hook.bodies)}.values()
    assert (alert["kind"], alert["severity"]) == ("rule", "critical")
    assert alert["details"]["rule"] == "bob-grants"
    assert alert["details"]["index"] == 2
    assert "bob@" not in hook.bodies[0].decode()


def kill_and_go_on(server: Server, monitor: Commands, path: Path, folder: Path) -> None:
    process = monitor.start("monitor", "--config", path, "--json")
    url = address(process)
    until_size(url, "mirror_size", 2)
    # What it verified is shown to other monitors.
    note = read(f"{url}/{origin_hash(server.origin)}/checkpoint")
    assert verify_checkpoint(note, server.trust).checkpoint.size == 2
    process.kill()
    process.communicate(timeout=10)
    submit(server, folder, "after")
    process = monitor.start("monitor", "--config", path, "--json")
    url = address(process)
    until_size(url, "mirror_size", 3)
    delivered = b'{channel="webhook",result="delivered"} 1'
    until(lambda: read(f"{url}/metrics").count(delivered) == 1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert set(events) == {"grown", "alert"}
    with static(folder / "web") as place:
        reader = {"PROVLOG_URL": place, "PROVLOG_LOG_KEY": server.log_key}
        reader["PROVLOG_STATE"] = str(folder / "reader")
        lines = monitor.lines("audit", **reader)
        assert (lines[-1]["ok"], lines[-1]["size"]) == (True, 3)
        assert monitor.lines("monitor", "--once", **reader)[0]["event"] == "unchanged"


async def test_a_log_that_its_witness_no_longer_cosigns_is_stale_by_the_witness_s_time(
    tmp_path: Path,
) -> None:
    server = await asyncio.to_thread(
        Server.init, tmp_path, "--dev", "--source", "urn:okta:acme", "--public"
    )
    async with serve_witness(tmp_path / "w", server.log_key, name="w.example") as made:
        policy = f"witness w {made.vkeys[0]} {made.url}\nquorum w\n".encode()
        given = server.folder / "given.policy"
        given.write_bytes(policy)
        place = server.folder / "witnesses"
        write_witnesses(place, "main", server.origin, Wanted(given, {"timeout": "2s"}))
        await asyncio.to_thread(server.start)
        try:
            trust = Trust.from_policy(f"log {server.log_key}\n".encode() + policy)
            config = LogConfig(server.url, "main", trust, full=True)
            clock = HandClock(time.time())
            async with monitored(tmp_path, [config], clock) as running:
                await running.first.look()
                assert await running.first.read()
                assert running.said() == []
                assert running.first.followed.read_size == 1
                witnessed = running.first.followed.quorum_time
                assert witnessed is not None
                assert abs(witnessed - clock.now()) < 60
                clock.pass_by(90_000)
                await running.first.look()
                assert ("stale-witnesses", "begins") in running.said()
        finally:
            await asyncio.to_thread(server.end)
