"""`Outbox`: what programs put events into."""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from provlog.client.answers import Receipt
from provlog.client.errors import UnavailableError, UsageError
from provlog.client.memory import Memory
from provlog.client.outbox import views
from provlog.client.outbox.delivery import Delivery, OutboxClient
from provlog.client.outbox.items import (
    Item,
    Status,
    StoredReceipt,
    event_item,
    record_items,
)
from provlog.client.outbox.sender import Callbacks, Sender
from provlog.client.outbox.spool import MAX_BYTES, MAX_EVENTS, Spool
from provlog.merkle.encoding import JsonValue
from provlog.merkle.trust import Trust

Event = Mapping[str, JsonValue]

_LOGGER = logging.getLogger("provlog.client.outbox")

POLL_SECONDS = 0.05
PATIENCE = 10.0
STOP_SECONDS = 10.0
ENDING_SECONDS = 1.0


class Outbox:
    """Events on disk at once, and in the log as soon as it can be reached.

    `path` is a file of this outbox's own, made if it is missing; beside it stand its
    journal and its locks. With `url` and `trust` (the other arguments are those of
    `Client`) this object also sends, from a thread that `start` or entering the context
    begins; without them it only takes, and another process sends, such as
    `provlog spool run`.

    **Durability.** `put`, `put_many` and `put_records` return when the events are on
    disk, flushed; they raise and keep nothing where there is no room (`max_events` and
    `max_bytes`, or the disk: `OutboxFullError`) or the file is damaged (`SpoolError`).
    An event has its id from then on: sent twice, it is one entry.

    **Concurrency.** Threads may share one object, processes one file. One process at a
    time sends; should it die, another takes over. Not across a fork: make it after.

    **Order.** Events of one source reach the log in the order of their puts, unless one
    was refused and is retried later.

    **Numbers.** With `numbered` each event without an `id` and a `sequence` of its own
    gets the next number of its source in this file, so that `provlog gaps` sees which
    ones are missing in the log.

    **Retries.** Without end, with pauses of up to a minute or as the log asks. What the
    log refuses for good (409, 410, 422 and so on) waits for a person: see `failed`,
    `retry` and `drop`. A refusal that is about the token or the log keeps everything
    waiting and is told as trouble. When the log misbehaves, sending ends: `flush` and
    `close` raise the `MerkleError`, and `put` goes on taking.
    """

    def __init__(
        self,
        path: Path | str,
        url: str | None = None,
        trust: Trust | None = None,
        *,
        log: str = "main",
        token: str | None = None,
        memory: Memory | None = None,
        timeout: float = 30.0,
        insecure: bool = False,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        numbered: bool = False,
        on_receipt: Callable[[Receipt], object] | None = None,
        on_failed: Callable[[Item], object] | None = None,
        on_trouble: Callable[[str | None], object] | None = None,
    ) -> None:
        if (url is None) != (trust is None):
            raise UsageError("an outbox that sends needs both url and trust")
        self._connect: Callable[[], OutboxClient] | None = None
        self._origin = ""
        if url is not None and trust is not None:
            self._origin = trust.origin
            self._connect = functools.partial(
                OutboxClient,
                url,
                trust,
                log=log,
                token=token,
                memory=memory,
                timeout=timeout,
                patience=PATIENCE,
                insecure=insecure,
            )
            self._connect()  # what cannot work is found out now
        self._callbacks = Callbacks(on_receipt, on_failed, on_trouble)
        self.spool = Spool(
            path, max_events=max_events, max_bytes=max_bytes, numbered=numbered
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._ended: BaseException | None = None

    def put(self, event: Event) -> str:
        """Keep one event, a CloudEvent 1.0 as a mapping, and return its id.

        An event without `id` gets one (UUID 4), and a `time` if it has none either: the
        log may see it days later. One with an `id` of its own should have a `time` too,
        the same whenever it is put again. Raises `UsageError` for what can be no
        event; all else is the log's to judge.
        """
        item = event_item(event)
        self._put([item])
        return item.id or ""

    def put_many(self, events: Iterable[Event]) -> list[str]:
        """Keep all of the events or none, in one commit, and return their ids."""
        items = [event_item(each) for each in events]
        self._put(items)
        return [each.id or "" for each in items]

    def put_records(
        self,
        raw: bytes,
        *,
        format: str,  # noqa: A002  the API's name for it
        source: str,
    ) -> None:
        """Keep a provider's records, all or none: the log makes events of them.

        `raw` is one record, lines or a JSON array, as in `Client.submit_records`.
        """
        self._put(list(record_items(raw, format, source)))

    put_record = put_records

    def status(self) -> Status:
        """Return what is in the outbox, whoever put it there."""
        return views.read_status(self.spool)

    def failed(self) -> list[Item]:
        """Return what the log refused for good, the oldest 500 at most."""
        return views.read_failed(self.spool)

    def retry(self, numbers: Sequence[int] | None = None) -> int:
        """Send failed items again, all or those of these numbers; return how many."""
        count = views.retry(self.spool, numbers)
        self._wake()
        return count

    def drop(self, numbers: Sequence[int] | None = None) -> int:
        """Remove failed items for good; return how many."""
        return views.drop(self.spool, numbers)

    def receipts(self, source: str, event_id: str) -> list[StoredReceipt]:
        """Return the kept receipts of an event: none before it is in the log."""
        return views.find_receipts(self.spool, source, event_id)

    def move_receipts(self, folder: Path | str, *, remove: bool = True) -> int:
        """Write the kept receipts into a folder; return how many there were.

        Each becomes ``<index>.receipt.json``. With `remove` they leave the outbox, once
        their files are on disk.
        """
        return views.move_receipts(self.spool, Path(folder), remove=remove)

    def start(self) -> None:
        """Begin to send, unless that was done."""
        if self._connect is None or self._thread is not None:
            return
        ready = threading.Event()
        self._ended = None
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="provlog outbox", daemon=True
        )
        self._thread.start()
        ready.wait()

    def flush(self, timeout: float | None = None) -> None:
        """Return once nothing waits of what was put so far; who sends does not matter.

        What failed does not count as waiting. Raises `UnavailableError` after `timeout`
        seconds, and what ended the sending.
        """
        last = views.last_waiting(self.spool)
        until = None if timeout is None else time.monotonic() + timeout
        while last is not None and views.is_waiting(self.spool, last):
            self._require_sending()
            if until is not None and time.monotonic() >= until:
                trouble = views.read_status(self.spool).trouble
                raise UnavailableError(trouble or "events still wait for the log")
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End sending, after what is under way, and close the file.

        What waits stays in the file. Raises what ended the sending before.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._on_loop(lambda sender: sender.stop())
            thread.join(STOP_SECONDS)
            if thread.is_alive():
                # An answer is late: what was sent is sent again some time.
                self._on_loop(lambda sender: sender.cancel())
                thread.join()
        self.spool.close()
        self._require_sending()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:
                raise

    def _put(self, items: Sequence[Item]) -> None:
        if items:
            self.spool.put(items)
            self._wake()

    def _wake(self) -> None:
        self._on_loop(lambda sender: sender.wake())

    def _on_loop(self, call: Callable[[Sender], None]) -> None:
        loop, sender = self._loop, self._sender
        if loop is not None and sender is not None:
            try:
                loop.call_soon_threadsafe(call, sender)
            except RuntimeError:
                # It ended this moment. What was put is on disk.
                return

    def _require_sending(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _run(self, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(self._send(ready))
        except asyncio.CancelledError:
            return  # an answer was late when it was closed
        except BaseException as error:
            if isinstance(error, RuntimeError) and _is_ending():
                return  # the program left it open: nothing is lost by that
            # Not its text, which may hold anything.
            _LOGGER.critical("the outbox sends no more (%s)", type(error).__name__)
            self._ended = error
        finally:
            self._loop = None
            ready.set()

    async def _send(self, ready: threading.Event) -> None:
        assert self._connect is not None  # noqa: S101  start() looked
        async with self._connect() as client:
            delivery = Delivery(client, self._origin, self.spool.path)
            self._sender = Sender(self.spool, delivery, self._callbacks)
            self._loop = asyncio.get_running_loop()
            ready.set()
            await self._sender.run()


def _is_ending() -> bool:
    """Tell whether the interpreter ends: no work can be given to threads any more.

    It refuses work a moment before the main thread counts as ended.
    """
    main = threading.main_thread()
    main.join(ENDING_SECONDS)
    return not main.is_alive()
