"""What Prometheus is told of each source: numbers, lateness, clocks, silence.

As all gauges, these wait for nothing. A log whose leaves have not all been folded yet
has none of them: it would seem to have fewer events than it had before a restart.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from provlog.merkle.source_report import SourceReport
from provlog.server.clock import Clock
from provlog.server.health.following import Health
from provlog.server.health.judging import ahead_of, silence_of
from provlog.server.log import Log
from provlog.server.source_settings import SettingsBook

_BY_SOURCE: Final = ["log", "source"]
_Row: TypeAlias = tuple[Log, str, SourceReport | None, bool | None]
_Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily


class Watched(Protocol):
    """What these are read off."""

    clock: Clock
    health: Health
    settings: SettingsBook

    def open_logs(self) -> Sequence[Log]:
        """Return the logs that are open."""


def source_gauges(service: Watched) -> Iterable[Metric]:
    """Return the metrics of all sources of all logs that are known to their end."""
    rows = list(_rows(service))
    for family, value in _figures():
        for log, uri, report, _ in rows:
            if report is not None:
                family.add_metric([log.record.name, uri], value(report))
        yield family
    overdue = GaugeMetricFamily(
        "provlog_source_overdue",
        "1 for a source that has been silent for longer than it should be.",
        labels=_BY_SOURCE,
    )
    for log, uri, _, late in rows:
        if late is not None:
            overdue.add_metric([log.record.name, uri], late)
    yield overdue


def _figures() -> list[tuple[_Family, Callable[[SourceReport], float]]]:
    return [
        (
            CounterMetricFamily(
                "provlog_source_events",
                "Events of each source that stand in the log.",
                labels=_BY_SOURCE,
            ),
            lambda report: report.count,
        ),
        (
            GaugeMetricFamily(
                "provlog_source_missing_numbers",
                "Numbers of each source's own that never arrived.",
                labels=_BY_SOURCE,
            ),
            lambda report: report.numbers.missing,
        ),
        (
            CounterMetricFamily(
                "provlog_source_late_events",
                "Events of each source that were recorded long after they happened.",
                labels=_BY_SOURCE,
            ),
            lambda report: report.late,
        ),
        (
            GaugeMetricFamily(
                "provlog_source_clock_ahead_seconds",
                "How far the clock of each source was ahead at its newest event.",
                labels=_BY_SOURCE,
            ),
            lambda report: ahead_of(report) / 1000,
        ),
    ]


def _rows(service: Watched) -> Iterator[_Row]:
    """Yield each source that has events or should have some, and whether it is late."""
    now = service.clock.now()
    for log in service.open_logs():
        fold = service.health.complete(log)
        if fold is None:
            continue
        declared = service.settings.of_log(log.record.name)
        for uri in sorted({*fold.reports, *declared}):
            silence = silence_of(log, uri, fold, declared.get(uri), now)
            yield log, uri, fold.reports.get(uri), silence.overdue
