"""What the service counts, for Prometheus. No label ever holds personal data.

What can be read off the service when somebody asks is not counted here: see `gauges`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from provlog.server.batch import Appended, Outcome
from provlog.server.stages import Span, Stages

MAX_SOURCES: Final = 1_000
"""How many sources have refusals of their own; those of further ones are `OTHER`."""

OTHER: Final = "other"

CommitResult: TypeAlias = Literal["durable", "interrupted", "failed", "unknown"]

_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
)  # fmt: skip
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Stages()
        self.registry.register(self._stages)
        self._outcomes = self._counter(
            "outcomes", "Events by what became of them.", "outcome"
        )
        self._outcome_children: dict[type[Outcome], Counter] = {}
        self._batches = self._histogram(
            "batch_entries", "New entries by commit and log.", _SIZES
        )
        self._commits = self._counter("commits", "Commits, by their result.", "result")
        self._commit_children = {
            result: self._commits.labels(result) for result in get_args(CommitResult)
        }
        self._refusals = self._counter(
            "refusals",
            "Requests and events that were refused, by problem and registered source.",
            "problem",
            "source",
        )
        self._hook_refusals = self._counter(
            "hook_refusals",
            "Deliveries to hooks that were refused, by problem and registered source.",
            "problem",
            "source",
        )
        self._refused_sources: set[str] = set()
        self.requests = self._histogram(
            "request_seconds", "Time to answer, by route.", _SECONDS, "route", "status"
        )
        # Counted up and down for every request: a gauge of the library has a lock.
        self.in_progress = 0
        self.connections = self._gauge(
            "connections", "Open connections, by listener.", "listener"
        )
        self.connections_dropped = self._counter(
            "connections_dropped", "Connections that were cut, by reason.", "reason"
        )
        self.certificate_expires = self._gauge(
            "tls_certificate_expiry_timestamp_seconds",
            "Until when the certificate is valid that is served with, by listener.",
            "listener",
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

    def stage(self, name: str) -> Span:
        """Return a context; the time until it is left counts as spent in a stage."""
        return Span(self._stages.stage(name))

    def spent(self, name: str, seconds: float) -> None:
        """Count time spent in a stage."""
        self._stages.stage(name).add(seconds)

    def committed(self, outcomes: Sequence[Iterable[Outcome]]) -> None:
        """Count what one commit did to one log."""
        counts: dict[type[Outcome], int] = {}
        for unit in outcomes:
            for outcome in unit:
                kind = type(outcome)
                counts[kind] = counts.get(kind, 0) + 1
        for kind, count in counts.items():
            child = self._outcome_children.get(kind)
            if child is None:
                child = self._outcomes.labels(kind.__name__.lower())
                self._outcome_children[kind] = child
            child.inc(count)
        if appended := counts.get(Appended):
            self._batches.observe(appended)

    def commit(self, result: CommitResult) -> None:
        """Count a commit: durable, interrupted and begun anew, failed, or unknown."""
        self._commit_children[result].inc()

    def refused(self, problem: str, source: str = "") -> None:
        """Count a refusal.

        `source` is the URI of a source that is registered, empty where there is none:
        what a client made up must not become a label.
        """
        self._refusals.labels(problem, self._label(source)).inc()

    def hook_refused(self, problem: str, source: str) -> None:
        """Count a delivery that was refused, beside `refused`, as that takes it.

        A provider shows nobody what it is answered: here it can be seen.
        """
        self._hook_refusals.labels(problem, self._label(source)).inc()

    def _label(self, source: str) -> str:
        """Return a source, or `OTHER` beyond those that have labels of their own."""
        if source and source not in self._refused_sources:
            if len(self._refused_sources) >= MAX_SOURCES:
                return OTHER
            self._refused_sources.add(source)
        return source
