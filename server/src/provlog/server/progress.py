"""Whether commits go through, as readiness has to say it.

Another process may hold the database's lock and stand still, or a disk may not answer.
What was submitted waits then or is refused, and other servers should be asked.
"""

import time
from collections.abc import Callable
from typing import Final

from provlog.server.errors import ClockError

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
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Note that a batch is at work from now on."""
        if self._since is None or self._is_forgotten():
            self._since = self._clock()
        self._ended = None

    def end(self, error: BaseException | None = None) -> None:
        """Note that it ended, and with what error if nobody got what they wanted."""
        self._ended = self._clock()
        self._error = error
        if error is None:
            self._since = None

    def trouble(self) -> str | None:
        """Return why nothing goes through, None where something does.

        That a clock is not believed is known at once, since no second attempt would
        help; anything else is trouble after `HELD_UP_SECONDS`.
        """
        if self._since is None or self._is_forgotten():
            return None
        if isinstance(self._error, ClockError):
            return str(self._error)
        late = self._clock() - self._since > HELD_UP_SECONDS
        return "commits are held up" if late else None

    def _is_forgotten(self) -> bool:
        # Nobody has tried since, so nobody knows. A server that takes nothing until it
        # is ready must not wait for what only a submission would show.
        return self._ended is not None and self._clock() - self._ended > FORGET_SECONDS
