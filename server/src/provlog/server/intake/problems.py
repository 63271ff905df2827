"""How intake says what is wrong with an event."""

import re
from typing import NoReturn

_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)


class EventError(Exception):
    """What was sent cannot become an event; nothing has been changed.

    `status` is the HTTP status that says so: 400 not the format, 413 too large, 415
    not a format this server reads, 422 a member is wrong. `member` is the JSON pointer
    (RFC 6901) of that member. `detail` tells a person what to change and repeats no
    value that was sent. `source` is the source that the event names, None where it
    names none that could be one; it is no part of any answer.
    """

    source: str | None = None

    def __init__(self, status: int, detail: str, member: str | None = None) -> None:
        super().__init__(f"{member}: {detail}" if member else detail)
        self.status = status
        self.detail = detail
        self.member = member


def fail(member: str, detail: str) -> NoReturn:
    """Raise the `EventError` of a member that is wrong."""
    raise EventError(422, detail, member)


def pointer(parent: str, name: str) -> str:
    """Return the JSON pointer of a member that should not be there.

    A name that does not look like one is left out, so that the text of an error cannot
    carry values that slipped into a name's place: the pointer is then `parent`'s.
    """
    if _SHOWABLE.fullmatch(name) is None:
        return parent
    return f"{parent}/{name}"
