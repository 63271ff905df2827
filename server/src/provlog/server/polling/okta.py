"""Okta's System Log API, as a feed.

`GET /api/v1/logs` without `until` is what Okta calls a polling request: every answer,
an empty one too, has a link to what comes next, and `since` is compared with the time a
record was stored at, which is never before the `published` it carries. Okta keeps 90
days; what is asked for before that begins there.
"""

from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlencode

import msgspec
from yarl import URL

from provlog.merkle.encoding import format_time
from provlog.server.intake.records import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from provlog.server.polling.feed import Feed, FetchError, Page
from provlog.server.polling.fetching import (
    ANSWER_SECONDS,
    Answer,
    Fetcher,
    TooLargeError,
)
from provlog.server.polling.kinds import FeedKind
from provlog.server.polling.pages import cut_page, dated
from provlog.server.polling.tokens import read_token
from provlog.server.source_settings import SourceSettings

PATH: Final = "/api/v1/logs"
LARGEST_LIMIT: Final = MAX_BATCH_EVENTS
MAX_QUERY: Final = 4096


class OktaPoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[poll]`: the organisation's URL, and the file of a token."""

    url: str
    token_file: str


class OktaFeed:
    """The System Log of one Okta organisation.

    `url` is the organisation's, `token` returns an API token (sent as `SSWS`), or a
    scheme and a token, as in `Bearer eyJ…`.
    """

    def __init__(
        self, url: str, token: Callable[[], str], seconds: float = ANSWER_SECONDS
    ) -> None:
        self._fetcher = Fetcher(url, lambda: authorization(token()), seconds)
        self._limit = LARGEST_LIMIT

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page; see `Feed.page`. A link is the query of the next page."""
        while True:
            query = _query(since, link, self._limit)
            try:
                answer = await self._fetcher.get(PATH, query, MAX_BATCH_BYTES)
                records = await cut_page(answer.body)
            except TooLargeError:
                # Of large records fewer are asked for, until the page can be taken.
                if self._limit == 1:
                    raise
                self._limit = max(1, self._limit // 2)
                continue
            self._limit = min(LARGEST_LIMIT, 2 * self._limit)
            return self._page(records, answer)

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()

    def _page(self, records: list[bytes], answer: Answer) -> Page:
        dates = [dated(record, "published") for record in records]
        times = [time for time in dates if time is not None]
        # There is always a link; behind an empty page there is nothing yet.
        origin = self._fetcher.origin
        following = next_query(answer.next, origin) if records else None
        return Page(records, times, following, answer.clock, answer.pause)


def authorization(token: str) -> str:
    """Return the value of the header: `SSWS` unless the token names its scheme."""
    return token if " " in token else f"SSWS {token}"


def next_query(links: tuple[URL, ...], origin: URL) -> str:
    """Return the query of the one link to the next page.

    Raises `FetchError` where there is not exactly one, or where it leads anywhere but
    to the same path of the same origin.
    """
    if len(links) != 1:
        raise FetchError(f"a page has {len(links)} links to the next one, not one")
    [url] = links
    elsewhere = (url.scheme, url.host, url.port) != (
        origin.scheme,
        origin.host,
        origin.port,
    )
    if elsewhere or url.user is not None or url.password is not None:
        raise FetchError("the link to the next page leads to another server")
    if url.raw_path != PATH or url.fragment:
        raise FetchError("the link to the next page leads to another resource")
    query = url.raw_query_string
    if not 1 <= len(query) <= MAX_QUERY or "after" not in url.query:
        raise FetchError("the link to the next page has no place to go on from")
    return query


def _query(since: int, link: str | None, limit: int) -> str:
    if link is not None:
        return URL(f"?{link}", encoded=True).update_query(limit=limit).raw_query_string
    return urlencode(
        {"since": format_time(since), "sortOrder": "ASCENDING", "limit": limit}
    )


def _make(poll: OktaPoll, settings: SourceSettings) -> Feed:
    path = settings.file(poll.token_file)
    read_token(path)
    return OktaFeed(poll.url, partial(read_token, path))


KIND: Final = FeedKind(OktaPoll, _make)
