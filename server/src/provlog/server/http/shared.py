"""Work that many may ask for at once, and that is done once for all of them."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Some work; whoever wants its result while it is under way gets that one."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    async def result(self) -> T:
        """Return what the work comes to, or raise what it raises.

        Whoever goes away does not end it for the others.
        """
        if self._task is None or self._task.done():
            # Nothing of the request that happens to be the first: others wait for it.
            self._task = asyncio.create_task(
                self._work(), context=contextvars.Context()
            )
        return await asyncio.shield(self._task)
