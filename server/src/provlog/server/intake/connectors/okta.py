"""Okta System Log records (`LogEvent`), as its API, exports and log streams give them.

A body is a JSON array, NDJSON or a single object. What becomes of Okta's event types,
and why some have no counterpart, stands in `okta_types`.

Rebuilt from it are actor, target, resource, changes (`changeDetails`), outcome and a
context (request, address, transaction, message, `privilegeGranted`); the record itself
is kept byte for byte in `original`. Nothing is inferred: `user.account.lock` often has
no target and then gets none, although its actor is the account that was locked.

Okta promises no order in `target`, so the target is chosen by type: the users, else
the app users, else the groups. What remains is the resource: a group or application
first. Several of either make several events, at most `MAX_EVENTS_OF_RECORD`, beyond
which the flag `targets_cut` says that labels are missing.

A target or resource of several events is described, with its changes, in the first of
them; `changes_cut` says that an event has more than `MAX_CHANGES`.

Flags: `time_missing`, `time_unreadable`, `record_too_large`, `details_too_large`,
`targets_cut`, `changes_cut`. Okta keeps its System Log for 90 days; an event hook is no
substitute for reading it, as not every type is eligible for hooks.
"""

from itertools import islice, product

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import (
    Facts,
    fitting_id,
    text_members,
)
from provlog.server.intake.connectors.mapped import MappedConnector
from provlog.server.intake.connectors.okta_hook import OktaHook
from provlog.server.intake.connectors.okta_types import TYPES
from provlog.server.intake.connectors.reading import as_object
from provlog.server.intake.data_members import MAX_CHANGES

__all__ = ["CONNECTOR", "MAX_EVENTS_OF_RECORD", "TYPES", "facts_of"]

MAX_EVENTS_OF_RECORD = 64

_RESULTS = {
    "SUCCESS": "success",
    "ALLOW": "success",
    "FAILURE": "failure",
    "DENY": "failure",
    "SKIPPED": "skipped",
    "CHALLENGE": "pending",
    "DEFERRED": "pending",
    "SCHEDULED": "pending",
}
_KINDS = {
    "User": "user",
    "AppUser": "app_user",
    "UserGroup": "group",
    "AppInstance": "app",
}
_TARGETS = ("User", "AppUser", "UserGroup")
_RESOURCES = ("UserGroup", "AppInstance")


def facts_of(record: JsonValue) -> Facts:
    """Return what one System Log record says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    native_type = record.get("eventType")
    common = _common_members(record)
    pairs = list(islice(_pairs(record.get("target")), MAX_EVENTS_OF_RECORD + 1))
    several = _members_of(pairs[:MAX_EVENTS_OF_RECORD])
    flags = ["targets_cut"] if len(pairs) > MAX_EVENTS_OF_RECORD else []
    cut = [_cut_changes(members) for members in several]
    if any(cut):
        flags.append("changes_cut")
    return Facts(
        id=record.get("uuid"),
        time=record.get("published"),
        native_type=native_type,
        type=TYPES.get(native_type) if isinstance(native_type, str) else None,
        data=[{**common, **members} for members in several],
        flags=tuple(flags),
    )


_Entity = dict[str, JsonValue]


_Pair = tuple[_Entity | None, _Entity | None]


def _pairs(targets: JsonValue) -> "product[_Pair]":
    listed = targets if isinstance(targets, list) else []
    entities = [entity for entity in listed if isinstance(entity, dict) and entity]
    chosen = _of_first_kind(entities, _TARGETS)
    taken = [entity["type"] for entity in chosen[:1]]
    rest = [entity for entity in entities if entity.get("type") not in taken]
    others = _of_first_kind(rest, _RESOURCES) or _others(rest)
    accounts: list[_Entity | None] = [*chosen] if chosen else [None]
    resources: list[_Entity | None] = [*others] if others else [None]
    return product(accounts, resources)


def _of_first_kind(entities: list[_Entity], kinds: tuple[str, ...]) -> list[_Entity]:
    for kind in kinds:
        found = [entity for entity in entities if entity.get("type") == kind]
        if found:
            return found
    return []


def _others(entities: list[_Entity]) -> list[_Entity]:
    """Return the entities of the first kind that is no account."""
    others = [entity for entity in entities if entity.get("type") not in _TARGETS]
    return [entity for entity in others if entity.get("type") == others[0].get("type")]


def _members_of(pairs: list[_Pair]) -> list[_Entity]:
    """Return the members of each pair; its changes stand with an entity's first."""
    parties: dict[int, JsonValue] = {}
    several: list[_Entity] = []
    for target, resource in pairs:
        members: _Entity = {}
        changes: list[JsonValue] = []
        for name, entity in (("target", target), ("resource", resource)):
            if entity is not None:
                if id(entity) not in parties:
                    parties[id(entity)] = _party(entity)
                    changes += _changes(as_object(entity.get("changeDetails")))
                members[name] = parties[id(entity)]
        if changes:
            members["changes"] = changes
        several.append(members)
    return several


def _cut_changes(members: _Entity) -> bool:
    changes = members.get("changes")
    if not isinstance(changes, list) or len(changes) <= MAX_CHANGES:
        return False
    del changes[MAX_CHANGES:]
    return True


def _party(entity: _Entity) -> _Entity:
    kind = entity.get("type")
    party = fitting_id(entity.get("id")) | text_members(
        type=_KINDS.get(kind, kind) if isinstance(kind, str) else None,
        name=entity.get("displayName"),
        alternate_id=entity.get("alternateId"),
    )
    details = as_object(entity.get("detailEntry"))
    return party | ({"details": details} if details else {})


def _changes(details: _Entity) -> list[JsonValue]:
    old, new = as_object(details.get("from")), as_object(details.get("to"))
    return [
        {"op": "replace", "path": path, "old": old.get(path), "value": new.get(path)}
        for path in sorted(old.keys() | new.keys())[: MAX_CHANGES + 1]
    ]


def _common_members(record: _Entity) -> _Entity:
    members: _Entity = {
        "actor": _party(as_object(record.get("actor"))),
        "outcome": _outcome(record),
        "context": _context(record),
    }
    return {name: member for name, member in members.items() if member}


def _outcome(record: _Entity) -> _Entity:
    outcome = as_object(record.get("outcome"))
    result = outcome.get("result")
    if not isinstance(result, str):
        return {}
    # Okta often leaves the reason out and tells it only in the debug data.
    reason = outcome.get("reason") or _debug_data(record).get("errorMessage")
    ours = _RESULTS.get(result, "unknown")
    theirs = None if result.lower() == ours else result
    return {"result": ours, **text_members(reason=reason, provider_result=theirs)}


def _debug_data(record: _Entity) -> _Entity:
    return as_object(as_object(record.get("debugContext")).get("debugData"))


def _context(record: _Entity) -> _Entity:
    client = as_object(record.get("client"))
    transaction = as_object(record.get("transaction"))
    debug_data = _debug_data(record)
    return text_members(
        request_id=debug_data.get("requestId"),
        ip=client.get("ipAddress"),
        user_agent=as_object(client.get("userAgent")).get("rawUserAgent"),
        transaction_id=transaction.get("id"),
        transaction_type=transaction.get("type"),
        message=record.get("displayMessage"),
        severity=record.get("severity"),
        privilege_granted=debug_data.get("privilegeGranted"),
    )


CONNECTOR = MappedConnector("okta", "2", facts_of, OktaHook())
"""The connector for Okta's System Log."""
