"""From what a connector understood of a record to events within the limits.

A record is logged whatever is wrong with it: an id that is missing or does not fit is
replaced by the digest of the record's bytes, a time that is missing or cannot be read
by the time of receipt with a flag, a type without a counterpart by `other.…`.
"""

import re
from dataclasses import dataclass, field, replace
from hashlib import sha256

from provlog.merkle.encoding import JsonValue, encode_base64, format_time
from provlog.server.intake.data_members import is_identifier
from provlog.server.intake.event import (
    MAX_EVENT_BYTES,
    MAX_NAME_LENGTH,
    MAX_TYPE_LENGTH,
    Event,
    is_event_name,
)
from provlog.server.intake.times import normalise_time

# Room for what is appended: "#" and a number here, "~" and 16 digits to a reused id.
MAX_RECORD_ID_LENGTH = MAX_NAME_LENGTH - 24

_UNFIT_FOR_TYPE = re.compile(r"[^a-z0-9_.-]")
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I | re.ASCII)
_PARTIES = ("actor", "target", "resource")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a connector understood of one record.

    `id`, `time` and `native_type` are the provider's values, of whatever shape; `type`
    is the counterpart in provlog's vocabulary, None if there is none. `data` holds the
    members of one event for each target, at least one.
    """

    id: JsonValue = None
    time: JsonValue = None
    native_type: JsonValue = None
    type: str | None = None
    data: list[dict[str, JsonValue]] = field(default_factory=lambda: [{}])
    flags: tuple[str, ...] = ()


def build_events(
    facts: Facts,
    record: bytes,
    source: str,
    now_ms: int,
    connector: tuple[str, str],
) -> list[Event]:
    """Return the events of one record: `<id>`, or `<id>#1` … if there are several.

    The first of several holds the record itself and the others its digest, so that it
    can be erased in one place. A record longer than an event may be keeps its ids,
    result and digest and loses the rest, with the flag `record_too_large`.
    """
    digest = sha256(record).digest()
    time, flags = _event_time(facts.time, now_ms)
    if len(record) > MAX_EVENT_BYTES:
        facts = _without_details(facts)
        flags = (*flags, "record_too_large")
        original = None
    else:
        original = _original(record)
    identifier = _record_id(facts.id, digest)
    several = len(facts.data) > 1
    native_type = facts.native_type if isinstance(facts.native_type, str) else None
    return [
        Event(
            id=f"{identifier}#{number}" if several else identifier,
            source=source,
            type=facts.type or other_type(native_type),
            time=time,
            time_sent=facts.time,
            data=data,
            original=original if number == 1 else None,
            flags=(*facts.flags, *flags),
            native_type=native_type,
            connector=connector,
            raw_digest=digest,
        )
        for number, data in enumerate(facts.data, start=1)
    ]


def other_type(native_type: str | None) -> str:
    """Return the `other.…` type of a provider's type that has no counterpart.

    Characters that a type cannot hold become `_`, as do dots with nothing between
    them; a name that is too long is cut.
    """
    if not native_type:
        return "other.unknown"
    name = _UNFIT_FOR_TYPE.sub("_", native_type.lower())
    room = MAX_TYPE_LENGTH - len("other.")
    parts = [part or "_" for part in name[:room].split(".")]
    return ("other." + ".".join(parts))[:MAX_TYPE_LENGTH].rstrip(".")


def text_members(**values: JsonValue) -> dict[str, JsonValue]:
    """Return those of the values that are text and not empty."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str) and value
    }


def fitting_id(value: JsonValue) -> dict[str, JsonValue]:
    """Return `{"id": …}` for an id that can be indexed, else an empty object.

    GUIDs are in lower case: providers write one account's id in either.
    """
    if not isinstance(value, str) or not is_identifier(value):
        return {}
    return {"id": value.lower() if _GUID.fullmatch(value) else value}


def _record_id(value: JsonValue, digest: bytes) -> str:
    if (
        isinstance(value, str)
        and is_event_name(value)
        and len(value) <= MAX_RECORD_ID_LENGTH
    ):
        return value
    return f"sha256:{digest.hex()}"


def _event_time(value: JsonValue, now_ms: int) -> tuple[str, tuple[str, ...]]:
    if value is None:
        return format_time(now_ms), ("time_missing",)
    try:
        return normalise_time(str(value), zoneless_is_utc=True), ()
    except ValueError:
        return format_time(now_ms), ("time_unreadable",)


def _original(record: bytes) -> dict[str, JsonValue]:
    try:
        return {"media_type": "application/json", "body": record.decode("utf-8")}
    except UnicodeDecodeError:
        return {
            "media_type": "application/octet-stream",
            "body_base64": encode_base64(record),
        }


def _without_details(facts: Facts) -> Facts:
    return replace(
        facts,
        time=_short(facts.time),
        native_type=_short(facts.native_type),
        data=[_identities(data) for data in facts.data],
    )


def _short(value: JsonValue) -> JsonValue:
    return value if isinstance(value, str) and len(value) <= MAX_NAME_LENGTH else None


def _identities(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    slim: dict[str, JsonValue] = {}
    for name in _PARTIES:
        party = data.get(name)
        if isinstance(party, dict) and "id" in party:
            slim[name] = {"id": party["id"]}
    outcome = data.get("outcome")
    if isinstance(outcome, dict):
        slim["outcome"] = {"result": outcome["result"]}
    return slim
