"""Bodies and query parameters, strictly: limits first, nothing unknown, no doubles."""

import asyncio

from aiohttp import StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from provlog.merkle.encoding import JsonValue, loads_json, parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.server.http.context import SETTINGS
from provlog.server.http.problems import Problem
from provlog.server.intake.problems import pointer


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the body, or raise the problem: 413, 415 if compressed, 408 if slow."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.lower() != "identity":
        raise Problem("unsupported-media-type", "send the body without compression")
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    content = request.content
    if content.is_eof():
        # The common case: the body came along with the headers.
        body = content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
        return body
    try:
        async with asyncio.timeout(request.app[SETTINGS].body_seconds):
            return await _read_stream(content, limit)
    except TimeoutError:
        raise Problem("timeout", "the body took too long to arrive") from None
    except (ConnectionError, HttpProcessingError, web.RequestPayloadError):
        raise Problem("malformed", "the body did not arrive whole") from None


async def _read_stream(content: StreamReader, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await content.readany():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


async def read_object(request: web.Request) -> dict[str, JsonValue]:
    """Return the JSON object in the body of a management request."""
    if request.content_type != "application/json":
        raise Problem("unsupported-media-type", "send application/json")
    body = await read_body(request, request.app[SETTINGS].management_bytes)
    try:
        value = loads_json(body, "body")
    except MalformedError as error:
        raise Problem("malformed", str(error)) from None
    if not isinstance(value, dict):
        raise Problem("malformed", "the body is not a JSON object")
    return value


def read_query(request: web.Request, *known: str) -> dict[str, str]:
    """Return the query's parameters; unknown and repeated ones are refused."""
    if not request.query_string:
        return {}
    query: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            raise Problem(
                "malformed", f"query parameters here are {', '.join(known) or 'none'}"
            )
        if name in query:
            raise Problem("malformed", f"query parameter {name} is repeated")
        query[name] = value
    return query


def read_choice(query: dict[str, str], name: str, *values: str) -> str | None:
    """Return a parameter that has one of few values, or None without it."""
    value = query.get(name)
    if value is not None and value not in values:
        raise Problem(
            "malformed", f"query parameter {name} is one of {', '.join(values)}"
        )
    return value


def read_number(query: dict[str, str], name: str) -> int | None:
    """Return a parameter that is a canonical decimal, or None without it."""
    if name not in query:
        return None
    try:
        return parse_decimal(query[name], f"query parameter {name}")
    except MalformedError as error:
        raise Problem("malformed", str(error)) from None


def require_number(query: dict[str, str], name: str) -> int:
    """Return a parameter that is a canonical decimal and has to be there."""
    value = read_number(query, name)
    if value is None:
        raise Problem("malformed", f"query parameter {name} is required")
    return value


def require_known(body: dict[str, JsonValue], *known: str) -> None:
    """Raise the problem (422) of a member that a management request does not have."""
    for name in body:
        if name not in known:
            raise invalid(pointer("", name), f"members here are {', '.join(known)}")


def read_text(body: dict[str, JsonValue], name: str, most: int) -> str | None:
    """Return a member that is text of 1 to `most` characters; None if it is absent."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise invalid(f"/{name}", f"must be a string of 1 to {most} characters")
    return value


def read_texts(body: dict[str, JsonValue], name: str, most: int) -> list[str]:
    """Return a member that is a list of at most `most` strings; empty if absent."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most:
        raise invalid(f"/{name}", f"must be a list of at most {most} strings")
    texts = []
    for place, item in enumerate(value):
        if not isinstance(item, str):
            raise invalid(f"/{name}/{place}", "must be a string")
        texts.append(item)
    return texts


def invalid(member: str, detail: str) -> Problem:
    """Return the problem (422) of a member of a management request."""
    return Problem("invalid-request", detail, pointer=member)


def _too_large(limit: int) -> Problem:
    return Problem("too-large", f"the body may have {limit} bytes at most")
