"""Alerts and dashboard: each rule does what its test says, and names what exists."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric

from provlog.server.http.problems import PROBLEMS
from provlog.server.scim_proxy.figures import Figures
from support.deploying import DEPLOY, read_yaml
from support.services import make_instance, running
from support.vectors import REPOSITORY

FOLDER = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "provlog.json"

_NAME = re.compile(r"\bprovlog_[a-z0-9_]+")
_FOREIGN = {"up", "node_filesystem_avail_bytes", "probe_ssl_earliest_cert_expiry"}
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}


def alerts() -> dict[str, dict[str, Any]]:
    """Return the rules by the names of their alerts."""
    groups = read_yaml(FOLDER / "alerts.yml")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    named = {rule["alert"]: rule for rule in rules}
    assert len(named) == len(rules) > 20
    return named


def queries() -> Iterator[tuple[str, str]]:
    """Yield where a query of the dashboard stands, and the query."""
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def shown(folder: Path) -> list[Metric]:
    async with running(await make_instance(folder)) as (service, _):
        Figures(service.metrics.registry)
        return list(service.metrics.registry.collect())


@pytest.mark.needs("program:promtool")
def test_prometheus_takes_rules_and_configuration() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "scrape.yml")


@pytest.mark.needs("program:promtool")
def test_each_alert_is_raised_when_it_should_be_and_not_before() -> None:
    promtool("test", "rules", "alerts_test.yml")


@pytest.mark.needs("program:promtool")
def test_prometheus_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"query:{number}",
            "expr": query.replace("$__rate_interval", "5m").replace("$log", ".*"),
        }
        for number, (_, query) in enumerate(queries())
        if not query.startswith("label_values(")
    ]
    assert len(rules) > 30
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)


def test_every_alert_is_tested_in_quiet_and_in_need() -> None:
    tests = read_yaml(FOLDER / "alerts_test.yml")["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    raised = {check["alertname"] for check in checks if check.get("exp_alerts")}
    quiet = {check["alertname"] for check in checks if not check.get("exp_alerts")}
    assert raised == quiet == set(alerts())


async def test_alerts_and_dashboard_name_metrics_that_exist(tmp_path: Path) -> None:
    names = {
        family.name + suffix
        for family in await shown(tmp_path)
        for suffix in _SUFFIXES[family.type]
    }
    asked = [(name, rule["expr"]) for name, rule in alerts().items()]
    for where, query in [*asked, *queries()]:
        found = set(_NAME.findall(query))
        assert found <= names, where
        foreign = {name for name in _FOREIGN if re.search(rf"\b{name}\{{", query)}
        assert found or foreign, where


def test_alerts_ask_for_problems_that_there_are() -> None:
    for name, rule in alerts().items():
        for asked in re.findall(r'problem=~?"([^"]+)"', rule["expr"]):
            assert set(asked.split("|")) <= PROBLEMS.keys(), name


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    headings = re.findall(r"^#+ (Alert: .+)$", page, re.M)
    anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()) for each in headings}
    targets = {f"docs/operations.md#{each.replace(' ', '-')}" for each in anchors}
    used = set()
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert rule["annotations"].keys() == {"summary", "runbook"}, name
        used.add(rule["annotations"]["runbook"])
    assert used == targets


def test_the_jobs_that_alerts_name_are_scraped() -> None:
    jobs = read_yaml(FOLDER / "scrape.yml")["scrape_configs"]
    names = {job["job_name"] for job in jobs}
    for name, rule in alerts().items():
        for job in re.findall(r'job="([^"]+)"', rule["expr"]):
            assert job in names, name
        for pattern in re.findall(r'job=~"([^"]+)"', rule["expr"]):
            matched = {job for job in names if re.fullmatch(pattern, job)}
            assert matched == {"provlog"}, name
