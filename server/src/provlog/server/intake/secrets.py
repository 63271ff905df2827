"""Secrets are cut out of providers' records before anything else sees them.

What is cut stands in `provlog.merkle.redaction`, which clients share. Here is how the
server uses it: a connector is given the record without its secrets, so none can get
into a member, a digest or an id, and `original` tells in `redacted` what was cut.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from provlog.merkle.encoding import JsonValue
from provlog.merkle.redaction import Cut, cut_secrets
from provlog.server.intake.event import Event
from provlog.server.intake.records import WINDOW

__all__ = ["Cut", "cut_secrets", "without_secrets"]

REDACTED: Final = "redacted"
"""The member of `original` that lists JSON pointers (RFC 6901) of what was cut."""


def without_secrets(record: bytes, make: Callable[[bytes], list[Event]]) -> list[Event]:
    """Return the events that `make` makes of a record without its secrets.

    A record longer than `WINDOW` is given as it is: nothing of it is read or kept but
    the digest.
    """
    cut = cut_secrets(record) if len(record) <= WINDOW else Cut(record)
    events = make(cut.record)
    return [_marked(each, cut.pointers) for each in events] if cut.pointers else events


def _marked(event: Event, pointers: tuple[str, ...]) -> Event:
    if not isinstance(event.original, dict):
        return event
    original: dict[str, JsonValue] = {**event.original, REDACTED: [*pointers]}
    return msgspec.structs.replace(event, original=original)
