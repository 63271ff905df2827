"""One request for all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares the answers of `fetch` without ever giving out an old one.

    Whoever asks while a request is under way waits for the next one: that one, having
    been sent before, may miss what was written since. So each answer is of a request
    that began after its caller asked, and no more than two are ever under way or due.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Return the answer of a request that begins after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._run(self._running))
            self._next.add_done_callback(_note_failure)
        # Others wait for it too: it goes on when one of them goes away.
        return await asyncio.shield(self._next)

    async def _run(self, before: "asyncio.Task[T] | None") -> T:
        if before is not None:
            await asyncio.wait([before])
        # Who asks from here on needs another one.
        self._running, self._next = self._next, None
        return await self._fetch()


def _note_failure(task: "asyncio.Task[T]") -> None:
    """Take note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
