"""A whole instance served on a loopback port from a thread, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
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
    started: Future[tuple[Loopback, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with served(
            folder, settings=settings, public=public, sources=("*",)
        ) as running:
            url = str(running.client.make_url("")).rstrip("/")
            loopback = Loopback(running, url, asyncio.get_running_loop())
            started.set_result((loopback, stop))
            await stop.wait()

    ended = _in_thread(lambda: asyncio.run(serve()), started)
    loopback, stop = started.result(START_SECONDS)
    try:
        yield loopback
    finally:
        loopback.loop.call_soon_threadsafe(stop.set)
        ended.result(START_SECONDS)


def _in_thread(
    work: Callable[[], None], started: "Future[tuple[Loopback, asyncio.Event]]"
) -> "Future[None]":
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
