"""HTTP bodies that carry events, in the forms of CloudEvents 1.0.

One event: structured mode (`application/cloudevents+json`, and `application/json` for
clients that know no better) and binary mode (`ce-` headers, the body is the data).
Many: `application/cloudevents-batch+json` and `application/x-ndjson`, one structured
event on each line. HTTP Protocol Binding 1.0.2, JSON Format 1.0.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.event import MAX_EVENT_BYTES, Event, parse_event
from provlog.server.intake.problems import EventError, fail, pointer
from provlog.server.intake.records import cut_array, cut_lines

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
PLAIN_JSON = "application/json"

_JSON_SUFFIX = re.compile(r"[^/]+/(?:[^/]+\+)?json")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NOT_ATTRIBUTES = frozenset({"data", "datacontenttype"})


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request holds: events, and errors in the places of those that are bad.

    `batch` tells which form of reply the sender expects. The only element of a
    submission that is no batch is an event: its error is raised instead.
    """

    events: list[Event | EventError]
    batch: bool


def decode_submission(
    content_type: str | None, headers: Mapping[str, str], body: bytes, now_ms: int
) -> Submission:
    """Return the events of a request.

    `headers` are looked at for binary mode only; their names may be in any case.
    `now_ms` is the time of receipt in Unix milliseconds. Raises `EventError` for what
    is wrong with the request as a whole or with its only event: 400 not JSON, 413 too
    large, 415 another content type, 422 a member.
    """
    media_type = _media_type(content_type)
    if media_type == STRUCTURED:
        return _single(_decode_event(body, now_ms))
    if media_type == BATCH:
        return _many(cut_array(body), now_ms)
    if media_type == NDJSON:
        return _many(cut_lines(body), now_ms)
    attributes = _binary_attributes(headers)
    if "specversion" in attributes and not media_type.startswith(
        "application/cloudevents"
    ):
        return _single(_decode_binary(attributes, content_type, body, now_ms))
    if media_type == PLAIN_JSON:
        return _single(_decode_event(body, now_ms))
    raise EventError(
        415,
        f"events come as {STRUCTURED}, {BATCH}, {NDJSON}, {PLAIN_JSON} or with ce-"
        " headers",
    )


def _media_type(content_type: str | None) -> str:
    if content_type is None:
        return ""
    media_type, _, parameters = content_type.partition(";")
    if parameters:
        _require_utf8(parameters.lower())
    return media_type.strip().lower()


def _require_utf8(parameters: str) -> None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') != "utf-8":
            raise EventError(415, "JSON is read as UTF-8 only")


def _single(event: Event) -> Submission:
    return Submission([event], batch=False)


def _many(records: list[bytes], now_ms: int) -> Submission:
    events: list[Event | EventError] = []
    for record in records:
        try:
            events.append(_decode_event(record, now_ms))
        except EventError as error:
            events.append(error)
    return Submission(events, batch=True)


def _decode_event(record: bytes, now_ms: int) -> Event:
    value = _load(record)
    if isinstance(value, list):
        raise EventError(400, f"an array of events is sent as {BATCH}")
    return parse_event(value, now_ms=now_ms)


def _load(data: bytes) -> JsonValue:
    if len(data) > MAX_EVENT_BYTES:
        raise EventError(413, f"an event has at most {MAX_EVENT_BYTES} bytes")
    try:
        return loads_json(data, "event")
    except MalformedError as error:
        raise EventError(400, str(error)) from None


def _decode_binary(
    attributes: dict[str, JsonValue],
    content_type: str | None,
    body: bytes,
    now_ms: int,
) -> Event:
    event = attributes
    if content_type is not None:
        event["datacontenttype"] = content_type
    if body:
        # Without a content type data is JSON: SDKs send it so when the event has none.
        if _JSON_SUFFIX.fullmatch(_media_type(content_type or PLAIN_JSON)) is None:
            raise EventError(415, "the data of an event in binary mode must be JSON")
        event["data"] = _load(body)
    return parse_event(event, now_ms=now_ms)


def _binary_attributes(headers: Mapping[str, str]) -> dict[str, JsonValue]:
    attributes: dict[str, JsonValue] = {}
    for header, value in headers.items():
        name = header.lower()
        if name.startswith("ce-"):
            name = name[3:]
            if name in attributes or name in _NOT_ATTRIBUTES:
                fail(pointer("", name), "must not be sent as this ce- header")
            attributes[name] = _decode_header(name, value)
    return attributes


def _decode_header(name: str, value: str) -> str:
    """Undo quoting, then one round of percent-encoding (HTTP binding 3.1.3.2)."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    if "%" not in value and value.isascii():
        return value
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        return fail(pointer("", name), "is not percent-encoded UTF-8")
