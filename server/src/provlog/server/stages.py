"""Time spent in each stage of the way, as histograms that cost next to nothing.

Each event passes several stages, and a histogram of prometheus-client would cost more
than some of them take: a look-up in a table of bounds and two additions do not. Used by
one thread.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

BOUNDS: Final = (
    0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 1.0, 5.0,
)  # fmt: skip
"""Upper bounds of the buckets, in seconds, each of them inside its bucket."""

_LABELS: Final = (*(str(bound) for bound in BOUNDS), "+Inf")


class Stage:
    """The times of one stage."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_LABELS)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one run."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Span:
    """Counts the time between entering and leaving it."""

    __slots__ = ("_begun", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._stage.add(time.perf_counter() - self._begun)


class Stages(Collector):
    """The stages by name; one that was never run is not shown."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}

    def stage(self, name: str) -> Stage:
        """Return a stage, a new one where there was none of that name."""
        stage = self._stages.get(name)
        if stage is None:
            stage = self._stages[name] = Stage()
        return stage

    def collect(self) -> Iterable[Metric]:
        """Return the histograms as Prometheus wants them: buckets that add up."""
        family = HistogramMetricFamily(
            "provlog_stage_seconds",
            "Time spent in each stage, by batch in the commit path, by request beside.",
            labels=["stage"],
        )
        for name, stage in sorted(self._stages.items()):
            buckets = list(zip(_LABELS, accumulate(stage.counts), strict=True))
            family.add_metric([name], buckets, sum_value=stage.total)
        yield family
