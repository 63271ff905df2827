"""Logs followed by a monitor in this process, by a clock that a test moves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from provlog.client.alerting.alerts import Alert
from provlog.client.monitoring.config import LogConfig, MonitorConfig
from provlog.client.monitoring.daemon import Daemon, opened
from provlog.client.monitoring.following import Follower
from provlog.client.watching import Report
from support.lying_log import LyingLog, Served, event

START = 1_800_000_000.0


@dataclass
class HandClock:
    """A clock that stands still until a test moves it; `steady` goes along."""

    time: float = START
    set_by: float = 0.0

    def now(self) -> float:
        """Return the time in POSIX seconds."""
        return self.time + self.set_by

    def steady(self) -> float:
        """Return seconds that nobody sets."""
        return self.time

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        self.time += seconds


def log_config(served: Served, log: LyingLog, **changes: Any) -> LogConfig:  # noqa: ANN401
    """Return how a log on loopback is followed."""
    config = LogConfig(served.url, "main", log.trust, pause=0.05, wait=0.0)
    return replace(config, **changes)


@dataclass
class Monitored:
    """A monitor, its clock, and all it said."""

    daemon: Daemon
    clock: HandClock
    alerts: list[Alert] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def first(self) -> Follower:
        """The first log's follower."""
        return self.daemon.followers[0]

    def said(self) -> list[tuple[str, str]]:
        """Return kind and phase of each alert, and forget them."""
        said: list[tuple[str, str]] = [(e.kind, e.phase) for e in self.alerts]
        self.alerts.clear()
        return said


@asynccontextmanager
async def monitored(
    folder: Path,
    logs: Sequence[LogConfig],
    clock: HandClock | None = None,
    **changes: Any,  # noqa: ANN401
) -> AsyncIterator[Monitored]:
    """Yield a monitor of these logs, with its state in a folder."""
    config = replace(MonitorConfig(tuple(logs), folder / "state"), **changes)
    clock = clock or HandClock()
    alerts: list[Alert] = []
    reports: list[Report] = []
    troubles: list[str] = []
    async with opened(
        config,
        clock=clock,
        on_report=reports.append,
        on_alert=alerts.append,
        on_trouble=troubles.append,
    ) as daemon:
        yield Monitored(daemon, clock, alerts, reports, troubles)


def grown(log: LyingLog, count: int) -> None:
    """Add events to a log."""
    start = len(log.leaves)
    for number in range(start, start + count):
        log.append(event(id=f"e{number}"))
