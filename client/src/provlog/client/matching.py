"""Whether a receipt is about what was submitted.

A receipt that verifies proves that *an* entry stands in the log. That it is the entry
of one's own event is a separate question: a log could answer with another event's
receipt, or with an entry in which it changed something.

The comparison follows the split of an event into members (design section 5). What a
submitter cannot know is taken from the log: `ns` where the event has none of its own,
and everything in `ingest`. The blinded `id` and the tags are made with keys that only
the log has; the raw id is compared in the member `event`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from provlog.merkle.encoding import JsonValue, decode_base64, parse_decimal
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.receipts import VerifiedReceipt

_ATTRIBUTES = frozenset(
    {"specversion", "id", "source", "type", "time", "sequence", "data"}
)
_IDENTITY = ("id", "ns", "type")
_REFERENCES = ("ticket", "request_id")
_WHOLE = ("resource", "changes", "outcome", "original")

JsonObject = Mapping[str, JsonValue]


def require_event(receipt: VerifiedReceipt, event: JsonObject, *, fresh: bool) -> None:
    """Return if the receipt's entry is that of `event`, or raise `ContentError`.

    `event` is the CloudEvent as it was sent. With `fresh` false the log says that it
    knew the event already: what does not make two events different (further attributes,
    `sequence` and `original`) is then not compared, because the entry holds what was
    sent the first time.
    """
    entry = receipt.entry
    if not entry.understood or entry.kind != "event":
        raise ContentError("receipt: its entry is not an event")
    for name in ("source", "type"):
        if entry.body[name] != event.get(name):
            raise ContentError(f"receipt: the entry's {name} is not the one submitted")
    _require_time(entry.body["time"], event.get("time"))
    if fresh and entry.body.get("seq") != _sequence(event):
        raise ContentError("receipt: the entry's seq is not the one submitted")
    _require_members(receipt, event, fresh=fresh)


def require_identity(receipt: VerifiedReceipt, source: str, event_id: str) -> bool:
    """Tell whether the receipt proves its entry to be that of this source and id.

    False where it withholds the id: the entry is then an event of the source, and which
    one is the log's word alone. Raises `ContentError` where it is another one.
    """
    require_source(receipt, source)
    if "event" in receipt.withheld:
        return False
    if event_member(receipt).get("id") != event_id:
        raise ContentError("receipt: of another event than the one asked for")
    return True


def require_source(receipt: VerifiedReceipt, source: str) -> None:
    """Return if the receipt's entry is an event of this source, or raise."""
    entry = receipt.entry
    if not entry.understood or entry.kind != "event" or entry.body["source"] != source:
        raise ContentError("receipt: its entry is not an event of that source")


def require_opened(receipt: VerifiedReceipt) -> None:
    """Return if the receipt opens all that its entry has, or raise `ContentError`."""
    if receipt.withheld:
        names = ", ".join(receipt.withheld)
        raise ContentError(f"receipt: withholds from its submitter: {names}")


def event_member(receipt: VerifiedReceipt) -> JsonObject:
    """Return the opened member `event`: the raw id, and more of the sender's words."""
    member = receipt.disclosures.get("event")
    value = member.value if member else None
    if not isinstance(value, dict):
        raise ContentError("receipt: does not tell the id of its event")
    return value


def original_bytes(receipt: VerifiedReceipt) -> bytes | None:
    """Return the provider's record that a receipt opens; None if there is none."""
    member = receipt.disclosures.get("original")
    value = member.value if member else None
    if not isinstance(value, dict):
        return None
    body, encoded = value.get("body"), value.get("body_base64")
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(encoded, str) and encoded.isascii():
        return decode_base64(encoded, "receipt: original")
    raise MalformedError("receipt: the original record has no body")


def original_redacted(receipt: VerifiedReceipt) -> tuple[str, ...]:
    """Return the JSON pointers of what was cut out of the record a receipt opens."""
    member = receipt.disclosures.get("original")
    value = member.value if member else None
    pointers = value.get("redacted", []) if isinstance(value, dict) else []
    if not isinstance(pointers, list):
        raise MalformedError("receipt: what the original record lost is no list")
    return tuple(str(each) for each in pointers)


def _require_members(
    receipt: VerifiedReceipt, event: JsonObject, *, fresh: bool
) -> None:
    require_opened(receipt)
    found = {name: each.value for name, each in receipt.disclosures.items()}
    ingest = found.pop("ingest", None)
    expected = split_event(event, ingest.get("ns") if isinstance(ingest, dict) else "")
    if not fresh:
        for members in (found, expected):
            members.pop("original", None)
            members["event"] = _core_of(members.get("event"))
    for name in sorted(found.keys() | expected.keys()):
        if name not in expected:
            raise ContentError(f"receipt: member {name} was not submitted")
        if name not in found:
            raise ContentError(f"receipt: member {name} is missing")
        if _canonical(found[name]) != _canonical(expected[name]):
            raise ContentError(f"receipt: member {name} is not what was submitted")


def split_event(event: JsonObject, ns: JsonValue) -> dict[str, JsonValue]:
    """Return the members of an event as the log splits it, but for `ingest`.

    `ns` is the namespace of the source's ids.
    """
    data = event.get("data")
    members: dict[str, JsonValue] = {"event": _attributes(event)}
    if not isinstance(data, dict):
        return members
    for name in ("actor", "target"):
        party = data.get(name)
        if isinstance(party, dict):
            members[name] = {"ns": ns} | {
                key: party[key] for key in _IDENTITY if party.get(key) is not None
            }
            _put_rest(members, f"{name}_details", party, _IDENTITY)
    context = data.get("context")
    if isinstance(context, dict):
        references = {key: context[key] for key in _REFERENCES if key in context}
        if references:
            members["context"] = references
        _put_rest(members, "context_details", context, _REFERENCES)
    for name in _WHOLE:
        if data.get(name) is not None:
            members[name] = data[name]
    return members


def _put_rest(
    members: dict[str, JsonValue],
    name: str,
    whole: JsonObject,
    without: tuple[str, ...],
) -> None:
    rest = {key: value for key, value in whole.items() if key not in without}
    if rest:
        members[name] = rest


def _attributes(event: JsonObject) -> dict[str, JsonValue]:
    # To CloudEvents an attribute that is null is one that is absent.
    return {
        name: value
        for name, value in event.items()
        if value is not None and (name in ("id", "time") or name not in _ATTRIBUTES)
    }


def _core_of(member: JsonValue) -> JsonValue:
    if not isinstance(member, dict):
        return member
    return {name: member[name] for name in ("id", "time") if name in member}


def _sequence(event: JsonObject) -> int | None:
    value = event.get("sequence")
    try:
        return None if value is None else parse_decimal(str(value))
    except MalformedError:
        return None


def _canonical(value: JsonValue) -> str:
    # Not ==, to which true and 1 are the same.
    return json.dumps(value, sort_keys=True)


def _require_time(recorded: JsonValue, sent: JsonValue) -> None:
    """Compare an entry's time with the one sent; a missing one is the log's to set."""
    if sent is None:
        return
    if not isinstance(sent, str) or recorded != _normalise(sent):
        raise ContentError("receipt: the entry's time is not the one submitted")


def _normalise(sent: str) -> str | None:
    """Return an RFC 3339 time in the form of leaves: UTC, milliseconds, truncated.

    A leap second is the last millisecond of its minute.
    """
    text = sent.upper()
    if text[17:19] == "60":
        # What follows is the offset, behind the fraction if there is one.
        text = f"{text[:17]}59.999{text[19:].lstrip('.0123456789')}"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return None
        utc = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return f"{utc.isoformat(timespec='milliseconds')}Z"
