"""What is fetched, delivered and remembered, round after round.

A round begins some time before the cursor, because records may be stored late or out of
order, and follows the provider's links until a page is empty. Each page is durable in
the log before the cursor moves: if we die in between, the page is fetched again, and
every record is recognised.

While a backlog is read, the cursor stands at the oldest record of the page that was
committed last, so that a record with a date too late cannot carry it over pages that
nobody has read. At the end of a round, where there is nothing more to read, it moves to
the newest record. A date later than the provider's clock, or ours, never moves it.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from provlog.server.delivery import Delivered
from provlog.server.errors import FrozenError, HaltedError, UnavailableError
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.feed import Feed, FetchError, Page
from provlog.server.polling.seen import Seen
from provlog.server.polling.stopping import Stop
from provlog.server.storage.base import DamagedCursorError, StorageError

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
"""How often one page is tried before the round is given up."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How to poll. `first` is where to begin without a cursor (Unix milliseconds).

    `interval` (seconds) lies between two rounds, `overlap` (milliseconds) before the
    cursor. With `once`, one round is all.
    """

    first: int
    interval: float
    overlap: int
    once: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What one page came to, now that it is durable.

    `records` were new to this process, `delivered` is what became of their events, and
    `cursor` is its time in Unix milliseconds, None where the page did not move it.
    """

    records: int
    delivered: Delivered
    cursor: int | None


class Poller:
    """Polls one source.

    `tell` is called for each page with records that are new, and at the end of a round
    that moved the cursor. `deliver` returns once the records it is given are durable;
    `now` is our own clock in Unix milliseconds.
    """

    def __init__(
        self,
        feed: Feed,
        deliver: Callable[[Sequence[bytes]], Awaitable[Delivered]],
        cursor: SourceCursor,
        settings: Settings,
        now: Callable[[], int],
        stop: Stop,
        tell: Callable[[Taken], None],
    ) -> None:
        self._feed = feed
        self._deliver = deliver
        self._cursor = cursor
        self._settings = settings
        self._now = now
        self._stop = stop
        self._tell = tell
        self._seen = Seen()
        self._reached = -1

    async def run(self) -> None:
        """Poll until told to stop, or for one round.

        Raises `ConfigurationError` where an operator has to act, `FrozenError`,
        `HaltedError` and `DamagedCursorError`; and with `once` whatever went wrong
        `ATTEMPTS` times.
        """
        while not self._stop.requested:
            try:
                await self._round()
            except (FrozenError, HaltedError, DamagedCursorError):
                raise
            except (UnavailableError, StorageError) as error:
                if self._settings.once:
                    raise
                logger.error("%s; beginning again from the cursor later", error)
            if self._settings.once:
                return
            await self._stop.wait(self._settings.interval)

    async def _round(self) -> None:
        known = await self._cursor.read()
        since = self._settings.first
        if known is not None:
            since = max(0, known - self._settings.overlap)
        newest, link, followed = -1, None, set[bytes]()
        while (page := await self._take(since, link)) is not None:
            newest = max((newest, *self._believable(page)))
            link = page.next
            if link is None:
                await self._finish(newest, since if known is None else None)
                return
            place = sha256(link.encode()).digest()
            if place in followed:
                raise FetchError("the links from page to page lead in circles")
            followed.add(place)

    async def _finish(self, newest: int, begun: int | None) -> None:
        """Move the cursor to the newest record of a round that came to its end.

        Where it stays, the end of the round is noted there. Without a cursor and a
        record it moves to where the round has `begun`: what a provider that is quiet
        tells after a long time that we are away must not lie before the default.
        """
        moved = newest >= 0 and newest > self._reached
        cursor = await self._cursor.finish(newest if moved else begun)
        if moved and cursor is not None:
            self._reached = cursor
            self._tell(Taken(0, Delivered(), cursor))

    async def _take(self, since: int, link: str | None) -> Page | None:
        """Return a page that is durable, after some attempts; None at a stop."""
        failures = 0
        while not self._stop.requested:
            try:
                page = await self._stop.unless(self._feed.page(since, link))
                if page is not None:
                    await self._commit(page)
                    if page.pause:
                        await self._stop.wait(page.pause)
                return page
            except (FrozenError, HaltedError, DamagedCursorError):
                raise
            except (UnavailableError, StorageError) as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise
                pause = _pause(failures, error)
                logger.warning("%s; trying again in %.1f s", error, pause)
                await self._stop.wait(pause)
        return None

    async def _commit(self, page: Page) -> None:
        fresh = self._seen.unknown(page.records)
        delivered = await self._deliver(fresh) if fresh else Delivered()
        self._seen.add(page.records)
        # If we die here, the records are in the log and the cursor is older: they are
        # fetched again and found there.
        if page.committed is not None:
            page.committed()
        times = self._believable(page) if page.settles else []
        cursor = await self._cursor.advance(min(times)) if times else None
        if fresh:
            self._tell(Taken(len(fresh), delivered, cursor))

    def _believable(self, page: Page) -> list[int]:
        """Return the dates that are not in the future, by either clock."""
        now = self._now() if page.clock is None else min(self._now(), page.clock)
        return [time for time in page.times if time <= now]


def _pause(failures: int, error: Exception) -> float:
    """Return how long to wait; half of it is chance, so that a crowd scatters."""
    asked = error.pause if isinstance(error, FetchError) else None
    if asked is not None:
        return asked
    longest = min(FIRST_PAUSE * float(1 << failures - 1), LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
