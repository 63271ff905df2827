"""The units: systemd takes them, and the server lives with what they take away."""

import ctypes
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from provlog.client import Client, VolatileMemory
from provlog.server.cli import commands
from provlog.server.errors import ConfigurationError
from provlog.server.polling.tokens import read_token
from support.deploying import DEPLOY
from support.servers import Server

WITNESS = "provlog-witness.service"
UNITS = ("provlog.service", "provlog-poll@.service", "provlog-scim-proxy.service")
ALL = (*UNITS, WITNESS)
PROGRAM = "/opt/provlog/bin/provlog-server"

SEEN = {"accept4", "execve", "exit_group", "fdatasync"}

# What MemoryDenyWriteExecute= does, done by a process to itself (Linux 6.3).
_SET_MDWE, _GET_MDWE, _REFUSE_EXEC_GAIN = 65, 66, 1
_CONFINED = f"""
import ctypes, os, sys
if ctypes.CDLL(None).prctl({_SET_MDWE}, {_REFUSE_EXEC_GAIN}, 0, 0, 0) != 0:
    sys.exit("no such confinement")
os.execv(sys.argv[1], sys.argv[1:])
"""


def settings(unit: str) -> list[tuple[str, str]]:
    """Return a unit's settings in their order."""
    text = (DEPLOY / "systemd" / unit).read_text()
    lines = [line for line in text.splitlines() if re.match(r"[A-Z]\w+=", line)]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def installed(folder: Path, unit: str) -> Path:
    """Return a unit as it is installed, on a machine whose program is elsewhere."""
    text = (DEPLOY / "systemd" / unit).read_text()
    assert PROGRAM in text
    path = folder / unit
    path.write_text(text.replace(PROGRAM, "/bin/true"))
    return path


def allowed_calls() -> set[str]:
    """Return the system calls that the service's filter lets through."""
    names: set[str] = set()
    for name, value in settings("provlog.service"):
        if name == "SystemCallFilter":
            listed = _expanded(value.removeprefix("~").split())
            names = names - listed if value.startswith("~") else names | listed
    return names


def _expanded(names: list[str]) -> set[str]:
    """Return system calls, with those that named sets hold in the place of these."""
    calls: set[str] = set()
    for name in names:
        if name.startswith("@"):
            lines = analyze("syscall-filter", name).stdout.splitlines()[1:]
            members = [line.strip() for line in lines if "#" not in line]
            calls |= _expanded([member for member in members if member])
        else:
            calls.add(name)
    return calls


@pytest.mark.needs("program:systemd-analyze")
@pytest.mark.parametrize("unit", ALL)
def test_systemd_takes_a_unit_without_a_word(unit: str, tmp_path: Path) -> None:
    done = analyze("verify", installed(tmp_path, unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.needs("program:systemd-analyze")
@pytest.mark.parametrize("unit", ALL)
def test_a_unit_leaves_little_open(unit: str, tmp_path: Path) -> None:
    # In tenths; a service without any of this has 9.6.
    path = installed(tmp_path, unit)
    done = analyze("security", "--offline=true", "--threshold=15", path)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_all_units_are_confined_alike() -> None:
    own = {"After", "Description", "EnvironmentFile", "ExecStart", "LoadCredential"}
    own |= {"Environment", "SetCredential"}
    own |= {"LimitNOFILE", "RestartSec", "WantedBy", "TimeoutStopSec"}
    # A witness shares nothing with a log.
    state = ("StateDirectory", "provlog provlog-guard")
    first, *others = (
        [
            state if pair == ("StateDirectory", "provlog-witness") else pair
            for pair in settings(unit)
            if pair[0] not in own
        ]
        for unit in ALL
    )
    assert all(each == first for each in others)
    assert len(first) > 30


@pytest.mark.parametrize(
    ("unit", "command"),
    [*zip(UNITS, ("serve", "poll", "scim-proxy"), strict=True)],
)
def test_a_unit_s_command_exists_with_its_options(unit: str, command: str) -> None:
    [line] = [value for name, value in settings(unit) if name == "ExecStart"]
    program, name, *arguments = line.split()
    assert (program, name) == (PROGRAM, command)
    known = {option for each in commands.commands[name].params for option in each.opts}
    given = {each for each in arguments if each.startswith("--")}
    assert given <= known
    # A guard that is named here would go before the shared one that `init` recorded.
    assert not given & {"--guard", "--database", "--failover"}


def test_a_witness_s_command_exists_with_its_options() -> None:
    [line] = [value for name, value in settings(WITNESS) if name == "ExecStart"]
    program, group, name, *arguments = line.split()
    assert program == PROGRAM
    found = commands.commands[group]
    assert isinstance(found, click.Group)
    known = {option for each in found.commands[name].params for option in each.opts}
    assert {each for each in arguments if each.startswith("--")} <= known


def test_a_poller_s_unit_is_for_settings_in_a_file_too(tmp_path: Path) -> None:
    unit = settings("provlog-poll@.service")
    [line] = [value for name, value in unit if name == "ExecStart"]
    assert line.split()[-2:] == ["$PROVLOG_POLL_TOKEN", "$PROVLOG_POLL_OPTIONS"]
    names = [name for name, _ in unit]
    assert ("Environment", '"PROVLOG_POLL_TOKEN=--token-file %d/token"') in unit
    # Without it a missing token ends the unit before the command can say so.
    [default] = [value for name, value in unit if name == "SetCredential"]
    assert names.index("Environment") < names.index("EnvironmentFile")
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(default.removeprefix("token:"))
    with pytest.raises(ConfigurationError, match="holds no token"):
        read_token(token)


def test_a_server_that_an_operator_has_to_look_at_stays_down() -> None:
    for unit in ALL:
        assert ("RestartPreventExitStatus", "2") in settings(unit)


@pytest.mark.needs("program:systemd-analyze", "program:strace")
def test_the_server_works_with_what_the_unit_leaves_it(tmp_path: Path) -> None:
    server, trace = Server.init(tmp_path), tmp_path / "trace"
    # Of all that is allowed only a few are traced, to see that some are: each stops
    # the process.
    allowed = allowed_calls()
    untraced = ",".join(f"?{name}" for name in sorted(allowed - SEEN))
    strace = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", str(trace)]
    strace += ["-e", f"trace=!{untraced}"]
    if subprocess.run([*strace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("program: strace may not trace here")
    server.wrapper = strace
    if ctypes.CDLL(None).prctl(_GET_MDWE, 0, 0, 0, 0) == 0:
        server.wrapper += [sys.executable, "-c", _CONFINED]
    with server:
        trust, memory = server.trust, VolatileMemory()
        token = server.tokens["submitter"]
        with Client(server.url, trust, token=token, memory=memory) as log:
            log.submit({"id": "1", "source": "urn:x", "type": "a.b"})
        assert server.metrics()['provlog_log_size{log="main"}'] > 1
        process = server.process
        assert process is not None
        assert server.stop()[0] == 0
    calls = read_trace(trace, process.pid)
    assert calls >= SEEN
    # SQLite gives files that root makes to the database's owner; this is no root.
    assert calls - {"fchown"} <= allowed


def read_trace(trace: Path, process: int) -> set[str]:
    """Return the names of the calls in a trace, once the process's end is in it."""
    deadline = time.monotonic() + 20
    end = re.compile(rf"^{process} +exit_group\(", re.M)
    while not end.search(text := trace.read_text(errors="replace")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return set(re.findall(r"^\d+ +(\w+)\(", text, re.M))
