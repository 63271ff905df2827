"""Google's Reports API, as a feed: the activities of some applications.

`GET …/activity/users/all/applications/{application}` with `startTime`, and `endTime` if
need be, gives what Google dates in between in pages of up to 1,000, the newest first,
that `nextPageToken` links. So a backlog is read in windows of a day, the oldest first,
all applications in each of them: a window that was read to its end moves the cursor to
its end. What is newer than `MARGIN` is the last window; it is open, and there only the
end of the round moves the cursor.

Google has the activities of administrators within minutes and those of other
applications within hours, and says that some are later still ("Data retention and lag
times"): a round begins `OVERLAP` before the cursor. It keeps 180 days.

An account of a service asks for access tokens, and acts for an administrator who may
read reports, by domain-wide delegation.

Source: Google's "Reports API" reference, `activities.list`, and "Limits and quotas".
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec

from provlog.merkle.encoding import format_time
from provlog.server.intake.records import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from provlog.server.polling.feed import Feed, FetchError, Page
from provlog.server.polling.fetching import (
    ANSWER_SECONDS,
    Answer,
    Fetcher,
    TooLargeError,
)
from provlog.server.polling.google_pages import dated, is_rate_limit, read_page
from provlog.server.polling.kinds import FeedKind
from provlog.server.polling.oauth import AccessToken
from provlog.server.polling.service_accounts import (
    GRANT,
    ServiceKey,
    parse_service_key,
    split_token_url,
)
from provlog.server.source_settings import SourceSettings

URL: Final = "https://admin.googleapis.com"
PATH: Final = "/admin/reports/v1/activity/users/all/applications/"
SCOPE: Final = "https://www.googleapis.com/auth/admin.reports.audit.readonly"
APPLICATIONS: Final = ("admin", "groups_enterprise", "user_accounts")
OVERLAP: Final = "6h"
WINDOW_MS: Final = 86_400_000
MARGIN: Final = 3_600_000
"""How long ago, in milliseconds, a window has to have ended that is not the last."""
SEAM: Final = 1000
"""By how many milliseconds windows overlap: nothing says to which an edge belongs."""
LARGEST_LIMIT: Final = MAX_BATCH_EVENTS

_Application = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,62}$")]


class GooglePoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[poll]`: the key file of a service's account, and for whom it acts.

    `subject` is the address of the administrator. `token_url` goes before the one that
    the key file names.
    """

    key_file: str
    subject: Annotated[str, msgspec.Meta(min_length=1)]
    applications: Annotated[
        list[_Application], msgspec.Meta(min_length=1, max_length=20)
    ] = msgspec.field(default_factory=lambda: [*APPLICATIONS])
    url: str = URL
    token_url: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is: in which window, of which application, behind which token.

    Times are Unix milliseconds; the last window has no end.
    """

    start: int
    end: int | None
    application: int = 0
    token: str = ""

    @classmethod
    def first(cls, start: int, now: int) -> "Place":
        """Return the beginning of the window that begins at a time."""
        end = start + WINDOW_MS
        return cls(start, end if end <= now - MARGIN else None)

    @classmethod
    def parse(cls, link: str) -> "Place":
        """Return what a link stands for; `FetchError` for one that is not ours."""
        try:
            start, end, application, token = link.split(".", 3)
            return cls(int(start), int(end) if end else None, int(application), token)
        except ValueError:
            raise FetchError("a link leads to no page") from None

    def link(self) -> str:
        """Return the link of the page."""
        end = "" if self.end is None else self.end
        return f"{self.start}.{end}.{self.application}.{self.token}"

    def query(self, limit: int) -> str:
        """Return the query of the request for at most `limit` activities."""
        query = {"startTime": format_time(self.start), "maxResults": str(limit)}
        if self.end is not None:
            query["endTime"] = format_time(self.end)
        # The page of a token belongs to the query that it was given for.
        return urlencode(query | ({"pageToken": self.token} if self.token else {}))


class GoogleFeed:
    """The activities of some applications of one domain.

    `token` is what the fetcher authorises itself with; both are closed with the feed.
    """

    def __init__(
        self, fetcher: Fetcher, token: AccessToken, applications: Sequence[str]
    ) -> None:
        self._fetcher = fetcher
        self._token = token
        self._applications = applications
        self._limit = LARGEST_LIMIT
        self._began: int | None = None

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page; see `Feed.page`."""
        place = Place.first(since, _now()) if link is None else Place.parse(link)
        asked = _now()
        answer, records, token = await self._fetch(place)
        if place.application == 0 and not place.token:
            self._began = asked if answer.clock is None else answer.clock
        following = self._following(place, token)
        times = [moment for moment in map(dated, records) if moment is not None]
        ends = following is None or following.start != place.start
        if ends and place.end is not None:
            # All applications have been read up to there.
            times = [place.end]
        return Page(
            records,
            times,
            None if following is None else following.link(),
            # What is dated later may be in an application that was read already.
            min(filter(None, (self._began, answer.clock)), default=None),
            answer.pause,
            settles=ends and place.end is not None,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()
        await self._token.close()

    def _following(self, place: Place, token: str) -> Place | None:
        if token:
            return replace(place, token=token)
        if place.application + 1 < len(self._applications):
            return replace(place, application=place.application + 1, token="")
        if place.end is None:
            return None
        return Place.first(place.end - SEAM, _now())

    async def _fetch(self, place: Place) -> tuple[Answer, list[bytes], str]:
        path = PATH + self._applications[place.application]
        while True:
            query = place.query(self._limit)
            try:
                answer = await self._fetcher.get(path, query, MAX_BATCH_BYTES)
                records, token = await read_page(answer.body)
            except TooLargeError:
                # Of large records fewer are asked for, until the page can be taken.
                if self._limit == 1:
                    raise
                self._limit = max(1, self._limit // 2)
                continue
            self._limit = min(LARGEST_LIMIT, 2 * self._limit)
            return answer, records, token


def _make(poll: GooglePoll, settings: SourceSettings) -> Feed:
    url = poll.token_url or _key(poll, settings).token_url
    origin, path = split_token_url(url)
    fields = partial(_grant, poll, settings, url)
    token = AccessToken(Fetcher(origin, lambda: ""), path, fields)
    fetcher = Fetcher(
        poll.url, token.header, ANSWER_SECONDS, token.forget, is_rate_limit
    )
    return GoogleFeed(fetcher, token, [*dict.fromkeys(poll.applications)])


def _now() -> int:
    return time.time_ns() // 1_000_000


def _grant(poll: GooglePoll, settings: SourceSettings, url: str) -> Mapping[str, str]:
    """Return the form of a grant; the key is read anew, as it may have been renewed."""
    key = _key(poll, settings)
    signed = key.grant(url, poll.subject, SCOPE, int(time.time()))
    return {"grant_type": GRANT, "assertion": signed}


def _key(poll: GooglePoll, settings: SourceSettings) -> ServiceKey:
    path = settings.file(poll.key_file)
    return parse_service_key(settings.secret(poll.key_file), path)


KIND: Final = FeedKind(GooglePoll, _make, OVERLAP)
