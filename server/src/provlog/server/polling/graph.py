"""A log of Microsoft Graph's, read page after page.

A page is an object with the records in `value`, and in `@odata.nextLink` the URL of
the next one, as long as there is one; a page may be empty and not be the last. That
URL's query is opaque: it is sent back as it came, and never with another `$top`. So
where a page is too large to be taken, the log is read anew, by smaller pages, from the
newest record of the page before.

Sources: Microsoft's "Paging Microsoft Graph data" and "Microsoft Graph throttling
guidance".
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from yarl import URL

from provlog.merkle.encoding import JsonValue, format_time, loads_json, parse_time
from provlog.merkle.errors import MalformedError
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    WINDOW,
    cut_array,
    find_members,
)
from provlog.server.intake.times import normalise_time
from provlog.server.polling.feed import FetchError, Page
from provlog.server.polling.fetching import Answer, Fetcher, TooLargeError

LARGEST_TOP: Final = 500
MAX_LINK: Final = 16 << 10
DATE: Final = "activityDateTime"
_MEMBERS: Final = ("value", "@odata.nextLink")
_TEXT = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Log:
    """Where a log is, and how it is asked for what is dated from a moment on.

    `comparison` is the one that the log knows for dates, `ge` or `gt`.
    """

    path: str
    comparison: str


class GraphFeed:
    """One log of Graph's, by its dates; see the module.

    `oldest` returns from when on the log may be asked for, in Unix milliseconds. A link
    is a time to begin anew at, and the query of the next page.
    """

    def __init__(self, fetcher: Fetcher, log: Log, oldest: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._log = log
        self._oldest = oldest
        self._top = LARGEST_TOP

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page; see `Feed.page`. It settles if its dates are in order."""
        begun, query = _parse(link) if link else (max(since, self._oldest()), "")
        top = self._top
        while True:
            asked = query or self._query(begun)
            try:
                answer = await self._fetcher.get(self._log.path, asked, MAX_BATCH_BYTES)
                records, following = await self._read(answer)
            except TooLargeError:
                if self._top == 1:
                    raise
                self._top = max(1, self._top // 2)
                query = ""
                continue
            if link is None and top == self._top:
                # At a round's beginning alone: within one there is no end of reading
                # anew unless pages only become smaller.
                self._top = min(LARGEST_TOP, 2 * self._top)
            return _page(answer, records, begun, following)

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()

    def _query(self, since: int) -> str:
        # Where only "later than" is known, a millisecond before is later than enough.
        first = since if self._log.comparison == "ge" else max(0, since - 1)
        parameters = {
            "$filter": f"{DATE} {self._log.comparison} {format_time(first)}",
            "$orderby": f"{DATE} asc",
            "$top": self._top,
        }
        return urlencode(parameters, quote_via=quote, safe="$:")

    async def _read(self, answer: Answer) -> tuple[list[bytes], str | None]:
        try:
            found = await _members(answer.body, _MEMBERS)
            if "value" not in found:
                raise FetchError("a page has no records in it, not even none")
            records = await _cut(found["value"])
        except EventError as error:
            kind = TooLargeError if error.status == 413 else FetchError
            raise kind(f"a page cannot be read: {error.detail}") from None
        if not all(record.startswith(b"{") for record in records):
            raise FetchError("a page holds something else than records")
        link = _json(found.get("@odata.nextLink", b"null"))
        if link is None:
            return records, None
        return records, next_query(link, self._fetcher.origin, self._log.path)


def next_query(link: JsonValue, origin: URL, path: str) -> str:
    """Return the query of the link to the next page, exactly as it stands there.

    Raises `FetchError` where it leads anywhere but to the same path of the same origin,
    or has no place to go on from.
    """
    fits = isinstance(link, str) and len(link) <= MAX_LINK and _TEXT.fullmatch(link)
    try:
        url = URL(str(link) if fits else "", encoded=True)
        there = (url.scheme, url.host, url.port, url.user, url.password)
    except ValueError:
        raise FetchError("the link to the next page is no URL") from None
    if there != (origin.scheme, origin.host, origin.port, None, None):
        raise FetchError("the link to the next page leads to another server")
    if url.raw_path.lower() != path.lower() or url.raw_fragment:
        raise FetchError("the link to the next page leads to another resource")
    query = url.raw_query_string
    if not any(name.lower().startswith("$skip") for name, _ in parse_qsl(query)):
        raise FetchError("the link to the next page has no place to go on from")
    return query


def dated(record: bytes) -> int | None:
    """Return when Graph dates a record, in Unix milliseconds, None if unreadable."""
    try:
        value = loads_json(record if len(record) <= WINDOW else b"")
        text = value.get(DATE) if isinstance(value, dict) else None
        time = parse_time(normalise_time(str(text), zoneless_is_utc=True))
    except (MalformedError, ValueError):
        return None
    return time if time >= 0 else None


def _page(
    answer: Answer, records: list[bytes], begun: int, following: str | None
) -> Page:
    times = [time for time in map(dated, records) if time is not None]
    in_order = [begun, *times] == sorted([begun, *times])
    if following is not None:
        following = f"{times[-1] if in_order and times else begun}?{following}"
    return Page(records, times, following, answer.clock, answer.pause, settles=in_order)


def _parse(link: str) -> tuple[int, str]:
    begun, _, query = link.partition("?")
    return int(begun), query


def _json(data: bytes) -> JsonValue:
    try:
        return loads_json(data)
    except MalformedError:
        raise FetchError("the link to the next page is no text") from None


async def _members(body: bytes, names: Sequence[str]) -> dict[str, bytes]:
    finding = find_members(body, names)
    while True:
        try:
            next(finding)
        except StopIteration as found:
            return dict(found.value)
        await asyncio.sleep(0)


async def _cut(array: bytes) -> list[bytes]:
    """Return a page's records as they stand in it, all of them or none."""
    records: list[bytes] = []
    for step in cut_array(array, MAX_BATCH_EVENTS):
        records += step
        await asyncio.sleep(0)
    return records
