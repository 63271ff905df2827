"""What all tests share: what they may need of the machine, and the closing report.

``@pytest.mark.needs("vectors", "program:openssl")`` skips a test, with a named reason,
where the machine lacks something. What tests serve is searched for leaks
(`support.leak_plugin`). The terminal summary ends with the number of published vectors
that were run, with every reason for which a test was skipped, and with how much was
searched.
"""

import os
import resource
import shutil
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from support import engine_fixtures, leak_plugin, object_stores, postgres_fixtures
from support.interop import lacking_programs
from support.vectors import located, take_recorded

# Two runs on a busy machine must give one verdict, so no example has a deadline, and
# none is drawn too slowly.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", patient)
settings.register_profile("thorough", patient, max_examples=2000)
settings.load_profile("default")

_LOCATORS = ("PROVLOG_VECTORS", "PROVLOG_SAMPLES", "PROVLOG_TEST_")
_FOLDERS = {"vectors": "PROVLOG_VECTORS", "samples": "PROVLOG_SAMPLES"}
_PROPERTY = "vectors"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "needs(*what): skip unless the machine has all of it "
        "(vectors, samples, postgres, object-store, interop, program:NAME, env:NAME, "
        "files:NUMBER)",
    )
    config.pluginmanager.register(leak_plugin)
    config.pluginmanager.register(postgres_fixtures)
    config.pluginmanager.register(object_stores)
    config.pluginmanager.register(engine_fixtures)
    for name in list(os.environ):
        if name.startswith("PROVLOG_") and not name.startswith(_LOCATORS):
            del os.environ[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for what in mark.args:
            reason = _lacking(what)
            if reason is not None:
                pytest.skip(reason)


def _lacking(what: str) -> str | None:
    kind, _, name = what.partition(":")
    if what in _FOLDERS:
        return None if located(_FOLDERS[what], what) else f"{what}: folder absent"
    if what == "postgres":
        return postgres_fixtures.lacking_postgres()
    if what == "object-store":
        return object_stores.lacking_store()
    if what == "interop":
        return lacking_programs()
    if kind == "program":
        return None if shutil.which(name) else f"program: {name} is not installed"
    if kind == "files":
        least = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return None if least >= int(name) else f"files: fewer than {name} may be open"
    if kind == "env":
        return None if os.environ.get(name) else f"env: {name} is not set"
    raise pytest.UsageError(f"unknown need {what!r}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    take_recorded()
    yield
    # Properties of a report reach the terminal from the workers of pytest-xdist too.
    item.user_properties += [(_PROPERTY, list(pair)) for pair in take_recorded()]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    yield
    _write_vectors(terminalreporter)
    _write_skipped(terminalreporter)


def _write_vectors(terminal: pytest.TerminalReporter) -> None:
    counts: Counter[str] = Counter()
    for report in terminal.getreports("passed"):
        for name, value in report.user_properties:
            if name == _PROPERTY:
                counts[value[0]] += value[1]
    terminal.section("published vectors")
    for folder, count in sorted(counts.items()):
        terminal.line(f"{count:6} {folder}")
    terminal.line(f"{counts.total():6} vectors run")


def _write_skipped(terminal: pytest.TerminalReporter) -> None:
    reasons = Counter(_reason(report) for report in terminal.getreports("skipped"))
    terminal.section("skipped")
    for reason, count in sorted(reasons.items()):
        terminal.line(f"{count:6} {reason}")
    if not reasons:
        terminal.line("nothing was skipped")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
