"""Whether commits go through, as readiness has to say it.

Another process may hold the database's lock and stand still, or a disk may not answer.
What was submitted waits then or is refused, and other servers should be asked.
"""

import time
from collections.abc import Callable
from typing import Final

HELD_UP_SECONDS: Final = 5.0
"""For how long a batch may be at work, or batches may fail, before that is trouble."""
FORGET_SECONDS: Final = 10.0
"""After how long without a batch a failure says nothing any more."""


class Progress:
    """One queue's: when it last got on, and whether a batch is at work."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._ended: float | None = None

    def begin(self) -> None:
        """Note that a batch is at work from now on."""
        if self._since is None or self._is_forgotten():
            self._since = self._clock()
        self._ended = None

    def end(self, *, served: bool) -> None:
        """Note that it ended, and whether anybody got what they wanted."""
        self._ended = self._clock()
        if served:
            self._since = None

    def is_held_up(self) -> bool:
        """Tell whether nothing went through for `HELD_UP_SECONDS`."""
        if self._since is None or self._is_forgotten():
            return False
        return self._clock() - self._since > HELD_UP_SECONDS

    def _is_forgotten(self) -> bool:
        # Nobody has tried since, so nobody knows. A server that takes nothing until it
        # is ready must not wait for what only a submission would show.
        return self._ended is not None and self._clock() - self._ended > FORGET_SECONDS
