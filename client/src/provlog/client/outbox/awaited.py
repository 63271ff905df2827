"""`AsyncOutbox`: an outbox for programs with an event loop."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from provlog.client.outbox.box import Outbox

P = ParamSpec("P")
R = TypeVar("R")


def off_the_loop(
    method: Callable[Concatenate[Outbox, P], R],
) -> Callable[Concatenate["AsyncOutbox", P], Coroutine[Any, Any, R]]:
    """Return a method of `AsyncOutbox` that runs this one of `Outbox` in a thread."""

    @functools.wraps(method)
    async def call(self: "AsyncOutbox", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(method, self.outbox, *args, **kwargs)

    return call


class AsyncOutbox:
    """`Outbox` for programs with an event loop: the same methods, awaited.

    It is an `Outbox` whose calls wait for the disk in a thread, and whose sender has a
    thread and loop of its own: a busy loop of the program's does not hold it up. A put
    that is cancelled may have been done.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  Outbox's
        self.outbox = Outbox(*args, **kwargs)

    put = off_the_loop(Outbox.put)
    put_many = off_the_loop(Outbox.put_many)
    put_records = off_the_loop(Outbox.put_records)
    put_record = put_records
    status = off_the_loop(Outbox.status)
    failed = off_the_loop(Outbox.failed)
    retry = off_the_loop(Outbox.retry)
    drop = off_the_loop(Outbox.drop)
    receipts = off_the_loop(Outbox.receipts)
    move_receipts = off_the_loop(Outbox.move_receipts)
    start = off_the_loop(Outbox.start)
    flush = off_the_loop(Outbox.flush)
    close = off_the_loop(Outbox.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.outbox.__exit__, kind, error, traceback)
