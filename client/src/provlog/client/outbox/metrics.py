"""What an outbox tells Prometheus: all of it is read off the file at a scrape."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from provlog.client.outbox.spool import Spool
from provlog.client.outbox.views import read_status


class SpoolMetrics(Collector):
    """The metrics of one spool, in a registry of its own."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def page(self) -> bytes:
        """Return them as Prometheus reads them."""
        return generate_latest(self.registry)

    def describe(self) -> Iterator[Metric]:
        """Return no description: registering reads no file."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        status = read_status(self._spool)
        age = 0.0 if status.oldest is None else time.time() - status.oldest / 1000
        gauges: dict[str, tuple[str, float]] = {
            "waiting": ("Items that wait for the log", status.waiting),
            "oldest_age_seconds": (
                "How long the oldest waiting item has waited; 0 if none waits",
                max(age, 0.0),
            ),
            "failed": ("Items that the log refused, for a person", status.failed),
            "bytes": ("Bytes of the waiting and the failed items", status.bytes),
            "receipts": ("Receipts kept in the file", status.receipts),
            "trouble": ("1 if the last attempt to send failed", bool(status.trouble)),
            "sending": ("1 if some process sends", status.sending),
        }
        for name, (what, value) in gauges.items():
            yield GaugeMetricFamily(f"provlog_spool_{name}", what, value=value)
        counters = {
            "sent": ("Items that the log took", status.sent),
            "refused": ("Items that the log refused", status.refused),
            "dropped": ("Failed items that a person dropped", status.dropped),
        }
        for name, (what, value) in counters.items():
            yield CounterMetricFamily(f"provlog_spool_{name}", what, value=value)
