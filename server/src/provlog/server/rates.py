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
        now = self._steady()
        capacity = max(rate, 1.0)
        level, then = self._buckets.get(key, (capacity, now))
        level = min(capacity, level + (now - then) * rate)
        needed = min(float(events), capacity)
        if level < needed:
            self._buckets[key] = (level, now)
            return (needed - level) / rate
        self._buckets[key] = (level - events, now)
        return 0.0
