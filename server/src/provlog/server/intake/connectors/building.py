"""From what a connector understood of a record to events within the limits.

A record is logged whatever is wrong with it: an id that is missing or does not fit is
replaced by the digest of the record's bytes, a time that is missing or cannot be read
by the time of receipt with a flag, a type without a counterpart by `other.…`.

What a record becomes has to stay in proportion to it, whatever it holds: it is one
record of thousands, and one that could never be admitted would be lost.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from provlog.merkle.disclosures import MAX_CONTENT
from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    JsonValue,
    encode_base64,
    format_time,
    parse_decimal,
)
from provlog.merkle.errors import MalformedError
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

MAX_REPEATED_LENGTH = 256
"""How long a text may be that stands in several events of a record."""
MAX_TRUSTED_BYTES = 128 * 1024
"""A record up to this length fits disclosures, however its numbers are spelled."""
MAX_MEMBER_BYTES = MAX_CONTENT // 2
MAX_DIGITS = len(str(MAX_SAFE_INTEGER))

_UNFIT_FOR_TYPE = re.compile(r"[^a-z0-9_.-]")
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I | re.ASCII)
_PARTIES = ("actor", "target", "resource")
_REFERENCES = frozenset({"ticket", "request_id"})
# What JSON writes with six characters; in JSON itself it cannot stand.
_CONTROLS = re.compile(r"[\x00-\x07\x0b\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a connector understood of one record.

    `id`, `time` and `native_type` are the provider's values, of whatever shape; `type`
    is the counterpart in provlog's vocabulary, None if there is none. `data` holds the
    members of one event for each target, at least one. A member that several events
    share is one object in all of them.

    `types` has the provider's type and its counterpart for each event, where one record
    tells of events of several types; without it all are of `native_type` and `type`.
    `seq` is the source's own number of the record: the first of its events carries it.
    `compared_time` is what the time is compared as, where a provider spells that of one
    record in several ways; None where it is compared as it came.
    `media_type` is what the record is, where it is text. `compared` is what has to be
    equal besides in a record that is the same (see `Event.comparison`).
    """

    id: JsonValue = None
    time: JsonValue = None
    native_type: JsonValue = None
    type: str | None = None
    data: list[dict[str, JsonValue]] = field(default_factory=lambda: [{}])
    flags: tuple[str, ...] = ()
    types: Sequence[tuple[JsonValue, str | None]] = ()
    seq: JsonValue = None
    compared_time: str | None = None
    media_type: str = "application/json"
    compared: str | None = None


def build_events(
    facts: Facts,
    record: bytes,
    source: str,
    now_ms: int,
    connector: tuple[str, str],
) -> list[Event]:
    """Return the events of one record: `<id>`, or `<id>#1` … if there are several.

    The first of several holds the record itself and the others its digest, so that it
    can be erased in one place; a member that stood in an earlier event is repeated with
    its ids, names and result alone. A record longer than an event may be keeps its ids,
    result and digest and loses the rest, with the flag `record_too_large`; one whose
    details would not fit is kept itself and loses these, with `details_too_large`.
    """
    digest = sha256(record).digest()
    time, flags = _event_time(facts.time, now_ms)
    original = None
    if len(record) <= MAX_EVENT_BYTES:
        original = _original(record, facts.media_type)
    if original is None or (len(record) > MAX_TRUSTED_BYTES and _swells(facts)):
        facts = _without_details(facts)
        cut = "record_too_large" if original is None else "details_too_large"
        flags = (*flags, cut)
    identifier = _record_id(facts.id, digest)
    several = len(facts.data) > 1
    seq, flags = _sequence(facts.seq, flags)
    types = facts.types or [(facts.native_type, facts.type)] * len(facts.data)
    return [
        Event(
            id=f"{identifier}#{number}" if several else identifier,
            source=source,
            type=ours or other_type(_text(native)),
            time=time,
            time_sent=_fitting_time(facts.time),
            seq=seq if number == 1 else None,
            data=data,
            original=original if number == 1 else None,
            flags=(*facts.flags, *flags),
            native_type=_short(native),
            connector=connector,
            raw_digest=digest,
            compared_time=facts.compared_time,
            compared=facts.compared,
        )
        for number, (data, (native, ours)) in enumerate(
            zip(_told_once(facts.data), types, strict=True), start=1
        )
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


def _told_once(several: Sequence[dict[str, JsonValue]]) -> list[dict[str, JsonValue]]:
    """Return the members of each event, in brief where an earlier one holds them."""
    told: set[int] = set()
    events: list[dict[str, JsonValue]] = []
    for data in several:
        event: dict[str, JsonValue] = {}
        for name, member in data.items():
            kept = _brief(name, member) if id(member) in told else member
            if kept is not None:
                event[name] = kept
        events.append(event)
        told.update(map(id, data.values()))
    return events


def _brief(name: str, member: JsonValue) -> JsonValue:
    """Return what an auditor needs of a member to understand an event by itself."""
    if not isinstance(member, dict):
        return None
    brief: dict[str, JsonValue] = {
        key: value
        for key, value in member.items()
        if isinstance(value, str)
        and (len(value) <= MAX_REPEATED_LENGTH or key == "id")
        and (name != "context" or key in _REFERENCES)
    }
    return None if name == "context" and not brief else brief


def _swells(facts: Facts) -> bool:
    """Tell whether a member may be too long for a disclosure.

    Numbers are written anew, and 1e15 becomes 1000000000000000.0.
    """
    members = [each for data in facts.data for each in data.values()]
    natives = [native for native, _ in facts.types]
    distinct = {id(each): each for each in (*members, facts.native_type, *natives)}
    return any(
        len(json.dumps(each, ensure_ascii=False).encode()) > MAX_MEMBER_BYTES
        for each in distinct.values()
    )


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
    if isinstance(value, list | dict):
        return format_time(now_ms), ("time_unreadable",)
    try:
        return normalise_time(str(value), zoneless_is_utc=True), ()
    except ValueError:
        return format_time(now_ms), ("time_unreadable",)


def _sequence(
    value: JsonValue, flags: tuple[str, ...]
) -> tuple[int | None, tuple[str, ...]]:
    if value is None:
        return None, flags
    try:
        return parse_decimal(_decimal(value), maximum=MAX_SAFE_INTEGER), flags
    except MalformedError:
        return None, (*flags, "seq_unreadable")


def _decimal(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    # Longer ones are none that are taken, and slow to read or to write out.
    if isinstance(value, str):
        return value if len(value) <= MAX_DIGITS else ""
    return str(value) if abs(value) <= MAX_SAFE_INTEGER else ""


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _fitting_time(value: JsonValue) -> JsonValue:
    if isinstance(value, list | dict):
        return None
    return _short(value) if isinstance(value, str) else value


def _original(record: bytes, media_type: str) -> dict[str, JsonValue]:
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is None or _CONTROLS.search(text):
        return {
            "media_type": "application/octet-stream",
            "body_base64": encode_base64(record),
        }
    return {"media_type": media_type, "body": text}


def _without_details(facts: Facts) -> Facts:
    return replace(
        facts,
        time=_short(facts.time),
        native_type=_short(facts.native_type),
        types=[(_short(native), ours) for native, ours in facts.types],
        data=[_identities(data) for data in facts.data],
    )


def _short(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_NAME_LENGTH else None


def _identities(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    slim: dict[str, JsonValue] = {}
    for name in _PARTIES:
        party = data.get(name)
        if isinstance(party, dict) and "id" in party:
            slim[name] = {key: party[key] for key in ("id", "ns") if key in party}
    outcome = data.get("outcome")
    if isinstance(outcome, dict):
        slim["outcome"] = {"result": outcome["result"]}
    return slim
