"""What the proxy counts, for Prometheus; no label is made by a caller."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
UNRECORDED: Final = (
    "no_room",
    "refusal",
    "refused_400",
    "refused_413",
    "refused_422",
    "stopped",
)
"""Why there is no record."""
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Figures:
    """The proxy's metrics, in a registry that may hold others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(
                f"provlog_scim_proxy_{name}", text, labels, registry=registry
            )

        self._requests = counter(
            "requests", "Requests that were answered.", "method", "status"
        )
        self._refused = counter(
            "refused", "Requests that were not passed on, by reason.", "reason"
        )
        self._failures = counter(
            "upstream_failures", "Requests without an answer, by what was met.", "kind"
        )
        self._unrecorded = counter(
            "unrecorded", "Changes that passed and have no record, by reason.", "reason"
        )
        self.added = Histogram(
            "provlog_scim_proxy_added_seconds",
            "Time in the proxy itself and for its records, by kind of request.",
            ["kind"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting = Gauge(
            "provlog_scim_proxy_waiting",
            "Records that wait to be logged, or to be taken by the spool.",
            registry=registry,
        )

        # A counter that is not there before its first event has not increased by it.
        for reason in UNRECORDED:
            self._unrecorded.labels(reason)
        self._refused.labels("not_recorded")

    def answered(self, method: str, status: int) -> None:
        """Count an answer."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, str(status)).inc()

    def refused(self, reason: str) -> None:
        """Count a request that was not passed on."""
        self._refused.labels(reason).inc()

    def failed(self, kind: str) -> None:
        """Count a request that the SCIM server did not answer."""
        self._failures.labels(kind).inc()

    def unrecorded(self, reason: str, count: int = 1) -> None:
        """Count changes that will have no record of their outcome."""
        self._unrecorded.labels(reason).inc(count)
