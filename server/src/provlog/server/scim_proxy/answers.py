"""What the proxy says itself, in SCIM's form (RFC 7644 section 3.12)."""

import json
from typing import Final

from aiohttp import web

SCHEMA: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
MEDIA_TYPE: Final = "application/scim+json"
RETRY_SECONDS: Final = 5


class Refusal(Exception):  # noqa: N818  it is an answer
    """A request that the proxy answers itself; `reason` is counted."""

    def __init__(
        self, status: int, reason: str, detail: str, *, retry: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry = retry

    def response(self) -> web.Response:
        """Return the answer, which quotes nothing of the request."""
        return error_response(self.status, self.detail, self.retry)


def error_response(status: int, detail: str, retry: int | None = None) -> web.Response:
    """Return a SCIM error; one that may be over soon says when to try again.

    `retry` is in seconds.
    """
    body = {"schemas": [SCHEMA], "status": str(status), "detail": detail}
    seconds = RETRY_SECONDS if retry is None and status == 503 else retry
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers=headers,
        content_type=MEDIA_TYPE,
    )
