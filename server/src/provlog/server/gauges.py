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
from provlog.server.health.following import Health
from provlog.server.health.gauges import source_gauges
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.sequencer import Sequencer
from provlog.server.source_settings import SettingsBook
from provlog.server.storage.base import Vitals
from provlog.server.surroundings import Surroundings

_BY_LOG: Final = ["log"]
_BY_SOURCE: Final = ["log", "source"]


class Observed(Protocol):
    """What the gauges are read off."""

    metrics: Metrics
    clock: Clock
    sequencer: Sequencer
    guard: Guard
    worker: int
    surroundings: Surroundings | None
    health: Health
    settings: SettingsBook

    def open_logs(self) -> Sequence[Log]:
        """Return the logs that are open."""


class Gauges(Collector):
    """The state of a service."""

    def __init__(self, service: Observed) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """Return the state now."""
        yield _gauge(
            "worker",
            "Which of several processes on one address this is, from 0.",
            self._service.worker,
        )
        yield from self._queue()
        yield from self._clock()
        yield from self._guard()
        yield from self._logs()
        yield self._sources()
        yield from source_gauges(self._service)
        yield from self._disks()
        yield from self._database()
        yield self._pollers()

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
            labels=_BY_SOURCE,
        )
        now = self._service.clock.now()
        for log in self._logs_open():
            for source, recorded in sorted(log.freshness.newest.items()):
                age = max(0, now - recorded) / 1000
                family.add_metric([log.record.name, source], age)
        return family

    def _disks(self) -> Iterable[Metric]:
        around = self._service.surroundings
        disks = {} if around is None else around.disks
        for name, text in (("size", "Size"), ("free", "What is left to the server")):
            family = GaugeMetricFamily(
                f"provlog_disk_{name}_bytes",
                f"{text} of the file system that a folder of the server stands on.",
                labels=["folder"],
            )
            for folder, disk in disks.items():
                family.add_metric([folder], getattr(disk, name))
            yield family

    def _database(self) -> Iterable[Metric]:
        around = self._service.surroundings
        state = Vitals() if around is None else around.vitals
        for name, text, value in (
            ("bytes", "Size of the database.", state.size),
            ("standbys", "Standbys connected to the database.", state.standbys),
            (
                "lag_bytes",
                "What the slowest standby has yet to replay.",
                state.lag_bytes,
            ),
            (
                "lag_seconds",
                "How far behind the slowest standby last reported to be.",
                state.lag_seconds,
            ),
            (
                "clock_offset_seconds",
                "How far the database's clock is ahead of the server's.",
                None if around is None else around.clock_offset,
            ),
        ):
            family = GaugeMetricFamily(f"provlog_database_{name}", text)
            if value is not None:
                family.add_metric([], value)
            yield family

    def _pollers(self) -> Metric:
        family = GaugeMetricFamily(
            "provlog_poll_cursor_updated_timestamp_seconds",
            "When a poller of each source last moved its cursor, or ended a round.",
            labels=_BY_SOURCE,
        )
        around = self._service.surroundings
        names = {log.id: log.record.name for log in self._logs_open()}
        for (log, source), updated in (around.polled if around else {}).items():
            if log in names:
                family.add_metric([names[log], source], updated / 1000)
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
