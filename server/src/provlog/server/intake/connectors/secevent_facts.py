"""What the claims of a security event token say, in provlog's words.

Each event URI is an event of its own; one PATCH of a group that only adds and removes
members is one for each member. Several events of one token share its subject, its
transaction (`txn`, RFC 8417) and its time.

The time is `toe`, else the first event's `event_timestamp`, else `iat`. Seconds beyond
the year 9999 are milliseconds: drafts of CAEP counted so. A token states what happened;
an outcome is told by an asynchronous response alone.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Final

from provlog.merkle.encoding import JsonValue, format_time
from provlog.merkle.event_tokens import claims_in, event_id
from provlog.server.intake.connectors.building import Facts, fitting_id, text_members
from provlog.server.intake.connectors.reading import as_object
from provlog.server.intake.connectors.scim_steps import (
    MemberStep,
    Step,
    active_of,
    member_step,
    read_steps,
)
from provlog.server.intake.connectors.secevent_subjects import resource_kind, target_of
from provlog.server.intake.connectors.secevent_types import (
    ASYNC_RESPONSE,
    CREDENTIAL_CHANGE,
    CREDENTIAL_TYPES,
    METHODS,
    SCIM,
    scim_type,
    type_of,
)
from provlog.server.intake.data_members import MAX_CHANGES

MAX_EVENTS_OF_RECORD: Final = 64

Object = dict[str, JsonValue]

_LAST_SECOND: Final = 253_402_300_799
_PATCH: Final = f"{SCIM}prov:patch:full"
_WHOLE: Final = frozenset({f"{SCIM}prov:create:full", f"{SCIM}prov:put:full"})
_NOT_ATTRIBUTES: Final = frozenset({"schemas", "id", "meta"})


def facts_of(value: JsonValue) -> Facts:
    """Return what a token's claims say; nothing of them has to be there."""
    claims = claims_in(value)
    if claims is None:
        return Facts()
    events = as_object(claims.get("events"))
    told: list[_Told] = []
    for uri, payload in islice(events.items(), MAX_EVENTS_OF_RECORD + 1):
        told += _told(uri, as_object(payload), claims)
    several = told[:MAX_EVENTS_OF_RECORD] or [(None, None, {})]
    flags = ["targets_cut"] if len(told) > MAX_EVENTS_OF_RECORD else []
    cut = [_cut_changes(members) for _, _, members in several]
    if any(cut):
        flags.append("changes_cut")
    return Facts(
        id=event_id(claims),
        time=_time(claims, [*map(as_object, events.values())]),
        types=[(uri, kind) for kind, uri, _ in several],
        data=[members for _, _, members in several],
        flags=tuple(flags),
        compared=_digest(claims),
    )


_Told = tuple[str | None, str | None, Object]


def _told(uri: str, payload: Object, claims: Object) -> list[_Told]:
    """Return the events of one event URI: type, native type and members."""
    subject = claims.get("sub_id") or payload.get("subject") or _old_subject(claims)
    common = target_of(subject, claims.get("iss"))
    context = _context(payload, claims)
    if context:
        common["context"] = context
    kind = resource_kind(subject)
    if uri.lower() == _PATCH and kind == "Groups":
        members = _members(read_steps(payload.get("data")))
        if members:
            return [_membership(uri, common, *each) for each in members]
    changes = _changes(uri.lower(), payload)
    if changes:
        common["changes"] = changes
    outcome = _outcome(payload) if uri.lower() == ASYNC_RESPONSE else {}
    if outcome:
        common["outcome"] = outcome
    return [(_type(uri, payload, kind), uri, common)]


def _members(steps: Sequence[Step]) -> list[tuple[str, Object]]:
    """Return the members that were added and removed, by "add" and "remove".

    Nobody where anything else was done as well, or who came and went cannot be told.
    """
    found: list[tuple[str, Object]] = []
    for step in map(member_step, steps):
        if step is None or not _is_told(step):
            return []
        found += [(step.op, each) for each in step.members or ()]
    return found


def _is_told(step: MemberStep) -> bool:
    return step.op in ("add", "remove") and bool(step.members)


def _membership(uri: str, common: Object, op: str, member: Object) -> _Told:
    kind = member.get("type")
    target = fitting_id(member.get("value")) | text_members(
        type=kind.lower() if isinstance(kind, str) else None,
        name=member.get("display"),
    )
    group = common.get("target")
    members: Object = {"target": target} if target else {}
    if group is not None:
        members["resource"] = group
    if "context" in common:
        members["context"] = common["context"]
    return f"group.member.{op}", uri, members


def _type(uri: str, payload: Object, kind: str | None) -> str | None:
    known = uri.lower()
    if known == CREDENTIAL_CHANGE:
        change = payload.get("change_type")
        return CREDENTIAL_TYPES.get(str(change), type_of(uri, kind))
    if known == ASYNC_RESPONSE:
        verb = METHODS.get(str(payload.get("method")).upper())
        return scim_type(verb, kind) if verb else type_of(uri, kind)
    if known == _PATCH and kind == "Users":
        active = active_of(read_steps(payload.get("data")))
        if active is not None:
            return "account.enable" if active else "account.disable"
    return type_of(uri, kind)


def _changes(uri: str, payload: Object) -> list[JsonValue]:
    data, names = payload.get("data"), payload.get("attributes")
    if uri == _PATCH:
        return [step.change(None) for step in read_steps(data)]
    if uri in _WHOLE and isinstance(data, dict):
        op = "add" if "create" in uri else "replace"
        return [
            {"op": op, "path": name, "value": value}
            for name, value in islice(data.items(), MAX_CHANGES + 1)
            if name not in _NOT_ATTRIBUTES
        ]
    if uri.startswith(SCIM) and isinstance(names, list):
        texts = [each for each in names[: MAX_CHANGES + 1] if isinstance(each, str)]
        return [{"path": each} for each in texts]
    new = payload.get("new-value")
    return [{"op": "replace", "value": new}] if isinstance(new, str) else []


def _cut_changes(members: Object) -> bool:
    changes = members.get("changes")
    if not isinstance(changes, list) or len(changes) <= MAX_CHANGES:
        return False
    del changes[MAX_CHANGES:]
    return True


def _context(payload: Object, claims: Object) -> Object:
    status = payload.get("status")
    return text_members(
        transaction_id=claims.get("txn"),
        initiating_entity=payload.get("initiating_entity"),
        message=_localised(payload.get("reason_admin")),
        reason=payload.get("reason"),
        credential_type=payload.get("credential_type"),
        resource_version=payload.get("version"),
        bulk_id=payload.get("bulkId"),
        location=payload.get("location"),
        status=status if isinstance(status, str) else None,
    )


def _localised(value: JsonValue) -> JsonValue:
    """Return a CAEP reason in English if there is one, else the first (section 2)."""
    if not isinstance(value, dict):
        return value
    return value.get("en") or next(iter(value.values()), None)


def _outcome(payload: Object) -> Object:
    """Return the outcome that a SCIM status in digits stands for."""
    error = as_object(payload.get("response"))
    status = str(payload.get("status") or error.get("status"))
    result = {"2": "success", "4": "failure", "5": "failure"}.get(status[:1])
    if len(status) != 3 or not status.isdigit() or result is None:
        return {"result": "unknown"}
    reason = error.get("detail") or error.get("scimType")
    return {"result": result, **text_members(reason=reason)}


def _digest(claims: Object) -> str:
    """Return what is equal for equal claims: a token is never sent with others."""
    spelled = json.dumps(claims, sort_keys=True, separators=(",", ":"))
    return sha256(spelled.encode()).hexdigest()


def _time(claims: Object, payloads: list[Object]) -> JsonValue:
    stamps = [each["event_timestamp"] for each in payloads if "event_timestamp" in each]
    for value in (claims.get("toe"), *stamps[:1], claims.get("iat")):
        if value is not None:
            return _moment(value)
    return None


def _moment(value: JsonValue) -> JsonValue:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return value
    milliseconds = value if value > _LAST_SECOND else value * 1000
    if milliseconds > _LAST_SECOND * 1000:
        return value
    return format_time(int(milliseconds))


def _old_subject(claims: Mapping[str, JsonValue]) -> Object:
    """Return the subject of a token that still says `sub` (RFC 8417 section 2.2)."""
    sub = claims.get("sub")
    return {"format": "opaque", "id": sub} if isinstance(sub, str) else {}
