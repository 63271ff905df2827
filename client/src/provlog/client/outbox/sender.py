"""The sender: takes what waits in a spool to the log, and brings back the receipts."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from provlog.client.answers import Receipt
from provlog.client.errors import (
    ClientError,
    SpoolError,
    UnavailableError,
    printable,
)
from provlog.client.outbox.delivery import Delivered, Delivery
from provlog.client.outbox.items import Item
from provlog.client.outbox.spool import Spool
from provlog.merkle.errors import MerkleError

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
POLL_SECONDS: Final = 0.25
ONCE_SECONDS: Final = 30.0

_ANY: Final = 1 << 30
_SERVER_ERROR: Final = 500
_LOGGER = logging.getLogger("provlog.client.outbox")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Who is told what, on the sender's thread; what they raise is only logged.

    `on_receipt` gets each receipt once it is stored, `on_failed` each item that the log
    refused for good, `on_trouble` why nothing gets on, and None when it does again.
    """

    on_receipt: Callable[[Receipt], object] | None = None
    on_failed: Callable[[Item], object] | None = None
    on_trouble: Callable[[str | None], object] | None = None


class Sender:
    """Sends what waits in `spool`, one batch after another, in the order of the puts.

    Only the holder of the spool's lease sends; others wait for it. After a failure it
    waits, longer each time up to a minute and not less than the log asks for, half of
    it by chance; the time of day plays no part in it.

    What is refused for good is marked and passed over. What is no item's fault (no
    connection, a token that is not valid, a log that is not there) keeps everything
    where it is. An item to which the server answers with an internal error holds up
    the items of its own source only.
    """

    def __init__(
        self, spool: Spool, delivery: Delivery, callbacks: Callbacks | None = None
    ) -> None:
        self._spool = spool
        self._delivery = delivery
        self._callbacks = callbacks or Callbacks()
        self._wake = asyncio.Event()
        self._stopping = self._ends = False
        self._failures = 0
        self._most = _ANY
        # Sources whose oldest item makes the server fail, and until when they rest.
        self._resting: dict[str, float] = {}
        self._progress = time.monotonic()
        self._task: asyncio.Task[object] | None = None
        self.trouble: str | None = None

    def wake(self) -> None:
        """Look at once: something was put. To be called on the event loop."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return after the batch that is under way."""
        self._stopping = True
        self._wake.set()

    def cancel(self) -> None:
        """Let `run` end now, with `CancelledError`, whatever is under way."""
        if self._task is not None:
            self._task.cancel()

    def finish(self) -> None:
        """Let `run` return as soon as nothing waits."""
        self._ends = True
        self._wake.set()

    async def run(self, *, once: bool = False) -> None:
        """Send until it is stopped or finished.

        Raises a `MerkleError` as soon as the log misbehaves and `SpoolError` when the
        file does; with `once` also whatever keeps the log from being reached.
        Cancelled at any point, it leaves nothing half-done.
        """
        self._progress = time.monotonic()
        self._task = asyncio.current_task()
        try:
            await self._lead(once=once)
            await self._bind(once=once)
            while not self._stopping and await self._step(once=once):
                pass
        except (MerkleError, SpoolError) as error:
            await self._tell(f"stopped: {error}")
            raise
        finally:
            self._spool.lease.release()

    async def _lead(self, *, once: bool) -> None:
        """Wait until nobody else sends."""
        waits = False
        while not self._stopping and not self._spool.lease.acquire():
            if once and self._is_late():
                raise UnavailableError(f"{self._spool.path}: another process sends it")
            if not waits:
                self._call(self._callbacks.on_trouble, "another process sends")
            waits = True
            await self._pause(POLL_SECONDS)
        if waits and not self._stopping:
            self._call(self._callbacks.on_trouble, None)

    async def _bind(self, *, once: bool) -> None:
        """Make the spool this log's, as soon as it can be written."""
        while not self._stopping:
            try:
                await asyncio.to_thread(self._spool.bind, self._delivery.origin)
                return
            except UnavailableError as error:
                if once:
                    raise
                await self._back_off(error, [], pause=True)

    async def _step(self, *, once: bool) -> bool:
        """Send one batch if there is one; tell whether to go on."""
        batch: list[Item] = []
        try:
            waiting = await asyncio.to_thread(self._spool.batch, self._rested())
            batch = waiting[: self._most]
            if batch:
                await self._send(batch)
                await self._recovered()
                return True
        except SpoolError:
            raise
        except ClientError as error:
            again = not once or (_is_internal(error) and not self._is_late())
            await self._back_off(error, batch, pause=again)
            if not again:
                raise
            return True
        if once and self._resting:
            raise UnavailableError(self.trouble or "", status=_SERVER_ERROR)
        if self._ends and not self._resting:
            return False
        await self._pause(POLL_SECONDS)
        return True

    async def _send(self, batch: Sequence[Item]) -> None:
        """Send a batch; settle all of it that can be settled, then raise for the rest.

        If the process dies after the log committed and before the spool does, the items
        are sent again, under their ids, and the log answers with the same entries.
        """
        done = await self._delivery.deliver(batch)
        if done.settled:
            await asyncio.to_thread(self._spool.settle, done.settled)
            self._progress = time.monotonic()
            # From here on the items are gone and their receipts are on disk.
            self._announce(batch, done)
        if done.error is not None:
            raise done.error

    def _announce(self, batch: Sequence[Item], done: Delivered) -> None:
        for receipt in done.receipts:
            self._call(self._callbacks.on_receipt, receipt)
        items = {each.number: each for each in batch}
        for each in done.settled:
            if each.failure is not None:
                detail = each.failure.detail
                _LOGGER.warning("the log refused item %d: %s", each.number, detail)
                failed = replace(items[each.number], failure=each.failure)
                self._call(self._callbacks.on_failed, failed)

    async def _recovered(self) -> None:
        self._failures = 0
        self._most = min(2 * self._most, _ANY)
        if not self._resting:
            await self._tell(None)

    async def _back_off(
        self, error: ClientError, batch: Sequence[Item], *, pause: bool
    ) -> None:
        if _is_internal(error) and batch:
            # One item may be what the server cannot stand: find it, pass its source.
            self._most = max(len(batch) // 2, 1)
            if len(batch) == 1:
                self._resting[batch[0].source] = time.monotonic() + LONGEST_PAUSE
        await self._tell(str(error))
        if not pause:
            return
        seconds = min(FIRST_PAUSE * 2 ** min(self._failures, 30), LONGEST_PAUSE)
        self._failures += 1
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
        if isinstance(error, UnavailableError) and error.retry_after is not None:
            seconds += error.retry_after
        await self._pause(seconds, wakes=False)

    def _rested(self) -> tuple[str, ...]:
        now = time.monotonic()
        self._resting = {
            source: until for source, until in self._resting.items() if until > now
        }
        return tuple(self._resting)

    def _is_late(self) -> bool:
        return time.monotonic() - self._progress > ONCE_SECONDS

    async def _tell(self, trouble: str | None) -> None:
        text = None if trouble is None else printable(trouble)
        if text == self.trouble:
            return
        self.trouble = text
        if text is not None:
            _LOGGER.warning("%s", text)
        # That it could not be written down is no further trouble.
        with contextlib.suppress(ClientError):
            await asyncio.to_thread(self._spool.note_trouble, text)
        self._call(self._callbacks.on_trouble, text)

    async def _pause(self, seconds: float, *, wakes: bool = True) -> None:
        """Wait so long, or until it is stopped; or, if that `wakes`, woken."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
            self._wake.clear()
            if wakes:
                return

    def _call(self, callback: Callable[[T], object] | None, value: T) -> None:
        if callback is None:
            return
        try:
            callback(value)
        except Exception as error:
            # Not its text, which may hold anything.
            _LOGGER.error("a callback raised %s", type(error).__name__)


def _is_internal(error: ClientError) -> bool:
    return isinstance(error, UnavailableError) and error.status == _SERVER_ERROR
