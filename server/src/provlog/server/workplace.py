"""Where requests work one after the other: the event loop, by turns."""

import asyncio
import time
from collections.abc import Hashable
from typing import Final

from provlog.server.turns import Turns

TOGETHER: Final = 16
"""What is worked on in one turn of the loop: in events, or records of a batch."""
EVENT_SECONDS: Final = 0.0001
"""About what an event takes; whatever takes longer weighs as many events."""


class Workplace:
    """Where requests work, one after the other, and by turns where many want to.

    The event loop takes requests as they come, so that whoever sends one would wait
    for all that a flood sent before it. So no more than `TOGETHER` are let in in one
    turn of the loop, or one step of a batch, and whose they are goes by turns.
    """

    def __init__(self) -> None:
        self._turns: Turns[asyncio.Future[None]] = Turns()
        self._room = TOGETHER
        self._armed = False

    async def turn(self, log: Hashable, sender: Hashable, weight: int = 1) -> None:
        """Return when it is this sender's turn to do work of that weight."""
        loop = asyncio.get_running_loop()
        if not self._armed:
            self._armed = True
            loop.call_soon(self._next, loop)
        if self._room > 0 and not self._turns:
            self._room -= weight
            return
        waiting: asyncio.Future[None] = loop.create_future()
        self._turns.push(log, sender, weight, waiting)
        await waiting

    async def after(
        self, log: Hashable, sender: Hashable, things: int, begun: float
    ) -> None:
        """Return when it is the turn of a sender that goes on after some work.

        The work was on that many things and `begun` by `time.perf_counter`. It weighs
        what it took if that is more: a step that found little may have been long.
        """
        spent = int((time.perf_counter() - begun) / EVENT_SECONDS)
        await self.turn(log, sender, max(1, things, spent))

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._room = TOGETHER
        while self._turns and self._room > 0:
            weight, waiting = self._turns.pop()
            if not waiting.done():
                waiting.set_result(None)
                self._room -= weight
        # Behind those that were just let in, so that their work ends first.
        self._armed = self._room < TOGETHER
        if self._armed:
            loop.call_soon(self._next, loop)
