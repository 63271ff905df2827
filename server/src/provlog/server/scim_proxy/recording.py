"""Records into the log at once: what is passed on was logged before, durably.

What holds if the process dies:

- before the attempt is durable: nothing was passed on;
- between the attempt and its outcome: the attempt stands alone in the log, pending;
- after the outcome is durable: the caller sees its answer or a broken connection.

An outcome that the log does not take is kept and tried again until the process ends;
its attempt stands already, and the caller gets its answer.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from provlog.server.errors import ServiceError, UnavailableError, describe
from provlog.server.scim_proxy.figures import Figures
from provlog.server.storage.base import StorageError

logger = logging.getLogger(__name__)

Write: TypeAlias = Callable[[bytes], Awaitable[object]]
"""Returns once a record is durable, or raises what `deliver` does; may be repeated."""

MAX_WAITING: Final = 1024
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
CLOSING_SECONDS: Final = 10.0


class Recorder(Protocol):
    """Where the records of changes go."""

    async def attempt(self, record: bytes) -> None:
        """Return when the request may be passed on; else raise `UnavailableError`."""

    async def outcome(self, record: bytes) -> None:
        """Take what became of a request that was passed on; never raises."""

    def refused(self, attempt: bytes, outcome: bytes) -> None:
        """Take both records of a request whose attempt was not taken; never raises.

        It was not passed on.
        """

    def trouble(self) -> str | None:
        """Return why records are not taken as they should be, None where they are."""

    async def close(self) -> None:
        """Bring what waits to where it goes, for a while."""


class LogRecorder:
    """Writes records to the log; `seconds` is how long it may take for one of them.

    `log_trouble` tells why the log takes nothing at all.
    """

    def __init__(
        self,
        write: Write,
        figures: Figures,
        log_trouble: Callable[[], str | None],
        seconds: float,
        most: int = MAX_WAITING,
    ) -> None:
        self._write = write
        self._figures = figures
        self._log_trouble = log_trouble
        self._seconds = seconds
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._retrying: asyncio.Task[None] | None = None
        self._writing: set[asyncio.Task[object]] = set()

    async def attempt(self, record: bytes) -> None:
        """Return once the record is durable; see `Recorder`."""
        await self._write_in_time(record)

    async def outcome(self, record: bytes) -> None:
        """Return once the record is durable, or waits to be tried again."""
        try:
            await self._write_in_time(record)
        except UnavailableError as error:
            logger.error("an outcome is not in the log yet: %s", error)
            self._keep([record], self._most, "no_room")

    def refused(self, attempt: bytes, outcome: bytes) -> None:
        """Keep both: the attempt may have become durable all the same.

        Then it must not look as if something had been passed on; and an outcome without
        its attempt would hide another attempt that has none.
        """
        # Of what was passed on there is as much as can be in hand, and has the room.
        self._keep([attempt, outcome], self._most // 2, "refusal")

    def _keep(self, records: list[bytes], most: int, reason: str) -> None:
        if len(self._waiting) + len(records) > most:
            self._figures.unrecorded(reason)
            return
        self._waiting += records
        self._figures.waiting.set(len(self._waiting))
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    def trouble(self) -> str | None:
        """See `Recorder`."""
        found = self._log_trouble()
        if found is None and self._waiting:
            return f"{len(self._waiting)} records are not in the log yet"
        return found

    async def close(self) -> None:
        """Try what waits for `CLOSING_SECONDS`, then say how many records are lost."""
        if self._retrying is not None:
            await asyncio.wait({self._retrying}, timeout=CLOSING_SECONDS)
            self._retrying.cancel()
            with suppress(asyncio.CancelledError):
                await self._retrying
        if self._waiting:
            self._figures.unrecorded("stopped", len(self._waiting))
            logger.error(
                "stopped with %d records that are not in the log (see the metrics)",
                len(self._waiting),
            )

    async def _write_in_time(self, record: bytes) -> None:
        """Write a record; after `seconds` it may become durable, or not.

        A submission that the log took is not taken back by whoever waits no longer.
        """
        task = asyncio.ensure_future(self._write(record))
        self._writing.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=self._seconds)
        if not done:
            raise UnavailableError("the log did not answer in time")
        try:
            await task
        except (ServiceError, StorageError) as error:
            raise UnavailableError(str(error)) from None
        except OSError as error:
            raise UnavailableError(error.strerror or "the log failed") from None
        except Exception as error:
            logger.error("a record could not be written: %s", describe(error))
            raise UnavailableError("the record could not be written") from None

    def _forget(self, task: "asyncio.Task[object]") -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()

    async def _retry(self) -> None:
        pause = FIRST_PAUSE
        while self._waiting:
            record = self._waiting[0]
            try:
                await self._write_in_time(record)
            except UnavailableError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            self._waiting.popleft()
            self._figures.waiting.set(len(self._waiting))
        logger.warning("all that waited is in the log")
