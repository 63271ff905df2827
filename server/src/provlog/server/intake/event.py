"""The event: a CloudEvent 1.0 whose `data` holds the members provlog knows.

`parse_event` is the one way from JSON to a native `Event`; connectors make theirs
themselves and keep the same limits, so that whoever holds an `Event` can make a leaf
of it. What the members of `data` may look like stands in `data_members`.
"""

import json
import re

import msgspec

from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    JsonValue,
    format_time,
    is_canonical_text,
    parse_decimal,
)
from provlog.merkle.errors import MalformedError
from provlog.server.intake.data_members import parse_data
from provlog.server.intake.problems import EventError, fail, pointer
from provlog.server.intake.times import normalise_time

__all__ = [
    "EVENT_NAME",
    "MAX_EVENT_BYTES",
    "MAX_NAME_LENGTH",
    "MAX_TYPE_LENGTH",
    "RESERVED_TYPES",
    "TYPE",
    "Event",
    "EventError",
    "is_event_name",
    "parse_event",
]

MAX_EVENT_BYTES = 256 * 1024
MAX_NAME_LENGTH = 256
EVENT_NAME = f'1 to {MAX_NAME_LENGTH} printable ASCII characters without " and \\'
"""What `is_event_name` asks for, in words."""
MAX_TYPE_LENGTH = 128
MAX_EXTENSIONS = 100
RESERVED_TYPES = "provlog."
TYPE = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+", re.ASCII)

_ATTRIBUTE = re.compile(r"[a-z0-9]+", re.ASCII)
_JSON_MEDIA_TYPE = re.compile(
    r"[a-z0-9!#$&^_.-]+/(?:[a-z0-9!#$&^_.+-]+\+)?json[ \t]*(?:;.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_CORE = frozenset({"specversion", "id", "source", "type", "time", "sequence", "data"})
_INT32 = range(-(2**31), 2**31)
_COMPARISON = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False
)


class Event(msgspec.Struct, frozen=True):
    """One validated event, as the sequencer takes it.

    `time` is canonical UTC; where none was sent, or none that can be read, it is the
    time of receipt and `flags` says so. `time_sent` is the time as it came, None if it
    did not. `data` holds the members of design section 5 that were sent, without
    nulls and without `original`, which stands apart. `extensions` are the CloudEvents
    attributes that have no place of their own. Connectors set the last five: the
    provider's name for the type, the connector's name and version, the SHA-256 of the
    record's bytes, what the time is compared as, None where that is `time_sent`, and
    what else has to be equal in the same event.
    """

    id: str
    source: str
    type: str
    time: str
    time_sent: JsonValue = None
    seq: int | None = None
    data: dict[str, JsonValue] = msgspec.field(default_factory=dict)
    extensions: dict[str, JsonValue] = msgspec.field(default_factory=dict)
    original: JsonValue = None
    flags: tuple[str, ...] = ()
    native_type: str | None = None
    connector: tuple[str, str] | None = None
    raw_digest: bytes | None = None
    compared_time: str | None = None
    compared: str | None = None

    def comparison(self) -> bytes:
        """Return bytes that are equal exactly for events that are "the same".

        A native event is compared by type, time as sent and all data but `original`; a
        connector's by actor and target (names and all: a provider that reuses an id
        for another name has sent another record), type, time and outcome, because
        providers send one record again with other details. The type is the provider's
        own, so that a better table of types does not make another event of it. Where a
        record can never be sent with other details, `compared` stands for all of them.
        """
        return _COMPARISON.encode(self._compared()).encode("ascii")

    def _compared(self) -> JsonValue:
        if self.connector is None:
            return [self.type, self.time_sent, self.data]
        members = [
            self.native_type or self.type,
            self.compared_time or self.time_sent,
            self.data.get("actor"),
            self.data.get("target"),
            self.data.get("outcome"),
        ]
        return members if self.compared is None else [*members, self.compared]


def parse_event(value: JsonValue, *, now_ms: int) -> Event:
    """Return the event that a CloudEvent in its JSON form stands for.

    `value` is decoded JSON, `now_ms` the time of receipt in Unix milliseconds. An
    attribute that is null counts as absent (CloudEvents JSON format 1.0, section 2.2).
    Raises `EventError` with status 422 and the member that is wrong, and nothing else.
    """
    if not isinstance(value, dict):
        raise EventError(422, "an event is a JSON object")
    try:
        return _parse_object(value, now_ms)
    except EventError as error:
        source = value.get("source")
        if isinstance(source, str) and is_event_name(source):
            error.source = source
        raise


def _parse_object(value: dict[str, JsonValue], now_ms: int) -> Event:
    if value.get("specversion") != "1.0":
        fail("/specversion", 'must be "1.0"')
    time_sent = value.get("time")
    time, flags = _parse_time(time_sent, now_ms)
    data, original = parse_data(value.get("data"))
    return Event(
        id=_parse_name(value.get("id"), "/id"),
        source=_parse_name(value.get("source"), "/source"),
        type=_parse_type(value.get("type")),
        time=time,
        time_sent=time_sent,
        seq=_parse_sequence(value.get("sequence")),
        data=data,
        extensions=_parse_extensions(value),
        original=original,
        flags=flags,
    )


def is_event_name(text: str) -> bool:
    """Tell whether `text` can be the id or the source of an event."""
    return 1 <= len(text) <= MAX_NAME_LENGTH and is_canonical_text(text)


def _parse_name(value: JsonValue, member: str) -> str:
    if isinstance(value, str) and is_event_name(value):
        return value
    if value is None:
        fail(member, "is required")
    return fail(
        member,
        f'must be 1 to {MAX_NAME_LENGTH} printable ASCII characters without " and \\',
    )


def _parse_type(value: JsonValue) -> str:
    if value is None:
        fail("/type", "is required")
    if (
        not isinstance(value, str)
        or len(value) > MAX_TYPE_LENGTH
        or TYPE.fullmatch(value) is None
    ):
        fail(
            "/type",
            "must be two or more parts of a-z, 0-9, _ and -, joined by dots, "
            f"at most {MAX_TYPE_LENGTH} characters",
        )
    if value.startswith(RESERVED_TYPES):
        fail("/type", f"types that begin with {RESERVED_TYPES} are the server's own")
    return value


def _parse_time(value: JsonValue, now_ms: int) -> tuple[str, tuple[str, ...]]:
    if value is None:
        return format_time(now_ms), ("time_missing",)
    if not isinstance(value, str):
        fail("/time", "must be an RFC 3339 timestamp")
    try:
        return normalise_time(value), ()
    except ValueError as error:
        return fail("/time", str(error))


def _parse_sequence(value: JsonValue) -> int | None:
    if value is None:
        return None
    if isinstance(value, int):
        value = str(value) if value in _INT32 else ""
    try:
        return parse_decimal(str(value), maximum=MAX_SAFE_INTEGER)
    except MalformedError:
        return fail("/sequence", "must be a canonical decimal below 2^53")


def _parse_extensions(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    extensions: dict[str, JsonValue] = {}
    for name, attribute in value.items():
        if name not in _CORE and attribute is not None:
            _check_attribute(name, attribute)
            extensions[name] = attribute
            if len(extensions) > MAX_EXTENSIONS:
                fail("", f"an event has at most {MAX_EXTENSIONS} further attributes")
    return extensions


def _check_attribute(name: str, value: JsonValue) -> None:
    if name == "data_base64":
        fail("/data_base64", "binary data is not taken: send JSON in data")
    if _ATTRIBUTE.fullmatch(name) is None:
        fail(pointer("", name), "attribute names are made of a-z and 0-9 (CloudEvents)")
    if isinstance(value, int):
        if value not in _INT32:
            fail(pointer("", name), "is outside the integers of CloudEvents (32 bits)")
    elif not isinstance(value, str):
        fail(pointer("", name), "must be a string, an integer or a boolean")
    elif name == "datacontenttype" and _JSON_MEDIA_TYPE.fullmatch(value) is None:
        fail("/datacontenttype", "data must be JSON")
