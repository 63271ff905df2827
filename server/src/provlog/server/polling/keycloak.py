"""Keycloak's events by its admin API, as a feed: those of administrators, and of users.

`GET /admin/realms/{realm}/admin-events` hands out what the realm stores, the newest
first, by place: `first` and `max`. Only newer versions read a time in milliseconds or
another direction (26.2); so pages are read from the newest on until one is older than
what was asked for, as every version does.

Events that arrive meanwhile stand before those that were read and move these behind the
next page's beginning: they come twice, and none is passed over. Nor is one passed over
that shares its millisecond with others, which have no order among them: a page begins
where the oldest millisecond of the one before began.

Keycloak stores no events unless told to, and keeps them as long as the realm says.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.connectors.keycloak import LATEST_TIME
from provlog.server.intake.records import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, WINDOW
from provlog.server.polling.feed import Feed, FetchError, Page, UnfitError
from provlog.server.polling.fetching import (
    ANSWER_SECONDS,
    Answer,
    Fetcher,
    TooLargeError,
)
from provlog.server.polling.kinds import FeedKind
from provlog.server.polling.oauth import AccessToken
from provlog.server.polling.pages import cut_page
from provlog.server.polling.streams import Streams
from provlog.server.source_settings import SourceSettings

FIRST_PAGE: Final = 100
LARGEST_PAGE: Final = MAX_BATCH_EVENTS
MAX_PLACE: Final = 2**31 - 1
MAX_NAME: Final = 255
MAX_TYPES: Final = 100

_BASE = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", re.ASCII)
_TYPE = re.compile(r"[A-Z0-9_]{1,64}", re.ASCII)
_PLACE = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


class KeycloakPoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[poll]`: where Keycloak is, which realm, and as which client.

    `path` is what stands before `/admin` in its addresses. The client is one of
    `client_realm`, by default of the realm itself. `user_events` are the types of user
    events to fetch besides the admin events.
    """

    url: str
    realm: str
    client_id: str
    client_secret_file: str
    path: str = ""
    client_realm: str | None = None
    user_events: tuple[str, ...] = ()


class EventsFeed:
    """One of the lists of events of a realm, the newest first.

    `query` are parameters that every request has.
    """

    def __init__(
        self, fetcher: Fetcher, path: str, query: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._fetcher = fetcher
        self._path = path
        self._query = tuple(query)
        self._most = LARGEST_PAGE

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page; see `Feed.page`. A link is the place the page begins at."""
        first = _place(link)
        while True:
            # Most rounds find little that is new.
            most = self._most if link else min(self._most, FIRST_PAGE)
            query = urlencode((*self._query, ("first", first), ("max", most)))
            try:
                answer = await self._fetcher.get(self._path, query, MAX_BATCH_BYTES)
                records = await cut_page(answer.body)
            except TooLargeError:
                # Of large records fewer are asked for, until the page can be taken.
                if most == 1:
                    raise
                self._most = max(1, most // 2)
                continue
            self._most = min(LARGEST_PAGE, 2 * self._most)
            return _page(records, answer, first, since)

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()


class KeycloakFeed(Streams):
    """The events of one realm, fetched as one client."""

    def __init__(
        self,
        poll: KeycloakPoll,
        settings: SourceSettings,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        _require_fitting(poll)
        tokens = Fetcher(poll.url, lambda: "", seconds)
        client_realm = poll.realm if poll.client_realm is None else poll.client_realm
        self._token = AccessToken(
            tokens,
            f"{poll.path}/realms/{_quoted(client_realm)}/protocol/openid-connect/token",
            lambda: {
                "grant_type": "client_credentials",
                "client_id": poll.client_id,
                "client_secret": settings.secret(poll.client_secret_file),
            },
        )
        fetcher = Fetcher(poll.url, self._token.header, seconds, self._token.forget)
        base = f"{poll.path}/admin/realms/{_quoted(poll.realm)}"
        feeds = [EventsFeed(fetcher, f"{base}/admin-events")]
        if poll.user_events:
            types = [("type", each) for each in poll.user_events]
            feeds.append(EventsFeed(fetcher, f"{base}/events", types))
        super().__init__(feeds)

    async def close(self) -> None:
        """Close all connections."""
        await super().close()
        await self._token.close()


def _page(records: list[bytes], answer: Answer, first: int, since: int) -> Page:
    dates = [dated(record) for record in records]
    times = [date for date in dates if date is not None]
    done = not records or (bool(times) and min(times) < since)
    following = None if done else str(first + step_of(dates))
    return Page(records, times, following, answer.clock, answer.pause, settles=False)


def step_of(dates: Sequence[int | None]) -> int:
    """Return how many records to go on from the beginning of a page, at least one.

    A page may end amid the records of one millisecond: the next one begins with the
    first of these, unless the whole page is of that one.
    """
    if dates[-1] is None:
        return len(dates)
    return dates.index(dates[-1]) or len(dates)


def dated(record: bytes) -> int | None:
    """Return when Keycloak dates a record, in Unix milliseconds, None if not at all."""
    try:
        value: JsonValue = loads_json(record if len(record) <= WINDOW else b"")
    except MalformedError:
        return None
    time = value.get("time") if isinstance(value, dict) else None
    if isinstance(time, bool) or not isinstance(time, int):
        return None
    return time if 0 <= time <= LATEST_TIME else None


def _place(link: str | None) -> int:
    if link is None:
        return 0
    if _PLACE.fullmatch(link) is None or int(link) > MAX_PLACE:
        raise FetchError("the next page begins nowhere")
    return int(link)


def _quoted(realm: str) -> str:
    return quote(realm, safe="")


def _require_fitting(poll: KeycloakPoll) -> None:
    """Raise `UnfitError` for what cannot stand in an address."""
    for name in ("realm", "client_realm", "client_id"):
        value = getattr(poll, name)
        # Between slashes, one or two dots would lead elsewhere.
        if value is not None and not (1 <= len(value) <= MAX_NAME and value.strip(".")):
            raise UnfitError(f"{name} is no name")
    if _BASE.fullmatch(poll.path) is None:
        raise UnfitError("path is not of the form /auth")
    fits = all(_TYPE.fullmatch(each) for each in poll.user_events)
    if not fits or len(poll.user_events) > MAX_TYPES:
        raise UnfitError(
            "user_events holds something else than types, such as REGISTER"
        )


def _make(poll: KeycloakPoll, settings: SourceSettings) -> Feed:
    settings.secret(poll.client_secret_file)
    return KeycloakFeed(poll, settings)


KIND: Final = FeedKind(KeycloakPoll, _make)
