"""HTTP bodies that carry events, in the forms of CloudEvents 1.0.

One event: structured mode (`application/cloudevents+json`, and `application/json` for
clients that know no better) and binary mode (`ce-` headers, the body is the data).
Many: `application/cloudevents-batch+json` and `application/x-ndjson`, one structured
event on each line. HTTP Protocol Binding 1.0.2, JSON Format 1.0.2.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from provlog.merkle.encoding import InexactNumberError, JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.event import MAX_EVENT_BYTES, Event, parse_event
from provlog.server.intake.numbers import refuse_inexact
from provlog.server.intake.problems import EventError, fail, pointer
from provlog.server.intake.records import (
    MAX_BATCH_EVENTS,
    cut_array,
    cut_lines,
    in_steps,
)

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
PLAIN_JSON = "application/json"

_JSON_SUFFIX = re.compile(r"[^/]+/(?:[^/]+\+)?json")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NOT_ATTRIBUTES = frozenset({"data", "datacontenttype"})


@dataclass(frozen=True, slots=True)
class Submission:
    """A request of many events, to be read in steps: first `cut`, then `decode`.

    `cut` yields its records as they stand in the body, and raises `EventError` for what
    is wrong with the body as a whole. `read` makes events of one record, or errors.
    """

    cut: Iterator[list[bytes]]
    read: Callable[[bytes], list[Event | EventError]]

    def decode(self, records: Sequence[bytes]) -> Iterator[list[Event | EventError]]:
        """Yield the events of the records, in order, errors in the places of bad ones.

        Raises `EventError` (413) when they are more than a batch may hold.
        """
        count = 0
        for events in in_steps(records, self.read):
            count += len(events)
            if count > MAX_BATCH_EVENTS:
                raise EventError(
                    413,
                    f"the records make more than {MAX_BATCH_EVENTS} events: send fewer",
                )
            yield events


def decode_submission(
    content_type: str | None, headers: Mapping[str, str], body: bytes, now_ms: int
) -> Event | Submission:
    """Return the event of a request, or how to read its many.

    `headers` are looked at for binary mode only; their names may be in any case.
    `now_ms` is the time of receipt in Unix milliseconds. Raises `EventError` for what
    is wrong with the request as a whole or with its only event: 400 not JSON, 413 too
    large, 415 another content type, 422 a member.
    """
    media_type = _media_type(content_type)
    if media_type == STRUCTURED:
        return _decode_event(body, now_ms)
    if media_type == BATCH:
        return _many(cut_array(body), now_ms)
    if media_type == NDJSON:
        return _many(cut_lines(body), now_ms)
    attributes = _binary_attributes(headers)
    if "specversion" in attributes and not media_type.startswith(
        "application/cloudevents"
    ):
        return _decode_binary(attributes, content_type, body, now_ms)
    if media_type == PLAIN_JSON:
        return _decode_event(body, now_ms)
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


def _many(cut: Iterator[list[bytes]], now_ms: int) -> Submission:
    def read(record: bytes) -> list[Event | EventError]:
        try:
            return [_decode_event(record, now_ms)]
        except EventError as error:
            return [error]

    return Submission(cut, read)


def _decode_event(record: bytes, now_ms: int) -> Event:
    value = _load(record)
    if isinstance(value, list):
        raise EventError(400, f"an array of events is sent as {BATCH}")
    return parse_event(value, now_ms=now_ms)


def _load(data: bytes, where: str = "") -> JsonValue:
    if len(data) > MAX_EVENT_BYTES:
        raise EventError(413, f"an event has at most {MAX_EVENT_BYTES} bytes")
    try:
        return loads_json(data, "event", exact=True)
    except InexactNumberError:
        refuse_inexact(data, where)
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
        event["data"] = _load(body, "/data")
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
