"""What the service counts, for Prometheus. No label ever holds personal data."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from provlog.server.batch import Outcome

_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
)  # fmt: skip
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "provlog_stage_seconds",
            "Time spent in each stage of the commit path, by batch or request.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "provlog_outcomes",
            "Events by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._batches = Histogram(
            "provlog_batch_entries",
            "New entries by commit and log.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.refusals = Counter(
            "provlog_refusals",
            "Requests that were refused, by problem.",
            ["problem"],
            registry=self.registry,
        )
        self.requests = Histogram(
            "provlog_request_seconds",
            "Time to answer, by route.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queued_events = Gauge(
            "provlog_queued_events",
            "Events that wait for the next commit.",
            registry=self.registry,
        )
        self.log_size = Gauge(
            "provlog_log_size",
            "Released size of each log.",
            ["log"],
            registry=self.registry,
        )
        self.clock_drift = Gauge(
            "provlog_clock_drift_seconds",
            "How far the wall clock has jumped since it was trusted.",
            registry=self.registry,
        )
        self._stage_children: dict[str, Histogram] = {}
        self._outcome_children: dict[str, Counter] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time until the block is left."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent(name, time.perf_counter() - start)

    def spent(self, name: str, seconds: float) -> None:
        """Count time spent in a stage."""
        child = self._stage_children.get(name)
        if child is None:
            child = self._stage_children[name] = self._stages.labels(name)
        child.observe(seconds)

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
