"""What the proxy says itself, in SCIM's form (RFC 7644 section 3.12)."""

import json
from typing import Final

from aiohttp import web

SCHEMA: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
MEDIA_TYPE: Final = "application/scim+json"
RETRY_SECONDS: Final = 5


class Refusal(Exception):  # noqa: N818  it is an answer
    """A request that the proxy answers itself; `reason` is counted."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail

    def response(self) -> web.Response:
        """Return the answer, which quotes nothing of the request."""
        return error_response(self.status, self.detail)


def error_response(status: int, detail: str) -> web.Response:
    """Return a SCIM error; one that may be over soon says when to try again."""
    body = {"schemas": [SCHEMA], "status": str(status), "detail": detail}
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers=headers,
        content_type=MEDIA_TYPE,
    )
