"""Trying again what the database could not do, while it is away for a while."""

import asyncio
import time
from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""How long whoever waits for a commit waits for a database that is away."""
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


class Patience:
    """How long something is tried again, in growing pauses."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._end = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE

    async def wait(self) -> bool:
        """Wait a little and return True, or return False where it was long enough."""
        if time.monotonic() + self._pause > self._end:
            return False
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True
