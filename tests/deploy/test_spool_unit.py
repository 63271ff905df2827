"""The unit of a spool: systemd takes it, and it is confined as the server's is."""

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from provlog.client.cli import cli
from support.deploying import DEPLOY

UNIT = "provlog-spool@.service"
PROGRAM = "/opt/provlog/bin/provlog"


def settings(unit: str) -> dict[str, list[str]]:
    """Return a unit's settings by name."""
    text = (DEPLOY / "systemd" / unit).read_text()
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.M):
        found.setdefault(name, []).append(value)
    return found


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.needs("program:systemd-analyze")
def test_systemd_takes_it_and_it_leaves_little_open(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / UNIT).read_text()
    path = tmp_path / UNIT
    path.write_text(text.replace(f"{PROGRAM} ", "/bin/true "))
    verified = analyze("verify", path)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    # In tenths; a service without any of this has 9.6.
    done = analyze("security", "--offline=true", "--threshold=15", path)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_it_is_confined_as_the_server_is() -> None:
    server, spool = settings("provlog.service"), settings(UNIT)
    # What it runs as and keeps is its own; both are made for it alone.
    for name in ("User", "Group", "LimitNOFILE", "Description", "After", "Wants"):
        server.pop(name, None)
    for name in ("ExecStart", "EnvironmentFile", "RestartSec", "StateDirectory"):
        assert server.pop(name) != spool[name]
    server["RestartPreventExitStatus"] = ["1 2"]
    assert {name: spool.get(name) for name in server} == server
    assert spool["DynamicUser"] == ["yes"]
    assert len(server) > 30


def test_its_command_exists() -> None:
    [line] = settings(UNIT)["ExecStart"]
    program, group, name, *_ = line.split()
    assert program == PROGRAM
    found = cli.commands[group]
    assert isinstance(found, click.Group)
    assert name in found.commands
