"""Token buckets: how many events a token may submit in a second, and a log may take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Bucket(NamedTuple):
    """Whose events are counted, and how many a second there may be."""

    key: str
    rate: float


@dataclass(frozen=True, slots=True)
class LogRates:
    """Events a second that a log takes: of some by name, `other` of those not named.

    None is no bound.
    """

    other: float | None = None
    named: Mapping[str, float] = field(default_factory=dict)

    def bucket(self, log: str) -> Bucket | None:
        """Return a log's bucket, None where it has no bound."""
        rate = self.named.get(log, self.other)
        return None if rate is None else Bucket(f"log {log}", rate)


class RateLimiter:
    """Buckets by key, each holding up to a second's worth of events.

    An event is taken from several of them at once, or from none. `steady` is a clock
    in seconds that never jumps.
    """

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, buckets: Sequence[Bucket], events: int) -> float:
        """Take `events` from each bucket and return 0, or the seconds to wait.

        A request larger than a bucket is let through when the bucket is full, and
        leaves it in debt: otherwise it could never be sent.
        """
        seconds = self.wait(buckets, events)
        if seconds == 0:
            self.charge(buckets, events)
        return seconds

    def wait(self, buckets: Sequence[Bucket], events: int) -> float:
        """Return the seconds until `take` would succeed; nothing is taken."""
        return max((self._wait(bucket, events) for bucket in buckets), default=0.0)

    def charge(self, buckets: Sequence[Bucket], events: int) -> None:
        """Take `events` from each bucket, whatever it holds."""
        for bucket in buckets:
            level, _ = self._level(bucket)
            self._levels[bucket.key] = (level - events, self._steady())

    def _wait(self, bucket: Bucket, events: int) -> float:
        level, capacity = self._level(bucket)
        return max(0.0, min(float(events), capacity) - level) / bucket.rate

    def _level(self, bucket: Bucket) -> tuple[float, float]:
        """Return what a bucket holds now, and what it can hold."""
        now, capacity = self._steady(), max(bucket.rate, 1.0)
        level, then = self._levels.get(bucket.key, (capacity, now))
        return min(capacity, level + (now - then) * bucket.rate), capacity
