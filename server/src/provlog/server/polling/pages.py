"""A page that is a JSON array of records: cut as it stands, whole or not at all."""

import asyncio

from provlog.merkle.encoding import loads_json, parse_time
from provlog.merkle.errors import MalformedError
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import WINDOW, cut_array
from provlog.server.intake.times import normalise_time
from provlog.server.polling.feed import FetchError
from provlog.server.polling.fetching import TooLargeError


async def cut_page(body: bytes) -> list[bytes]:
    """Return the records of an array, each as it stands in it; others have their turn.

    Raises `FetchError` where it is none, or holds anything but objects, and
    `TooLargeError` for more than can be taken at once.
    """
    records: list[bytes] = []
    try:
        for step in cut_array(body):
            records += step
            await asyncio.sleep(0)
    except EventError as error:
        kind = TooLargeError if error.status == 413 else FetchError
        raise kind(f"a page cannot be read: {error.detail}") from None
    if not all(record.startswith(b"{") for record in records):
        raise FetchError("a page holds something else than records")
    return records


def dated(record: bytes, member: str) -> int | None:
    """Return the Unix milliseconds of a record's date, None where it has no such."""
    try:
        value = loads_json(record if len(record) <= WINDOW else b"")
        text = value.get(member) if isinstance(value, dict) else None
        moment = parse_time(normalise_time(str(text), zoneless_is_utc=True))
    except (MalformedError, ValueError):
        return None
    return moment if moment >= 0 else None
