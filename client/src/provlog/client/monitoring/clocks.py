"""The time of this machine, and whether it can be believed."""

import time
from typing import Final, Protocol

JUMP: Final = 5.0


class Clock(Protocol):
    """Where times come from; tests bring their own."""

    def now(self) -> float:
        """Return the time in POSIX seconds."""

    def steady(self) -> float:
        """Return seconds that only ever grow, from any beginning."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return the time in POSIX seconds."""
        return time.time()

    def steady(self) -> float:
        """Return seconds that only ever grow, from any beginning."""
        return time.monotonic()


class JumpDetector:
    """Compares the clock with a steady one: a clock that was set is said, once.

    A machine that slept looks the same where the steady clock stood still meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.steady()

    def jump(self) -> float | None:
        """Return by how many seconds the clock jumped since the last call, if it did.

        Drift of `JUMP` seconds counts as well, however slowly it came about.
        """
        offset = self._clock.now() - self._clock.steady()
        jumped = offset - self._offset
        if abs(jumped) < JUMP:
            return None
        self._offset = offset
        return jumped
