"""What the client raises, and whom it blames.

::

    ClientError
    ├── UsageError        the calling program or its configuration; nothing was sent
    ├── RefusedError      the server refused what was sent; sent again, it is again
    ├── SpoolError        an outbox's file is damaged, or is none
    └── UnavailableError  no answer for now; the same may be sent again later
        └── OutboxFullError  no room in an outbox, or on its disk

    provlog.merkle.errors.MerkleError   the log: its answer is not what it must be
    ├── MalformedError                  not in the format
    └── VerificationError               well formed, and not true
        └── InconsistencyError          two signed checkpoints that convict the log

Texts that came from a server are cut to printable characters before they enter a
message; no message holds a token, an event or a whole answer.
"""

from collections.abc import Mapping, Sequence

from provlog.merkle.encoding import JsonValue

MAX_TEXT = 500


class ClientError(Exception):
    """Root of what the client raises that is no lie of the log."""


class UsageError(ClientError):
    """The call or the configuration cannot work; the message says what to change."""


class RefusedError(ClientError):
    """The server refused the request, or one event of it.

    `status` is the HTTP status, `kind` the last part of the problem's type (such as
    ``conflict``), `pointer` the JSON pointer of the member that is wrong, and `index`
    the entry that stands in the way (409 and 410): the server's words, not verified.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        kind: str | None = None,
        pointer: str | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(f"{pointer}: {detail}" if pointer else detail)
        self.status = status
        self.kind = kind
        self.pointer = pointer
        self.index = index


class UnavailableError(ClientError):
    """The server could not be reached, or said that it cannot answer now.

    `retry_after` is the number of seconds the server asked for, if it did. `unsettled`
    are the events whose fate is unknown, as they were sent and with their ids: to
    submit exactly these again can make no second entry. `status` is the HTTP status, if
    there was an answer.
    """

    def __init__(
        self,
        detail: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.status = status
        self.unsettled: Sequence[Mapping[str, JsonValue]] = ()


class OutboxFullError(UnavailableError):
    """The outbox, or its disk, has no room: nothing of what was to be put is in it."""


class SpoolError(ClientError):
    """An outbox's file cannot be used; the message says why and what to do.

    Nothing is repaired or made anew: what is in the file may be all there is. Raised by
    a put, it leaves open whether the events are in the file; put them again with the
    same ids.
    """


def printable(text: str) -> str:
    """Return foreign text on one line, without control characters, at most 500 long."""
    shown = "".join(mark if mark.isprintable() else " " for mark in text[:MAX_TEXT])
    return shown if len(text) <= MAX_TEXT else f"{shown}…"
