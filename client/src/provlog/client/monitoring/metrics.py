"""What a monitor of many logs tells Prometheus, read off at a scrape."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from provlog.client.alerting.sending import Delivery
from provlog.client.monitoring.followed import Followed
from provlog.client.monitoring.symptoms import KINDS

_PREFIX = "provlog_monitor_"

_GAUGES: Mapping[str, tuple[str, Callable[[Followed], float | None]]] = {
    "size": ("Entries of the newest checkpoint accepted", lambda log: log.size),
    "served_size": (
        "Entries of the checkpoint served last",
        lambda log: log.served_size,
    ),
    "reachable": ("1 if the last look had an answer", lambda log: log.reachable),
    "stale": ("1 if an older head was served last", lambda log: log.stale),
    "last_verified_timestamp_seconds": (
        "When a checkpoint was verified last",
        lambda log: log.verified_at,
    ),
    "last_growth_timestamp_seconds": (
        "When the log was seen to have grown",
        lambda log: log.grown_at,
    ),
    "quorum_timestamp_seconds": (
        "From when on a quorum of witnesses cosigned the newest checkpoint",
        lambda log: log.quorum_time,
    ),
    "read_size": ("Entries that were read and recomputed", lambda log: log.read_size),
    "mirror_size": ("Entries that the copy shows", lambda log: log.mirror_size),
    "broken_rules": (
        "Findings in signed entries, which stay",
        lambda log: log.findings,
    ),
}


class DaemonMetrics(Collector):
    """The metrics of all followed logs and of the alerts, in a registry of its own."""

    def __init__(
        self,
        followed: Callable[[], Sequence[Followed]],
        deliveries: Callable[[], Mapping[str, Delivery]],
    ) -> None:
        self._followed = followed
        self._deliveries = deliveries
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def page(self) -> bytes:
        """Return them as Prometheus reads them."""
        return generate_latest(self.registry)

    def describe(self) -> Iterator[Metric]:
        """Return no description: there may be nothing yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        logs = list(self._followed())
        for name, (what, read) in _GAUGES.items():
            gauge = GaugeMetricFamily(_PREFIX + name, what, labels=["origin"])
            for log in logs:
                value = read(log)
                if value is not None:
                    gauge.add_metric([log.origin], float(value))
            yield gauge
        yield self._alarms(logs)
        yield self._looks(logs)
        yield from self._alerts()

    def _alarms(self, logs: Sequence[Followed]) -> Metric:
        what = "1 while this alarm is on"
        family = GaugeMetricFamily(
            f"{_PREFIX}alarm", what, labels=["origin", "kind", "severity"]
        )
        for log in logs:
            for kind, each in KINDS.items():
                labels = [log.origin, kind, each.severity]
                family.add_metric(labels, float(kind in log.alarms))
        return family

    def _looks(self, logs: Sequence[Followed]) -> Metric:
        what = "Looks at the log by what they showed"
        family = CounterMetricFamily(
            f"{_PREFIX}looks", what, labels=["origin", "event"]
        )
        for log in logs:
            for event, count in log.looks.items():
                family.add_metric([log.origin, event], count)
        return family

    def _alerts(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            f"{_PREFIX}alerts",
            "Alerts by channel: delivered, failed attempts, dropped for want of room",
            labels=["channel", "result"],
        )
        waiting = GaugeMetricFamily(
            f"{_PREFIX}alerts_waiting",
            "Alerts that were not delivered yet",
            labels=["channel"],
        )
        for name, state in self._deliveries().items():
            for result in ("delivered", "failed", "dropped"):
                counted.add_metric([name, result], getattr(state, result))
            waiting.add_metric([name], state.waiting)
        yield counted
        yield waiting
