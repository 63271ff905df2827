"""What a monitor is told to do: mistakes are named, with file and place."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from provlog.client.errors import UsageError
from provlog.client.monitoring.config import read_config
from provlog.client.secret_files import read_secret
from support.alert_sinks import mail_server, webhook
from support.lying_log import LyingLog, Served
from support.monitored import grown
from support.vectors import REPOSITORY

KEY = LyingLog().vkey
LOG = f'[[log]]\nurl = "https://log.example"\nlog_key = "{KEY}"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "monitor.toml"
        path.write_text(text)
        for name in ("token", "secret", "password"):
            (tmp_path / name).write_text(f"{name}-of-sixteen-characters\n")
            (tmp_path / name).chmod(0o600)
        (tmp_path / "open").write_text("token-of-sixteen-characters\n")
        (tmp_path / "open").chmod(0o644)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "log: no log to follow"),
        ("state = 5\n" + LOG, "state: not a text"),
        ("stat = 'x'\n" + LOG, "stat: none of log, "),
        ("log = 'main'\n", "log: not tables"),
        (LOG + "intervall = '5s'\n", "log 1 intervall: none of"),
        (LOG + "interval = 5\n", "log 1 interval: not a text"),
        (LOG + "interval = '5 s'\n", "log 1 interval: write a span"),
        (LOG + "full = 1\n", "log 1 full: not true or false"),
        (LOG + "policy = 'p'\n", "log 1 log_key: give the log's key, or a policy"),
        ("[[log]]\nlog_key = 'x'\n", "log 1 url: missing"),
        ("[[log]]\nurl = 'x'\nlog_key = 'x'\n", "log 1 log_key: vkey"),
        ("[[log]]\nurl = 'x'\npolicy = 'p'\n", "log 1 policy: "),
        (LOG + LOG, "log.example/main twice"),
        (LOG + "token_file = 'none'\n", "none: No such file"),
        (LOG + "token_file = 'open'\n", "others may read it; chmod 600 it"),
        (LOG + "[alerts]\nrepeat = 'daily'\n", "alerts repeat: write a span"),
        (LOG + "[alerts]\nmail = 5\n", "alerts mail: not a table"),
        (LOG + "[alerts.webhook]\n", "alerts.webhook url: missing"),
        (
            LOG + "[alerts.webhook]\nurl='https://x'\nseverity='bad'\n",
            "alerts.webhook severity: not one of info, warning, critical",
        ),
        (
            LOG + "[alerts.mail]\nhost='h'\nfrom='a@b'\nto='c'\n",
            "alerts.mail mail: an address",
        ),
        ("parallel = 0\n" + LOG, "parallel: not a number from 1 to 64"),
        ("[[log]", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    text: str, said: str, write: Callable[[str], Path]
) -> None:
    path = write(text)
    with pytest.raises(UsageError) as info:
        read_config(path)
    assert said in str(info.value)
    assert str(path.parent) in str(info.value)
    assert "-of-sixteen" not in str(info.value)


def test_everything_that_can_be_said_is_understood(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    config = read_config(
        write(
            f"""
state = "kept"
listen = "127.0.0.1:9470"
parallel = 2
passes = 3
[[log]]
url = "https://log.example"
log = "hr"
log_key = "{KEY}"
token_file = "token"
interval = "1m"
mirror = "web"
max_age = "2h"
tolerance = "90s"
unreachable_after = "10m"
[alerts]
repeat = "12h"
[alerts.webhook]
url = "https://hooks.example/x"
secret_file = "secret"
severity = "critical"
[alerts.mail]
host = "mail.example"
from = "monitor@example.com"
to = ["a@example.com", "b@example.com"]
user = "monitor"
password_file = "password"
"""
        )
    )
    [log] = config.logs
    assert (log.origin, log.log, log.pause, log.full) == (
        KEY.split("+")[0],
        "hr",
        60,
        True,
    )
    assert (log.freshness.max_age, log.freshness.tolerance) == (7200, 90)
    assert (config.state, log.mirror) == (tmp_path / "kept", tmp_path / "web")
    assert log.token == "token-of-sixteen-characters"
    assert config.webhook is not None
    assert config.webhook.least == "critical"
    assert config.mail is not None
    assert (config.mail.settings.port, config.repeat) == (587, 43_200)
    # Nothing that is shown of it holds a secret.
    assert "-of-sixteen" not in repr(config)


def test_the_example_that_is_shipped_names_all_there_is() -> None:
    path = REPOSITORY / "deploy" / "monitor" / "monitor.toml"
    text = path.read_text()
    tomllib.loads(text)
    # What is commented out is shown too; with it the file is still TOML.
    whole = tomllib.loads(text.replace("\n#: ", "\n"))
    assert {"state", "listen", "parallel", "passes", "log", "alerts"} <= whole.keys()
    assert whole["log"][0].keys() | whole["log"][1].keys() >= {
        *("url", "log", "log_key", "policy", "token_file", "interval", "full"),
        *("mirror", "rules", "max_age", "tolerance", "unreachable_after"),
    }
    assert whole["alerts"].keys() == {"repeat", "webhook", "mail"}


def test_a_secret_is_one_line_and_no_message_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for text in (
        "",
        "short",
        "two\nlines-of-a-secret",
        "x" * 600,
        "tab\tin-a-secret-x",
    ):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(UsageError) as info:
            read_secret(path, 16)
        assert "secret-x" not in str(info.value)
    path.write_text("sixteen-chars-ok and spaces\r\n")
    assert read_secret(path, 16) == "sixteen-chars-ok and spaces"


Run = Callable[..., Result]


@pytest.fixture
def run(served: Served, log: LyingLog, tmp_path: Path) -> Run:
    def run(*arguments: str, logs: str = "", alerts: str = "") -> Result:
        path = tmp_path / "monitor.toml"
        path.write_text(
            f'state = "state"\n[[log]]\nurl = "{served.url}"\n'
            f'log_key = "{log.vkey}"\nfull = true\n{logs}{alerts}'
        )
        env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        return CliRunner().invoke(
            cli, ["monitor", "--config", str(path), *arguments], env=env
        )

    return run


def test_once_over_all_logs_exits_as_the_worst_of_them(
    run: Run, log: LyingLog, served: Served
) -> None:
    grown(log, 4)
    first = run("--once")
    assert (first.exit_code, first.stderr) == (0, "")
    assert "log.example/main: a log of 5 entries" in first.stdout
    other = LyingLog(origin="other.example/main")
    away = f'[[log]]\nurl = "http://127.0.0.1:9"\nlog_key = "{other.vkey}"\n'
    lines = run("--once", "--json", logs=away).stdout.splitlines()
    assert {json.loads(line)["event"] for line in lines} == {"unchanged", "unreachable"}
    assert run("--once", logs=away).exit_code == 3
    log.tampered["tile/entries/000.p/6"] = b"\x00\x01x"
    grown(log, 1)
    wrong = run("--once", "--json", logs=away)
    assert wrong.exit_code == 1
    [alert] = [
        each
        for line in wrong.stdout.splitlines()
        if (each := json.loads(line))["event"] == "alert"
    ]
    assert (alert["kind"], alert["phase"]) == ("wrong-content", "begins")
    assert Path(alert["details"]["evidence"]).is_file()
    # It was told; but an exit code without a word helps nobody.
    again = run("--once", "--json")
    assert again.exit_code == 1
    assert "log.example/main: wrong-content: " in again.stderr


def test_of_many_logs_the_one_with_the_mistake_is_named(run: Run) -> None:
    other = LyingLog(origin="other.example/main")
    refused = run("--once", logs=f'[[log]]\nurl = "x"\nlog_key = "{other.vkey}"\n')
    assert refused.exit_code == 2
    assert "other.example/main: the URL of the server starts with" in refused.stderr


async def test_a_test_alert_reaches_everybody(run: Run) -> None:
    import asyncio

    async with webhook() as hook, mail_server() as post:
        alerts = (
            f'[alerts.webhook]\nurl = "{hook.url}"\nseverity = "critical"\n'
            f'[alerts.mail]\nhost = "127.0.0.1"\nport = {post.port}\n'
            'encryption = "none"\nfrom = "m@example.com"\nto = "a@example.com"\n'
        )
        sent = await asyncio.to_thread(run, "--test-alert", alerts=alerts)
        assert (sent.exit_code, sent.output.splitlines()) == (
            0,
            ["webhook: delivered", "mail: delivered"],
        )
        hook.statuses = [500]
        sent = await asyncio.to_thread(run, "--test-alert", alerts=alerts)
        assert sent.exit_code == 3
        assert "webhook: answered with HTTP status 500" in sent.output
    assert json.loads(hook.bodies[0])["phase"] == "test"
    assert post.messages[0]["Subject"].startswith("[provlog] test")


def test_without_anybody_to_tell_a_test_alert_is_a_mistake(
    run: Run, tmp_path: Path
) -> None:
    nobody = run("--test-alert")
    assert nobody.exit_code == 2
    assert "[alerts.webhook]" in nobody.stderr
    alone = CliRunner().invoke(
        cli, ["monitor", "--test-alert"], env={"XDG_CONFIG_HOME": str(tmp_path)}
    )
    assert alone.exit_code == 2
    assert "--config" in alone.stderr


def test_options_that_would_be_passed_over_are_refused(
    run: Run, served: Served, log: LyingLog, tmp_path: Path
) -> None:
    mistaken = run("--once", "--url", served.url, "--state", str(tmp_path))
    assert (mistaken.exit_code, "--url, --state:" in mistaken.stderr) == (2, True)
    for option in (["--full"], ["--listen", "127.0.0.1:0"], ["--metrics", "x:1"]):
        refused = run("--once", *option)
        assert (refused.exit_code, "stands in" in refused.stderr) == (2, True)
    env = {"PROVLOG_URL": served.url, "PROVLOG_LOG_KEY": log.vkey}
    arguments = ["monitor", "--once", "--full", "--metrics", "127.0.0.1:0"]
    refused = CliRunner().invoke(cli, arguments, env=env)
    assert (refused.exit_code, "--listen" in refused.stderr) == (2, True)


def test_a_file_of_many_logs_is_for_the_monitor_alone(run: Run, tmp_path: Path) -> None:
    run("--once")
    path = str(tmp_path / "monitor.toml")
    result = CliRunner().invoke(cli, ["audit", "--config", path])
    assert result.exit_code == 2
    assert "[[log]] is for `provlog monitor`" in result.stderr


def test_one_log_is_read_in_full_and_copied_by_options_alone(
    served: Served, log: LyingLog, tmp_path: Path
) -> None:
    grown(log, 4)
    env = {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_STATE": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    arguments = ["monitor", "--once", "--mirror", str(tmp_path / "web")]
    assert CliRunner().invoke(cli, arguments, env=env).exit_code == 0
    assert (tmp_path / "web/logs/main/checkpoint").read_bytes() == log.note()
    # A lie ends it, as it ends a monitor without these options.
    del log.leaves[3:]
    result = CliRunner().invoke(cli, ["monitor", "--full"], env=env)
    assert result.exit_code == 1
    assert "ALERT begins: critical: rolled-back" in result.stdout
