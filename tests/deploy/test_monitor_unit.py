"""What is shipped to run a monitor: its unit, its example file, and its alerts."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from provlog.client.alerting.sending import Delivery
from provlog.client.cli import cli
from provlog.client.monitoring.followed import Followed
from provlog.client.monitoring.metrics import DaemonMetrics
from provlog.client.monitoring.symptoms import KINDS
from support.deploying import DEPLOY, read_yaml
from support.vectors import REPOSITORY

UNIT = "provlog-monitor.service"
PROGRAM = "/opt/provlog/bin/provlog"
FOLDER = DEPLOY / "prometheus"
PAGE = REPOSITORY / "docs" / "monitoring.md"


def settings(unit: str) -> dict[str, list[str]]:
    """Return a unit's settings by name."""
    text = (DEPLOY / "systemd" / unit).read_text()
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.M):
        found.setdefault(name, []).append(value)
    return found


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*map(str, command)],
        cwd=FOLDER,
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def alerts() -> dict[str, dict[str, Any]]:
    [group] = read_yaml(FOLDER / "monitor_alerts.yml")["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def metrics() -> dict[str, str]:
    """Return all metrics of a monitor and their types, as Prometheus names them."""
    shown = DaemonMetrics(lambda: [Followed("o")], dict[str, Delivery])
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in shown.registry.collect()
    }


@pytest.mark.needs("program:systemd-analyze")
def test_systemd_takes_it_and_it_leaves_little_open(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / UNIT).read_text()
    path = tmp_path / UNIT
    path.write_text(text.replace(f"{PROGRAM} ", "/bin/true "))
    verified = run("systemd-analyze", "verify", path)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    # In tenths; a service without any of this has 9.6.
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=15", path)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_it_is_confined_as_the_server_is() -> None:
    server, monitor = settings("provlog.service"), settings(UNIT)
    for name in ("LimitNOFILE", "Description", "After", "Wants"):
        server.pop(name, None)
    for name in ("User", "Group", "ExecStart", "StateDirectory", "RestartSec"):
        assert server.pop(name) != monitor[name]
    server.pop("EnvironmentFile")
    assert {name: monitor.get(name) for name in server} == server
    # Stopped while a log is in alarm it has not failed, and is not begun anew.
    assert monitor["SuccessExitStatus"] == ["1"]
    assert len(server) > 30


def test_its_command_and_its_user_exist() -> None:
    [line] = settings(UNIT)["ExecStart"]
    program, name, option, _ = line.split()
    assert program == PROGRAM
    assert option in [each for p in cli.commands[name].params for each in p.opts]
    users = (DEPLOY / "systemd" / "provlog-monitor.sysusers.conf").read_text()
    assert f"u {settings(UNIT)['User'][0]} " in users


@pytest.mark.needs("program:promtool")
def test_each_alert_is_raised_when_it_should_be_and_not_before() -> None:
    done = run("promtool", "test", "rules", "monitor_alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_in_quiet_and_in_need_and_names_what_exists() -> None:
    tests = read_yaml(FOLDER / "monitor_alerts_test.yml")["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    raised = {check["alertname"] for check in checks if check.get("exp_alerts")}
    quiet = {check["alertname"] for check in checks if not check.get("exp_alerts")}
    assert raised == quiet == alerts().keys()
    for name, rule in alerts().items():
        found = set(re.findall(r"\bprovlog_[a-z0-9_]+", rule["expr"]))
        assert found <= metrics().keys(), name
        assert found or "up{" in rule["expr"]


def test_every_alert_says_how_bad_it_is_and_leads_to_what_to_do() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE.read_text(), re.M)
    anchors = {each.lower().replace(" ", "-") for each in headings}
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/monitoring.md"
        assert anchor in anchors, name


def rows() -> list[list[str]]:
    lines = PAGE.read_text().splitlines()
    return [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| `")
    ]


def test_every_alarm_and_every_metric_is_documented_as_it_is() -> None:
    named = {row[0]: row[1] for row in rows()}
    for kind, each in KINDS.items():
        assert named.get(kind) == each.severity, kind
    documented = {name for name in named if name.startswith("provlog_monitor_")}
    assert documented == metrics().keys()


def test_every_member_of_the_file_is_documented() -> None:
    text = (DEPLOY / "monitor" / "monitor.toml").read_text()
    members = set(re.findall(r"^(?:#: )?([a-z_]+) = ", text, re.M))
    assert members <= {row[0] for row in rows()}
    assert len(members) > 20
