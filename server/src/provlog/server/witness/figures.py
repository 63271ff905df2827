"""What a witness counts, for Prometheus; no label is made by a stranger."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_LABELS: Final = 1_000
"""How many logs have figures of their own."""
CALLS: Final = ("add-checkpoint", "sign-subtree")


class WitnessFigures:
    """The witness's metrics, in a registry that may hold others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._requests = Counter(
            "provlog_witness_requests",
            "Requests to cosign, by call and status of the answer.",
            ["call", "status"],
            registry=registry,
        )
        self._inconsistent = Counter(
            "provlog_witness_inconsistent",
            "Validly signed checkpoints kept as evidence, by log and whether one"
            " convicts it.",
            ["origin", "convicts"],
            registry=registry,
        )
        self.logs = Gauge(
            "provlog_witness_logs", "Logs that are known.", registry=registry
        )
        self.lists_broken = Gauge(
            "provlog_witness_lists_broken",
            "Lists of logs that cannot be read; what they said before holds.",
            registry=registry,
        )
        self._heads = _Heads()
        registry.register(self._heads)
        # A counter that is not there before its first event has not increased by it.
        self._requests.labels(CALLS[0], "200")
        self._labelled: set[str] = set()

    def answered(self, call: str, status: int) -> None:
        """Count an answer; `call` is one of `CALLS`."""
        self._requests.labels(call, str(status)).inc()

    def inconsistent(self, origin: str, *, convicts: bool) -> None:
        """Count evidence against a known log."""
        if origin not in self._labelled and len(self._labelled) >= MOST_LABELS:
            origin = "other"
        self._labelled.add(origin)
        self._inconsistent.labels(origin, "yes" if convicts else "no").inc()

    def show(self, heads: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """Show size and time of these heads, by origin, at each scrape."""
        self._heads.read = heads


class _Heads(Collector):
    """Sizes and times, read when somebody asks."""

    def __init__(self) -> None:
        self.read: Callable[[], Mapping[str, tuple[int, int]]] = dict

    def collect(self) -> Iterator[Metric]:
        sizes = GaugeMetricFamily(
            "provlog_witness_head_size",
            "Size of the newest cosigned checkpoint, by log.",
            labels=["origin"],
        )
        times = GaugeMetricFamily(
            "provlog_witness_head_timestamp_seconds",
            "Time of the newest cosignature, by log.",
            labels=["origin"],
        )
        for origin, (size, time) in self.read().items():
            sizes.add_metric([origin], size)
            times.add_metric([origin], time)
        yield sizes
        yield times
