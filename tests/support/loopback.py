"""A whole instance served on a loopback port from a thread, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from provlog.server.http.app import HttpSettings
from support.instances import Served, served

START_SECONDS = 30
WORK_SECONDS = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loopback:
    """A served instance and its address. Its service belongs to another thread."""

    served: Served
    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what work on the service comes to, done where the service lives."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(WORK_SECONDS)

    def bearer(self, role: str) -> dict[str, str]:
        """Return the headers that present a role's token."""
        return self.served.bearer(role)


@contextmanager
def serving(
    folder: Path, *, settings: HttpSettings | None = None, public: bool = False
) -> Iterator[Loopback]:
    """Serve a new instance until the block ends; any source may be written to.

    Every answer has to be one that the API's description announces, or leaving the
    block fails.
    """
    opened = served(folder, settings=settings, public=public, sources=("*",))
    with in_thread(opened) as (running, loop):
        url = str(running.client.make_url("")).rstrip("/")
        yield Loopback(running, url, loop)


@contextmanager
def in_thread(
    opened: AbstractAsyncContextManager[T],
) -> Iterator[tuple[T, asyncio.AbstractEventLoop]]:
    """Keep a context open in a thread of its own; yield what it yields, and its loop.

    What leaving it raises is raised here.
    """
    started: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def keep() -> None:
        stop = asyncio.Event()
        async with opened as inside:
            started.set_result((inside, asyncio.get_running_loop(), stop))
            await stop.wait()

    ended = _run_apart(lambda: asyncio.run(keep()), started)
    inside, loop, stop = started.result(START_SECONDS)
    try:
        yield inside, loop
    finally:
        loop.call_soon_threadsafe(stop.set)
        ended.result(START_SECONDS)


def _run_apart(work: Callable[[], None], started: "Future[Any]") -> "Future[None]":
    ended: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            ended.set_exception(error)
            if not started.done():
                started.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=run, name="loopback", daemon=True).start()
    return ended
