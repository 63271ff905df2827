"""Problem details (RFC 9457): what is refused, and how that is said.

A problem's `type` is ``urn:provlog:problem:<slug>``; slugs and their statuses are part
of the API. `detail` tells a person what to change and never repeats what was sent.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import (
    ClockError,
    ConfigurationError,
    FrozenError,
    HaltedError,
    MissingKeyError,
    OverloadedError,
    OversizedError,
    RetiredError,
    UnavailableError,
)
from provlog.server.intake.problems import EventError
from provlog.server.reader import BeyondHeadError
from provlog.server.storage.base import StorageError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:provlog:problem:"
RETRY_SECONDS: Final = 1

PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "The request is not in the format it has to be in"),
    "refused-token": (400, "The security event token is not accepted"),
    "unauthenticated": (401, "A valid bearer token is needed"),
    "forbidden": (403, "This is not allowed"),
    "not-found": (404, "There is no such thing here"),
    "method-not-allowed": (405, "The path does not take this method"),
    "not-acceptable": (406, "There is no answer of that media type"),
    "timeout": (408, "The request did not arrive in time"),
    "conflict": (409, "Something else stands under this name"),
    "erased": (410, "The content was erased"),
    "frozen": (410, "The log has ended"),
    "retired": (410, "The log is retired"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The content is of a type that is not read here"),
    "invalid-event": (422, "The event is not valid"),
    "invalid-request": (422, "A member of the request is not valid"),
    "not-witnessed": (422, "The log has no witnesses"),
    "rate-limited": (429, "The rate of events is too high"),
    "internal": (500, "The server made a mistake"),
    "unavailable": (503, "Not now"),
    "unwitnessed": (503, "Witnesses have not cosigned it yet"),
    "overloaded": (503, "The server has too much to do"),
}

_OF_STATUS: Final = {
    400: "malformed",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-event",
}


class Problem(Exception):  # noqa: N818  it is an answer before it is an error
    """A refusal on its way to the client.

    `pointer` is the JSON pointer (RFC 6901) of the member that is wrong, `index` the
    place of the entry that stands in the way, `more` further members of the answer.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        pointer: str | None = None,
        index: int | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.status, self.title = PROBLEMS[slug]
        self.detail = detail
        self.pointer = pointer
        self.index = index
        self.headers = headers or {}
        self.more = more or {}

    def to_json(self) -> dict[str, JsonValue]:
        """Return the problem as JSON."""
        body: dict[str, JsonValue] = {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.pointer is not None:
            body["pointer"] = self.pointer
        if self.index is not None:
            body["index"] = self.index
        return body | dict(self.more)

    def response(self) -> web.Response:
        """Return the problem as an answer."""
        return web.Response(
            body=msgspec.json.encode(self.to_json()),
            status=self.status,
            content_type=MEDIA_TYPE,
            headers=self.headers,
        )


def event_problem(error: EventError) -> Problem:
    """Return what an event that cannot be taken is refused with."""
    return Problem(_OF_STATUS[error.status], error.detail, pointer=error.member)


def rate_problem(seconds: float) -> Problem:
    """Return the refusal of a request that has to wait."""
    return Problem(
        "rate-limited",
        "the token or the log is over its rate of events; nothing was taken",
        headers=_retry_after(seconds),
    )


def internal_problem(request_id: str) -> Problem:
    """Return the answer to a bug of ours; the server's log has more under the id."""
    return Problem(
        "internal",
        "a mistake in the server; its log has more under this request_id",
        more={"request_id": request_id},
    )


def unavailable(detail: str) -> Problem:
    """Return the refusal of what may succeed a moment later."""
    return Problem("unavailable", detail, headers=_retry_after(RETRY_SECONDS))


def unwitnessed(detail: str) -> Problem:
    """Return the refusal of what waits for cosignatures, and may have them soon."""
    return Problem("unwitnessed", detail, headers=_retry_after(RETRY_SECONDS))


def problem_of(error: Exception) -> Problem | None:
    """Return the refusal that an exception stands for; None for a bug of ours."""
    match error:
        case Problem():
            return error
        case EventError():
            return event_problem(error)
        case BeyondHeadError():
            return Problem("not-found", str(error))
        case OversizedError():
            return Problem("too-large", str(error))
        case RetiredError() | FrozenError():
            return _ended(error)
        case UnavailableError():
            return _unavailable(error)
        case ConfigurationError():
            return Problem("unavailable", "the log cannot be opened")
        case StorageError():
            return unavailable("the database does not answer")
        case web.HTTPException():
            return _http_problem(error)
    return None


def _ended(error: RetiredError | FrozenError) -> Problem:
    if isinstance(error, RetiredError):
        return Problem("retired", str(error), more={"successor": error.successor})
    more = None if error.successor is None else {"successor": error.successor}
    return Problem("frozen", str(error), more=more)


def _unavailable(error: UnavailableError) -> Problem:
    # What a clock or a halted log has to say is for the operator's eyes.
    slug, detail = "unavailable", str(error)
    match error:
        case OverloadedError():
            slug, detail = "overloaded", "the queue is full; nothing was taken"
        case ClockError():
            detail = "the server's clock cannot be trusted; nothing was recorded"
        case HaltedError() | MissingKeyError():
            detail = "the log takes no entries until its operator has looked at it"
    return Problem(slug, detail, headers=_retry_after(RETRY_SECONDS))


def _http_problem(error: web.HTTPException) -> Problem | None:
    if not 400 <= error.status < 500:
        return None
    slug = _OF_STATUS.get(error.status, "malformed")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem(slug, f"allowed: {allowed}", headers={"Allow": allowed})
    return Problem(slug, PROBLEMS[slug][1])


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
