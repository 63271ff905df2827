"""Pages of Google's Reports API, and its refusals: read strictly, or not at all."""

import asyncio
from collections.abc import Generator, Mapping
from typing import Final, TypeVar

from provlog.merkle.encoding import JsonValue, loads_json, parse_time
from provlog.merkle.errors import MalformedError
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import WINDOW, cut_array, find_members
from provlog.server.intake.times import normalise_time
from provlog.server.polling.feed import FetchError
from provlog.server.polling.fetching import TooLargeError

MAX_TOKEN: Final = 4096

_KINDS: Final = ("admin#reports#activities", "reports#activities")
_PASSING: Final = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"}
)
T = TypeVar("T")


def dated(record: bytes) -> int | None:
    """Return when Google dates an activity, in Unix milliseconds, None if it can't."""
    try:
        value = loads_json(record if len(record) <= WINDOW else b"")
        identity = value.get("id") if isinstance(value, dict) else None
        text = identity.get("time") if isinstance(identity, dict) else None
        moment = parse_time(normalise_time(str(text)))
    except (MalformedError, ValueError):
        return None
    return moment if moment >= 0 else None


def is_rate_limit(body: bytes) -> bool:
    """Tell whether a refusal (403) says that there were too many requests.

    Google has several reasons for that status; one that is not known is no such.
    """
    try:
        value = loads_json(body)
    except MalformedError:
        return False
    error = value.get("error") if isinstance(value, dict) else None
    listed = error.get("errors") if isinstance(error, dict) else None
    errors = listed if isinstance(listed, list) else []
    return any(
        isinstance(each, dict) and str(each.get("reason")) in _PASSING
        for each in errors
    )


async def read_page(body: bytes) -> tuple[list[bytes], str]:
    """Return a page's records as they stand in it, all or none, and the next token."""
    records: list[bytes] = []
    try:
        found = await _driven(find_members(body, ("kind", "items", "nextPageToken")))
        if _text(found, "kind") not in _KINDS:
            raise FetchError("a page is no list of activities")
        # Where there are none, there is no list either.
        for step in cut_array(found.get("items", b"[]")):
            records += step
            await asyncio.sleep(0)
    except EventError as error:
        kind = TooLargeError if error.status == 413 else FetchError
        raise kind(f"a page cannot be read: {error.detail}") from None
    if not all(record.startswith(b"{") for record in records):
        raise FetchError("a page holds something else than activities")
    token = _text(found, "nextPageToken")
    if len(token) > MAX_TOKEN:
        raise FetchError("the token of the next page is too long")
    return records, token


async def _driven(steps: Generator[object, None, T]) -> T:
    """Return what a generator returns; others have their turn at each of its steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        await asyncio.sleep(0)


def _text(found: Mapping[str, bytes], name: str) -> str:
    if name not in found:
        return ""
    try:
        value: JsonValue = loads_json(found[name])
    except MalformedError:
        value = None
    if not isinstance(value, str):
        raise FetchError(f"the member {name} of a page is no text")
    return value
