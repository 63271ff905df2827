"""Several streams of one provider as one feed: each is read to its end, in turn.

The cursor is one for all of them. So only pages of the last stream move it before the
end of a round, and no page moves it beyond the moment at which the first stream was
asked: what the provider dates later may be in a stream that was read already. Where
the provider does not tell its time, that moment is taken from our own clock.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from provlog.server.polling.feed import Feed, FetchError, Page


class Streams:
    """A feed of several; a link is the number of a stream and that stream's link.

    `now` is our own clock in Unix milliseconds.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._feeds = feeds
        self._now = now
        self._began: int | None = None

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page of the stream whose turn it is; see `Feed.page`."""
        place, inner = _parse(link, len(self._feeds))
        asked = self._now()
        page = await self._feeds[place].page(since, inner)
        if link is None:
            self._began = asked if page.clock is None else page.clock
        return replace(
            page,
            next=self._following(place, page.next),
            clock=_earlier(self._began, page.clock),
            settles=page.settles and place == len(self._feeds) - 1,
        )

    async def close(self) -> None:
        """Close the connections of all."""
        for feed in self._feeds:
            await feed.close()

    def _following(self, place: int, link: str | None) -> str | None:
        if link is not None:
            return f"{place}:{link}"
        return f"{place + 1}:" if place + 1 < len(self._feeds) else None


def _parse(link: str | None, count: int) -> tuple[int, str | None]:
    place, _, inner = (link or "0:").partition(":")
    if place not in map(str, range(count)):
        raise FetchError("a link leads to no stream")
    return int(place), inner or None


def _earlier(one: int | None, other: int | None) -> int | None:
    known = [each for each in (one, other) if each is not None]
    return min(known, default=None)
