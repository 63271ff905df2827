"""Token buckets: how many events a token may submit in a second."""

from collections.abc import Callable


class RateLimiter:
    """One bucket for each key, holding up to a second's worth of events.

    `steady` is a clock in seconds that never jumps.
    """

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, rate: float, events: int) -> float:
        """Take `events` from a bucket and return 0, or the seconds to wait.

        A request larger than the bucket is let through when the bucket is full, and
        leaves it in debt: otherwise it could never be sent.
        """
        seconds = self.wait(key, rate, events)
        if seconds == 0:
            self.charge(key, rate, events)
        return seconds

    def wait(self, key: str, rate: float, events: int) -> float:
        """Return the seconds until `take` would succeed; nothing is taken."""
        level, capacity = self._level(key, rate)
        return max(0.0, min(float(events), capacity) - level) / rate

    def charge(self, key: str, rate: float, events: int) -> None:
        """Take `events` from a bucket, whatever it holds."""
        level, _ = self._level(key, rate)
        self._buckets[key] = (level - events, self._steady())

    def _level(self, key: str, rate: float) -> tuple[float, float]:
        """Return what a bucket holds now, and what it can hold."""
        now, capacity = self._steady(), max(rate, 1.0)
        level, then = self._buckets.get(key, (capacity, now))
        return min(capacity, level + (now - then) * rate), capacity
