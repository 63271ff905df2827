"""The clock that dates entries, and when it is not believed.

A wall clock that jumps would date entries wrongly. The steady clock cannot jump, so
the distance between the two, taken when the operator last trusted the wall clock, must
stay what it was.
"""

import time
from collections.abc import Callable

from provlog.server.errors import ClockError

MAX_DRIFT_MS = 5_000
MAX_AHEAD_MS = 10_000
MAX_APART_MS = 2_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    # Boot time goes on while the machine sleeps; a plain monotonic clock does not, and
    # every wake-up would look like a jump.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1_000_000


class Clock:
    """The wall clock in Unix milliseconds, checked against a steady one.

    The wall clock is trusted as it is when the object is made; `accept` trusts it anew.
    """

    def __init__(
        self,
        wall: Callable[[], int] = _wall_ms,
        steady: Callable[[], int] = _steady_ms,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._trusted = wall() - steady()

    def accept(self) -> None:
        """Trust the wall clock as it is now."""
        self._trusted = self._wall() - self._steady()

    def drift(self) -> int:
        """Return how far the wall clock has jumped since it was trusted, in ms."""
        return self._wall() - self._steady() - self._trusted

    def now(self) -> int:
        """Return the wall clock, trusted or not: for expiry and the time of receipt."""
        return self._wall()

    def date(self, newest: int, database_offset: int | None = None) -> int:
        """Return the time to record after an entry recorded at `newest`.

        Never before `newest`. `database_offset` is how far the database's clock is
        ahead of this one, in ms. Raises `ClockError` where the wall clock jumped by
        more than `MAX_DRIFT_MS`, is more than `MAX_APART_MS` apart from the database's
        or lies more than `MAX_AHEAD_MS` behind `newest`.
        """
        now = self._wall()
        drift = now - self._steady() - self._trusted
        if abs(drift) > MAX_DRIFT_MS:
            raise ClockError(
                f"the clock moved by {drift / 1000:+.1f} s; set it right, or accept it"
                " with SIGUSR1"
            )
        if database_offset is not None and abs(database_offset) > MAX_APART_MS:
            raise ClockError(
                f"the database's clock is {database_offset / 1000:+.1f} s off this"
                " machine's"
            )
        if newest - now > MAX_AHEAD_MS:
            raise ClockError(
                f"the newest entry is {(newest - now) / 1000:.1f} s ahead of the clock"
            )
        return max(newest, now)
