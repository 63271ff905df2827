"""`provlog spool run`: what it does between its start and its end."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provlog.client.errors import OutboxFullError
from provlog.client.outbox.delivery import Delivery, OutboxClient
from provlog.client.outbox.following import Follower
from provlog.client.outbox.heartbeat import beat
from provlog.client.outbox.listening import Listener
from provlog.client.outbox.sender import Callbacks, Sender
from provlog.client.outbox.spool import Spool
from provlog.client.outbox.views import move_receipts

MOVE_SECONDS: Final = 1.0
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a daemon does beside sending.

    `follower` brings lines; `ends` tells that when these have ended and nothing waits,
    the daemon ends too. `listener` takes events at `address`, host and port.
    `heartbeat` is a source and the seconds between two. Receipts are moved to the
    folder `receipts`.
    """

    follower: Follower | None = None
    ends: bool = False
    listener: Listener | None = None
    address: tuple[str, int] = ("127.0.0.1", 0)
    heartbeat: tuple[str, float] | None = None
    receipts: Path | None = None
    on_listening: Callable[[str], None] = lambda _: None
    on_full: Callable[[OutboxFullError], None] = lambda _: None


class Daemon:
    """Sends what a spool holds, and whatever comes in meanwhile, to one log."""

    def __init__(
        self,
        spool: Spool,
        connect: Callable[[], OutboxClient],
        origin: str,
        callbacks: Callbacks,
        work: Work,
    ) -> None:
        self._spool = spool
        self._connect = connect
        self._origin = origin
        self._callbacks = callbacks
        self._work = work

    async def run(self, *, once: bool = False) -> None:
        """Work until SIGTERM or SIGINT; with `once`, until all input is in the log.

        Raises a `MerkleError` when the log misbehaves, and with `once` whatever keeps
        the log from being reached. What is in the spool stays there in any case.
        """
        async with self._connect() as client:
            delivery = Delivery(client, self._origin, self._spool.path)
            sender = Sender(self._spool, delivery, self._callbacks)
            try:
                async with self._listening(sender):
                    await self._work_with(sender, once=once)
            finally:
                await self._move()

    @contextlib.asynccontextmanager
    async def _listening(self, sender: Sender) -> AsyncIterator[None]:
        if self._work.listener is None:
            yield
            return
        self._work.listener.on_put = lambda _: sender.wake()
        async with self._work.listener.serving(*self._work.address) as url:
            self._work.on_listening(url)
            yield

    async def _work_with(self, sender: Sender, *, once: bool) -> None:
        stopped = asyncio.Event()
        sends = asyncio.create_task(sender.run(once=once))
        reads = asyncio.create_task(self._read(sender, once=once))
        others = [asyncio.create_task(each) for each in self._others()]
        stop = asyncio.create_task(stopped.wait())
        tasks = [sends, reads, stop, *others]
        try:
            with _signals(stopped.set):
                await _first_end({sends, stop}, {reads, *others})
                if stopped.is_set():
                    await self._stop(sender, sends)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stop(self, sender: Sender, sends: "asyncio.Task[None]") -> None:
        if self._work.follower is not None:
            self._work.follower.stop()
        sender.stop()
        # An answer that is late after all: what was sent is sent again some time.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sends, STOP_SECONDS)

    async def _read(self, sender: Sender, *, once: bool) -> None:
        if self._work.follower is not None:
            await self._work.follower.run(once=once)
        if once or self._work.ends:
            sender.finish()

    def _others(self) -> Iterator[Coroutine[Any, Any, None]]:
        if self._work.heartbeat is not None:
            yield beat(self._spool, *self._work.heartbeat, self._work.on_full)
        if self._work.receipts is not None:
            yield self._move_now_and_then()

    async def _move_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(MOVE_SECONDS)
            await self._move()

    async def _move(self) -> None:
        folder = self._work.receipts
        if folder is not None:
            await asyncio.to_thread(move_receipts, self._spool, folder, remove=True)


async def _first_end(
    ends: set["asyncio.Task[Any]"], others: set["asyncio.Task[Any]"]
) -> None:
    """Return when one of `ends` has ended; raise what any task raised before."""
    waiting = ends | others
    while ends <= waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        # Where a loop has no signal handlers, Ctrl-C still interrupts it.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)
