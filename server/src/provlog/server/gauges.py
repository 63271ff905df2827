"""What is read off the running service whenever Prometheus asks.

Nothing here waits, reads a file or asks the database: a scrape costs the event loop
some microseconds for each log and source.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from provlog.server.clock import Clock
from provlog.server.errors import ClockError
from provlog.server.guard import Guard
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.sequencer import Sequencer

_BY_LOG: Final = ["log"]


class Observed(Protocol):
    """What the gauges are read off."""

    metrics: Metrics
    clock: Clock
    sequencer: Sequencer
    guard: Guard

    def open_logs(self) -> Sequence[Log]:
        """Return the logs that are open."""


class Gauges(Collector):
    """The state of a service."""

    def __init__(self, service: Observed) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """Return the state now."""
        yield from self._queue()
        yield from self._clock()
        yield from self._guard()
        yield from self._logs()
        yield self._sources()

    def _queue(self) -> Iterable[Metric]:
        waiting = self._service.sequencer.waiting()
        yield _gauge(
            "queued_requests", "Requests that wait for the next commit.", waiting.units
        )
        yield _gauge(
            "queued_events", "Events that wait for the next commit.", waiting.events
        )
        yield _gauge("queued_bytes", "About how many bytes these take.", waiting.bytes)
        yield _gauge(
            "requests_in_progress",
            "Requests that are not answered yet, long-polls and this one included.",
            self._service.metrics.in_progress,
        )

    def _clock(self) -> Iterable[Metric]:
        clock = self._service.clock
        yield _gauge(
            "clock_drift_seconds",
            "How far the wall clock has jumped since it was trusted.",
            clock.drift() / 1000,
        )
        newest = max((log.freshness.recorded for log in self._logs_open()), default=0)
        yield _gauge(
            "clock_usable",
            "1 while entries of every log can be dated.",
            _can_date(clock, newest),
        )

    def _guard(self) -> Iterable[Metric]:
        guard = self._service.guard
        yield _gauge(
            "guard_flush_age_seconds",
            "Since all that the guard recorded was last flushed to disk.",
            guard.flush_age(),
        )
        yield CounterMetricFamily(
            "provlog_guard_failures",
            "Times that the guard could not be read, written or flushed.",
            value=guard.failures,
        )
        yield self._by_log(
            "guard_size",
            "Size of the newest released head in the guard, as last seen by this"
            " process.",
            lambda log: guard.size(log.origin),
        )

    def _logs(self) -> Iterable[Metric]:
        yield self._by_log(
            "log_size", "Released size of each log.", lambda log: log.released.size
        )
        yield self._by_log(
            "log_halted",
            "1 for a log that takes no entries until an operator looks at it.",
            lambda log: log.halted is not None,
        )

    def _by_log(
        self, name: str, text: str, value: Callable[[Log], int | None]
    ) -> Metric:
        family = GaugeMetricFamily(f"provlog_{name}", text, labels=_BY_LOG)
        for log in self._logs_open():
            found = value(log)
            if found is not None:
                family.add_metric([log.record.name], found)
        return family

    def _sources(self) -> Metric:
        family = GaugeMetricFamily(
            "provlog_source_event_age_seconds",
            "Since the newest event of each source was recorded.",
            labels=["log", "source"],
        )
        now = self._service.clock.now()
        for log in self._logs_open():
            for source, recorded in sorted(log.freshness.newest.items()):
                age = max(0, now - recorded) / 1000
                family.add_metric([log.record.name, source], age)
        return family

    def _logs_open(self) -> Sequence[Log]:
        return self._service.open_logs()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"provlog_{name}", text, value=value)


def _can_date(clock: Clock, newest: int) -> bool:
    try:
        clock.date(newest)
    except ClockError:
        return False
    return True
