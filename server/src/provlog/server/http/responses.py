"""Answers that are no problems."""

from typing import Any

import msgspec
from aiohttp import web


def json_response(body: Any, status: int = 200) -> web.Response:  # noqa: ANN401
    """Return a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def text_response(text: str, media_type: str = "text/plain") -> web.Response:
    """Return an answer of text in UTF-8."""
    return web.Response(text=text, content_type=media_type)
