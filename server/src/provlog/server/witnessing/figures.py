"""What Prometheus is told of witnesses, and of what is published.

Those of single witnesses are of the process that asks; those of a log are read off what
is published, in every process. `witness` is the first name that the policy has for it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from provlog.server.log import Log
from provlog.server.witnessing.witness import Witness

_BY_WITNESS: Final = ["log", "witness"]
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class WitnessFigures(Collector):
    """The metrics of one process; `logs` returns the logs that are open.

    `asking` holds, by the log's name, the witnesses it asks, and for how long a newer
    head has waited for its quorum.
    """

    def __init__(
        self, registry: CollectorRegistry, logs: Callable[[], Sequence[Log]]
    ) -> None:
        self._logs = logs
        self.asking: dict[str, tuple[Sequence[Witness], Callable[[], float]]] = {}
        self._answers = Counter(
            "provlog_witness_answers",
            "Questions to witnesses, by what came of them.",
            [*_BY_WITNESS, "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "provlog_witness_seconds",
            "Time that a witness took to answer.",
            _BY_WITNESS,
            buckets=_SECONDS,
            registry=registry,
        )
        registry.register(self)

    def asked(self, log: str, witness: str, outcome: str, seconds: float) -> None:
        """Count a question and its answer."""
        self._answers.labels(log, witness, outcome).inc()
        self._seconds.labels(log, witness).observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Return what there is to read off now."""
        yield from self._witnesses()
        yield from self._published()

    def _witnesses(self) -> Iterable[Metric]:
        known = GaugeMetricFamily(
            "provlog_witness_known_size",
            "Size of the log that each witness has cosigned, as last heard.",
            labels=_BY_WITNESS,
        )
        cosigned = GaugeMetricFamily(
            "provlog_witness_cosigned_timestamp_seconds",
            "Time of each witness's newest cosignature, by its own clock.",
            labels=_BY_WITNESS,
        )
        for log, (witnesses, _) in sorted(self.asking.items()):
            for each in witnesses:
                if each.known is not None:
                    known.add_metric([log, each.endpoint.label], each.known)
                for name, timestamp in sorted(each.cosigned.items()):
                    cosigned.add_metric([log, name], timestamp)
        return known, cosigned

    def _published(self) -> Iterable[Metric]:
        size = _by_log("size", "Size of the newest checkpoint that has its quorum.")
        lag = _by_log("lag", "Entries that are released and not in it yet.")
        age = _by_log("age_seconds", "Since its newest cosignature was made.")
        waiting = _by_log(
            "waiting_seconds", "For how long a newer head has waited for its quorum."
        )
        for log in self._logs():
            if log.published is None:
                continue
            name, published = [log.record.name], log.published.witnessed
            reached = 0 if published is None else published.head.size
            size.add_metric(name, reached)
            lag.add_metric(name, max(0, log.released.size - reached))
            if published is not None and published.cosigned is not None:
                age.add_metric(name, max(0.0, time.time() - published.cosigned))
            if log.record.name in self.asking:
                waiting.add_metric(name, self.asking[log.record.name][1]())
        return size, lag, age, waiting


def _by_log(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"provlog_witnessed_{name}", text, labels=["log"])
