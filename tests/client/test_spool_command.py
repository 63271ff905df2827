"""`provlog spool`: what it prints, and its exit codes."""

import io
import json
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from provlog.client.cli.spool_telling import Teller
from provlog.client.outbox import heartbeat, sender
from provlog.client.outbox.spool import Spool
from support.lying_log import Json, LyingLog, Served
from support.outboxes import SOURCE, logged_ids, small, until
from support.servers import environment

SECRET = "plt_abc_verysecretindeed"
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.01)


@pytest.fixture
def variables(served: Served, log: LyingLog, tmp_path: Path) -> dict[str, str]:
    return {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_TOKEN": SECRET,
        "PROVLOG_STATE": str(tmp_path / "state"),
        "PROVLOG_SPOOL": str(tmp_path / "box"),
        "PROVLOG_PATIENCE": "0",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }


@pytest.fixture
def run(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, input: bytes | None = None, **more: str | None) -> Result:  # noqa: A002
        result = CliRunner().invoke(
            cli, ["spool", *arguments], input=input, env={**variables, **more}
        )
        assert SECRET not in result.output
        if result.exception is not None:
            assert isinstance(result.exception, SystemExit), result.exc_info
        return result

    return call


def write(path: str, *events: object) -> str:
    Path(path).write_text("".join(json.dumps(each) + "\n" for each in events))
    return path


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_what_was_put_is_sent_once_and_its_receipts_verify(
    run: Run, log: LyingLog
) -> None:
    write("events", small(1), small(2))
    assert lines(run("put", "events", "--json")) == [{"queued": 2, "ids": ["s1", "s2"]}]
    assert log.bodies == []
    assert "waiting   2, the oldest for" in run("status").stdout
    sent = run("run", "--once")
    assert (sent.exit_code, sent.stdout) == (0, "")
    assert "2 logged, 0 known before, 0 refused" in sent.stderr
    assert run("receipts", "kept", "--remove").exit_code == 0
    paths = sorted(map(str, Path("kept").iterdir()))
    verified = CliRunner().invoke(
        cli, ["verify", *paths], env={"PROVLOG_LOG_KEY": log.vkey}
    )
    assert verified.stdout.count("ok ") == 2
    [status] = lines(run("status", "--json", "--check"))
    assert (status["waiting"], status["receipts"], status["sent"]) == (0, 0, 2)
    assert not status["sending"]


def test_what_is_refused_is_shown_decided_upon_and_exit_code_2(run: Run) -> None:
    write("events", small(1), small(2, type="?", data={"target": {"id": "secret"}}))
    run("put", "events")
    sent = run("run", "--once", "--json")
    assert sent.exit_code == 2
    assert [each["event"] for each in lines(sent)] == ["logged", "refused"]
    assert "2  s2: /type: must be" in run("failed").stdout
    assert "secret" not in run("failed").output
    assert "secret" in run("failed", "--show").stdout
    [failed] = lines(run("failed", "--json"))
    assert (failed["item"], failed["status"], failed["pointer"]) == (2, 422, "/type")
    assert "1 wait again" in run("retry", "2").stderr
    assert run("run", "--once").exit_code == 2
    assert run("drop").exit_code == 2
    assert run("drop", "1").exit_code == 2
    assert "1 dropped" in run("drop", "--all").stderr
    assert lines(run("status", "--json"))[0]["failed"] == 0


def test_lines_are_read_from_a_file_and_a_pipe(
    run: Run, log: LyingLog, variables: dict[str, str]
) -> None:
    write("events", small(1), small(2))
    assert run("run", "--once", "--from", "events").exit_code == 0
    with Path("events").open("a") as file:
        file.write(json.dumps(small(3)) + "\nno event\n")
    again = run("run", "--once", "--from", "events")
    assert again.exit_code == 2
    assert "refused: a line: event: Expecting value" in again.stderr
    assert "no event" not in again.output
    piped = json.dumps(small(4)).encode()
    program = [sys.executable, "-m", "provlog.client", "spool", "run", "--from", "-"]
    assert logged_ids(log) == ["s1", "s2", "s3"]
    done = subprocess.run(
        program,
        input=piped,
        env=environment() | variables,
        timeout=60,
        check=True,
    )
    assert done.returncode == 0
    assert logged_ids(log) == ["s1", "s2", "s3", "s4"]


def test_records_of_a_provider(run: Run, log: LyingLog) -> None:
    Path("records").write_bytes(b'{"uuid":"u1"}\n{bad\n{"uuid":"u2"}\n')
    options = ("--format", "okta", "--source", "urn:a")
    assert run("put", "records", *options).exit_code == 0
    assert run("run", "--once").exit_code == 0
    assert len(log.leaves) - 1 == 3
    assert run("run", "--once", "--from", "records", *options).exit_code == 0
    assert len(log.leaves) - 1 == 3
    assert run("put", "records", "--format", "okta").exit_code == 2


def test_without_the_log_it_is_exit_code_3_and_everything_waits(
    run: Run, log: LyingLog
) -> None:
    write("events", small(1))
    run("put", "events")
    log.faults.append(lambda _: web.Response(status=502))
    failed = run("run", "--once")
    assert failed.exit_code == 3
    assert "unavailable" in failed.stderr
    [status] = lines(run("status", "--json"))
    assert status["waiting"] == 1
    assert "502" in status["trouble"]
    assert "trouble   the server failed" in run("status").stdout
    log.faults.append(lambda _: web.Response(status=401))
    assert run("run", "--once").exit_code == 2
    assert run("run", "--once").exit_code == 0
    assert lines(run("status", "--json"))[0]["trouble"] is None


def test_a_lie_is_exit_code_1_and_everything_stays_with_the_evidence(
    run: Run, log: LyingLog, tmp_path: Path
) -> None:
    def rewrite(_: str, body: Json) -> None:
        results: Any = body["results"]
        results[0]["index"] = 0

    log.rewrite = rewrite
    write("events", small(1))
    run("put", "events")
    result = run("run", "--once")
    assert result.exit_code == 1
    assert "VERIFICATION FAILED" in result.stderr
    assert "all receipts verified" not in result.stderr
    [evidence] = tmp_path.glob("box.*.evidence.json")
    assert str(evidence) in result.stderr.replace("\n", "")
    [status] = lines(run("status", "--json"))
    assert (status["waiting"], status["receipts"]) == (1, 0)


def test_a_damaged_spool_is_exit_code_2_and_left_alone(run: Run) -> None:
    Path("box").write_bytes(b"damaged" * 1000)
    Path("box").chmod(0o600)
    for arguments in (("put", write("e", small(1))), ("status",), ("run", "--once")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "damaged, and left as it is" in result.stderr
    assert Path("box").read_bytes() == b"damaged" * 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("failed",),
        ("run", "--once", "--listen", "127.0.0.1:0"),
        ("run", "--heartbeat", "5m"),
        ("run", "--heartbeat", "5 minutes", "--source", "urn:a"),
        ("run", "--once", "--format", "okta", "--source", "urn:a"),
        ("run", "--listen", "0.0.0.0:0"),
        ("run", "--listen", "0.0.0.0:0", "--insecure"),
    ],
    ids=" ".join,
)
def test_mistakes_in_the_call_are_exit_code_2(
    run: Run, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments).exit_code == 2


def test_without_a_key_or_a_server_nothing_is_taken(run: Run) -> None:
    assert run("run", "--once", PROVLOG_LOG_KEY=None).exit_code == 2
    assert run("run", "--once", PROVLOG_URL=None).exit_code == 2
    assert not Path("box").exists()


@pytest.mark.parametrize("command", ["run", "put", "status", "failed", "retry", "drop"])
def test_help_teaches(command: str, run: Run) -> None:
    result = run(command, "--help")
    assert f"provlog spool {command}" in result.stdout


def test_progress_is_shown_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    spool = Spool(tmp_path / "box")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Teller(as_json=False).progress(spool):
        pass
    assert "sending" in terminal.getvalue()
    spool.close()


def test_intervals_are_a_number_and_a_unit() -> None:
    assert heartbeat.parse_interval("90s") == 90
    assert heartbeat.parse_interval("5m") == 300
    assert heartbeat.parse_interval("7d") == 604800
    for text in ("", "5", "0m", "8d", "5M", "-5m", "5m ", "1e3s"):
        with pytest.raises(Exception, match="1s to 7d"):
            heartbeat.parse_interval(text)


class Daemon:
    """`provlog spool run` as a process."""

    def __init__(self, variables: dict[str, str], *options: str) -> None:
        self.output: list[dict[str, Any]] = []
        command = [sys.executable, "-m", "provlog.client", "spool", "run", "--json"]
        self.process = subprocess.Popen(
            [*command, *options],
            env=environment() | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            assert self.process.stderr is not None
            pytest.fail(self.process.stderr.read())
        found: dict[str, Any] = json.loads(text)
        return found

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    running: list[Daemon] = []
    yield running
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_takes_sends_beats_and_ends_in_order(
    variables: dict[str, str],
    log: LyingLog,
    tmp_path: Path,
    daemons: list[Daemon],
    number: signal.Signals,
) -> None:
    options = ("--listen", "127.0.0.1:0", "--heartbeat", "1s", "--source", SOURCE)
    kept = tmp_path / "kept"
    daemon = Daemon(variables, *options, "--receipts", str(kept))
    daemons.append(daemon)
    listening = daemon.next()
    assert listening["event"] == "listening"
    beats = [daemon.next(), daemon.next()]
    assert [each["type"] for each in beats] == ["source.heartbeat"] * 2
    until(lambda: len(list(kept.glob("*.receipt.json"))) >= 2)
    assert daemon.end(number)[0] == 0
    assert {stat.S_IMODE(each.stat().st_mode) for each in kept.iterdir()} == {0o600}
    spool = Spool(Path(variables["PROVLOG_SPOOL"]))
    assert spool.lease.is_free()
    spool.close()
    assert len(log.leaves) >= 3


def test_a_log_that_lies_ends_it_with_1(
    variables: dict[str, str], log: LyingLog, daemons: list[Daemon]
) -> None:
    log.rewrite = lambda _, body: body.update({"results": []})
    daemon = Daemon(variables, "--heartbeat", "1s", "--source", SOURCE)
    daemons.append(daemon)
    _, errors = daemon.process.communicate(timeout=60)
    assert daemon.process.returncode == 1
    assert "VERIFICATION FAILED: answer: not one result for each event" in errors


def test_every_option_is_on_the_page() -> None:
    group = cli.commands["spool"]
    assert isinstance(group, click.Group)
    options = {
        option
        for command in group.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    page = Path(__file__).parents[2] / "docs" / "connect" / "spool.md"
    text = page.read_text()
    for option in options:
        assert f"`{option}" in text, option
