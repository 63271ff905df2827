"""JumpCloud's Directory Insights API, as a feed: what is dated from a moment on.

`POST /insights/directory/v1/events` with `start_time`, the services and a limit answers
with an array, oldest first. The header `X-Search_after` leads to what follows, and is
there on the last page as well: a page is the last one when it holds fewer events than
were asked for. The key is sent in the header `x-api-key`.

JumpCloud keeps events for 90 days. How late one may be stored it does not say: a round
begins `OVERLAP` before the cursor.

Source: JumpCloud's documentation of the Directory Insights API.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from provlog.merkle.encoding import JsonValue, format_time, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
)
from provlog.server.polling.feed import Feed, FetchError, Page
from provlog.server.polling.fetching import (
    ANSWER_SECONDS,
    Answer,
    Fetcher,
    TooLargeError,
)
from provlog.server.polling.kinds import FeedKind
from provlog.server.polling.pages import cut_page, dated
from provlog.server.source_settings import SourceSettings

URL: Final = "https://api.jumpcloud.com"
PATH: Final = "/insights/directory/v1/events"
KEY_HEADER: Final = "x-api-key"
SEARCH_AFTER: Final = "X-Search_after"
OVERLAP: Final = "1h"
LARGEST_LIMIT: Final = MAX_BATCH_EVENTS
MAX_MARK: Final = 4096

_Service = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,62}$")]


class JumpCloudPoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[poll]`: the file with the API key, and of which services to ask."""

    key_file: str
    services: Annotated[list[_Service], msgspec.Meta(min_length=1, max_length=20)] = (
        msgspec.field(default_factory=lambda: ["directory"])
    )
    url: str = URL


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is: since when (Unix milliseconds), and behind which mark."""

    start: int
    mark: str = ""

    @classmethod
    def parse(cls, link: str) -> "Place":
        """Return what a link stands for; `FetchError` for one that is not ours."""
        start, _, mark = link.partition(".")
        try:
            return cls(int(start), mark)
        except ValueError:
            raise FetchError("a link leads to no page") from None

    def link(self) -> str:
        """Return the link of the page."""
        return f"{self.start}.{self.mark}"


class JumpCloudFeed:
    """The events of some services of one organization."""

    def __init__(self, fetcher: Fetcher, services: list[str]) -> None:
        self._fetcher = fetcher
        self._services = services
        self._limit = LARGEST_LIMIT

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page; see `Feed.page`."""
        place = Place(since) if link is None else Place.parse(link)
        answer, records, limit = await self._fetch(place)
        following = None
        if len(records) >= limit:
            following = Place(place.start, read_mark(answer.headers))
            if following == place:
                raise FetchError("a page leads to itself")
        dates = [dated(record, "timestamp") for record in records]
        times = [moment for moment in dates if moment is not None]
        return Page(
            records,
            times,
            None if following is None else following.link(),
            answer.clock,
            answer.pause,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()

    async def _fetch(self, place: Place) -> tuple[Answer, list[bytes], int]:
        """Return a page and how many events were asked for."""
        while True:
            limit = self._limit
            body = self._query(place, limit)
            try:
                answer = await self._fetcher.post(
                    PATH, body, "application/json", MAX_BATCH_BYTES
                )
                records = await cut_page(answer.body)
            except TooLargeError:
                # Of large records fewer are asked for, until the page can be taken.
                if limit == 1:
                    raise
                self._limit = max(1, limit // 2)
                continue
            self._limit = min(LARGEST_LIMIT, 2 * limit)
            return answer, records, limit

    def _query(self, place: Place, limit: int) -> bytes:
        query: dict[str, JsonValue] = {
            "service": [*self._services],
            "start_time": format_time(place.start),
            "sort": "ASC",
            "limit": limit,
        }
        if place.mark:
            query["search_after"] = loads_json(place.mark)
        return json.dumps(query).encode()


def read_mark(headers: Mapping[str, str]) -> str:
    """Return where the next page begins: a JSON array, as it is sent back.

    Raises `FetchError` where the answer does not tell.
    """
    text = headers.get(SEARCH_AFTER, "")
    try:
        value = loads_json(text if len(text) <= MAX_MARK else "")
    except MalformedError:
        value = None
    if not isinstance(value, list) or not value:
        raise FetchError("a page does not tell where the next one begins")
    return json.dumps(value)


def _make(poll: JumpCloudPoll, settings: SourceSettings) -> Feed:
    # The key is read anew for each request, so that it can be replaced at any time.
    fetcher = Fetcher(
        poll.url,
        lambda: settings.secret(poll.key_file),
        ANSWER_SECONDS,
        header=KEY_HEADER,
    )
    return JumpCloudFeed(fetcher, [*dict.fromkeys(poll.services)])


KIND: Final = FeedKind(JumpCloudPoll, _make, OVERLAP)
