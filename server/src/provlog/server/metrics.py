"""What the service counts, for Prometheus. No label ever holds personal data."""

import time
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import SummaryMetricFamily
from prometheus_client.registry import Collector

from provlog.server.batch import Outcome

_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
)  # fmt: skip
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class _Stages(Collector):
    """Time and runs of each stage.

    Each event passes several, and a histogram of the library would cost more than some
    of them take: two numbers in a dictionary do not. Used by one thread.
    """

    def __init__(self) -> None:
        self._totals: dict[str, tuple[float, int]] = {}

    def add(self, name: str, seconds: float) -> None:
        total, runs = self._totals.get(name, (0.0, 0))
        self._totals[name] = (total + seconds, runs + 1)

    def collect(self) -> Iterable[Metric]:
        family = SummaryMetricFamily(
            "provlog_stage_seconds",
            "Time spent in each stage, by batch in the commit path, by request beside.",
            labels=["stage"],
        )
        for name, (total, runs) in sorted(self._totals.items()):
            family.add_metric([name], count_value=runs, sum_value=total)
        yield family


class _Span:
    """Measures the time between entering and leaving it."""

    __slots__ = ("_begun", "_name", "_stages")

    def __init__(self, stages: _Stages, name: str) -> None:
        self._stages = stages
        self._name = name

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._stages.add(self._name, time.perf_counter() - self._begun)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = _Stages()
        self.registry.register(self._stages)
        self._outcomes = self._counter(
            "outcomes", "Events by what became of them.", "outcome"
        )
        self._outcome_children: dict[str, Counter] = {}
        self._batches = self._histogram(
            "batch_entries", "New entries by commit and log.", _SIZES
        )
        self.refusals = self._counter(
            "refusals", "Requests that were refused, by problem.", "problem"
        )
        self.requests = self._histogram(
            "request_seconds", "Time to answer, by route.", _SECONDS, "route", "status"
        )
        self.queued_events = self._gauge(
            "queued_events", "Events that wait for the next commit."
        )
        self.log_size = self._gauge("log_size", "Released size of each log.", "log")
        self.clock_drift = self._gauge(
            "clock_drift_seconds",
            "How far the wall clock has jumped since it was trusted.",
        )
        self.connections = self._gauge(
            "connections", "Open connections, by listener.", "listener"
        )
        self.connections_dropped = self._counter(
            "connections_dropped", "Connections that were cut, by reason.", "reason"
        )
        self._add_selfcheck()

    def _add_selfcheck(self) -> None:
        self.selfcheck_position = self._gauge(
            "selfcheck_position",
            "Entries that the running self-check has read, by log.",
            "log",
        )
        self.selfcheck_findings = self._gauge(
            "selfcheck_findings",
            "What the self-check found, in its last whole pass or since.",
        )
        self.selfcheck_passes = self._counter(
            "selfcheck_passes", "Whole passes of the self-check."
        )
        self.selfcheck_last_pass = self._gauge(
            "selfcheck_last_pass_timestamp_seconds",
            "When the last whole pass of the self-check ended; 0 before.",
        )
        self.selfcheck_failures = self._counter(
            "selfcheck_failures", "Passes of the self-check that were broken off."
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"provlog_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"provlog_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        return Histogram(
            f"provlog_{name}", text, labels, buckets=buckets, registry=self.registry
        )

    def stage(self, name: str) -> "_Span":
        """Return a context; the time until it is left counts as spent in a stage."""
        return _Span(self._stages, name)

    def spent(self, name: str, seconds: float) -> None:
        """Count time spent in a stage."""
        self._stages.add(name, seconds)

    def committed(self, outcomes: Sequence[Iterable[Outcome]]) -> None:
        """Count what one commit did to one log."""
        counts: dict[str, int] = {}
        for unit in outcomes:
            for outcome in unit:
                name = type(outcome).__name__.lower()
                counts[name] = counts.get(name, 0) + 1
        for name, count in counts.items():
            child = self._outcome_children.get(name)
            if child is None:
                child = self._outcome_children[name] = self._outcomes.labels(name)
            child.inc(count)
        if appended := counts.get("appended"):
            self._batches.observe(appended)
