"""Entra's audit log: what was done to accounts, groups, roles and applications.

`directoryAudit` of Microsoft Graph v1.0, and the same as Azure Monitor exports it.

`targetResources` is in no order that is promised, and not whole: of a group or role the
name, and sometimes the id, stand among the `modifiedProperties` of the member
(`Group.ObjectID`, `Role.DisplayName`); of an assignment to an application only the
application is listed, with the `AppRole` in it, and whom it was assigned to stands
there. So what such a property names is completed from it. Nothing else is inferred.

The target is chosen by type: users, else service principals, devices, groups; the
resource is what remains, of one type: roles, groups, applications or policies first. An
application whose role is assigned, and a group or role whose member is changed, is the
resource. Several of either make several events, at most `MAX_EVENTS_OF_RECORD`, beyond
which the flag `targets_cut` says that labels are missing.

A user is known by its principal name where there is one: a display name is often left
out of one of the two spellings of a record.
"""

from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Final, TypeAlias

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts, text_members
from provlog.server.intake.connectors.entra_reading import (
    MAX_OBJECTS,
    Object,
    changes_of,
    kind_of,
    members,
    objects,
    party,
    second_of,
    text,
)
from provlog.server.intake.connectors.entra_types import audit_type
from provlog.server.intake.data_members import MAX_CHANGES

MAX_EVENTS_OF_RECORD: Final = 64
MAX_CARRIERS: Final = 16
"""Of how many target resources it is read what they say of others; it is one or two."""

_TARGETS: Final = ("user", "service_principal", "device", "group")
_RESOURCES: Final = ("role", "group", "app", "service_principal", "policy")
_RESULTS: Final = {
    "success": "success",
    "failure": "failure",
    "failed": "failure",
}
_APP: Final = "service_principal"
_APPS: Final = (_APP, "app")
_NAMED: Final = {
    "group": "group",
    "role": "role",
    "serviceprincipal": _APP,
    "user": "user",
}
_GRANTS: Final = ("approle.", "delegatedpermissiongrant.")


def is_audit(record: Object, category: str) -> bool:
    """Tell whether a record, its names in lower case, is one of this log."""
    return "activitydisplayname" in record or category == "auditlogs"


def audit_facts(record: Object, envelope: Object) -> Facts:
    """Return what a record says; `envelope` is the export's around it, or empty."""
    activity = text(record.get("activitydisplayname"))
    activity = activity or text(envelope.get("operationname"))
    time = record.get("activitydatetime", envelope.get("time"))
    common = _common(record, envelope)
    pairs = list(islice(_pairs(record), MAX_EVENTS_OF_RECORD + 1))
    several = _members_of(pairs[:MAX_EVENTS_OF_RECORD])
    cut = [_cut_changes(each) for each in several]
    found = {
        "targets_cut": len(pairs) > MAX_EVENTS_OF_RECORD or _is_long(record),
        "changes_cut": any(cut),
    }
    return Facts(
        id=record.get("id"),
        time=time,
        compared_time=second_of(time),
        native_type=activity or None,
        type=audit_type(activity),
        data=[{**common, **each} for each in several],
        flags=tuple(flag for flag, is_so in found.items() if is_so),
    )


def _is_long(record: Object) -> bool:
    listed = record.get("targetresources")
    return isinstance(listed, list) and len(listed) > MAX_OBJECTS


@dataclass(frozen=True, slots=True, eq=False)
class _Entity:
    """One of the target resources: what it is, what was changed about it.

    `named` are the parties that its modified properties name, by kind; `granted` says
    that they name a role or permission of this entity, which is an application then.
    """

    kind: str
    party: Object
    changes: list[JsonValue] = field(default_factory=list)
    named: dict[str, Object] = field(default_factory=dict)
    granted: bool = False


_Pair: TypeAlias = tuple[_Entity | None, _Entity | None]


def _pairs(record: Object) -> "product[_Pair]":
    listed = [_entity(each) for each in objects(record.get("targetresources"))]
    entities = _completed(listed)
    chosen = [each for each in entities if _is_resource(each, entities)]
    others = [each for each in entities if each not in chosen]
    targets = _of_first_kind(others, _TARGETS)
    rest = [each for each in others if each not in targets]
    resources = chosen or _of_first_kind(rest, _RESOURCES) or _alike(rest)
    first: list[_Entity | None] = [*targets] or [None]
    second: list[_Entity | None] = [*resources] or [None]
    return product(first, second)


def _of_first_kind(entities: list[_Entity], kinds: tuple[str, ...]) -> list[_Entity]:
    for kind in kinds:
        if found := [each for each in entities if each.kind == kind]:
            return found
    return []


def _alike(entities: list[_Entity]) -> list[_Entity]:
    return [each for each in entities if each.kind == entities[0].kind]


def _is_resource(entity: _Entity, entities: list[_Entity]) -> bool:
    if entity.granted or (entity.kind == _APP and _APP in entity.named):
        return True
    # Of two groups the one that the other names is the one that it became a member of.
    return entity.kind == "group" and any(
        each is not entity and each.kind == "group" and _names(each, entity)
        for each in entities
    )


def _names(one: _Entity, other: _Entity) -> bool:
    identifier = one.named.get(other.kind, {}).get("id")
    return identifier is not None and identifier == other.party.get("id")


def _entity(resource: Object) -> _Entity:
    kind = kind_of(resource.get("type"))
    upn, name = resource.get("userprincipalname"), resource.get("displayname")
    changes = changes_of(resource.get("modifiedproperties"), as_json=True)
    values = _values(changes)
    scope = values.get("approle.value") or values.get("delegatedpermissiongrant.scope")
    return _Entity(
        kind,
        party(kind, resource.get("id"), upn, name) | text_members(scope=scope),
        changes,
        _named(values),
        granted=kind in _APPS and any(name.startswith(_GRANTS) for name in values),
    )


def _values(changes: list[JsonValue]) -> dict[str, str]:
    """Return the texts among new values, or old ones, by property in lower case."""
    values: dict[str, str] = {}
    for each in map(members, changes):
        value = text(each.get("value")) or text(each.get("old"))
        values.setdefault(text(each.get("path")).lower(), value)
    return values


def _named(values: dict[str, str]) -> dict[str, Object]:
    named: dict[str, Object] = {}
    for prefix, kind in _NAMED.items():
        names = (values.get(f"{prefix}.{end}") for end in ("upn", "displayname"))
        found = party(None, values.get(f"{prefix}.objectid"), *names)
        if found:
            named[kind] = text_members(type=kind) | found
    return named


def _completed(entities: list[_Entity]) -> list[_Entity]:
    """Return the entities, with what others say of them and of some not listed."""
    found = list(entities)
    carriers = [at for at, each in enumerate(entities) if each.named]
    for carrier in carriers[:MAX_CARRIERS]:
        for kind, named in entities[carrier].named.items():
            places = enumerate(found)
            known = [at for at, each in places if at != carrier and each.kind == kind]
            same = [at for at in known if _may_be(found[at], named, len(known))]
            if same:
                one = found[same[0]]
                found[same[0]] = replace(one, party=named | one.party)
            elif "id" in named or not known:
                found.append(_Entity(kind, named))
    return found


def _may_be(entity: _Entity, named: Object, known: int) -> bool:
    """Tell whether an entity is the one that is named; without an id it is the only."""
    return entity.party.get("id") == named["id"] if "id" in named else known == 1


def _members_of(pairs: list[_Pair]) -> list[Object]:
    """Return the members of each pair; its changes stand with an entity's first."""
    told: set[int] = set()
    several: list[Object] = []
    for target, resource in pairs:
        found: Object = {}
        changes: list[JsonValue] = []
        for name, entity in (("target", target), ("resource", resource)):
            if entity is not None:
                found[name] = entity.party
                changes += [] if id(entity) in told else entity.changes
                told.add(id(entity))
        several.append(found | ({"changes": changes} if changes else {}))
    return several


def _cut_changes(found: Object) -> bool:
    changes = found.get("changes")
    if not isinstance(changes, list) or len(changes) <= MAX_CHANGES:
        return False
    del changes[MAX_CHANGES:]
    return True


def _common(record: Object, envelope: Object) -> Object:
    found: Object = {
        "actor": _actor(record),
        "outcome": _outcome(record, envelope),
        "context": _context(record, envelope),
    }
    return {name: member for name, member in found.items() if member}


def _actor(record: Object) -> Object:
    who = members(record.get("initiatedby"))
    user, app = members(who.get("user")), members(who.get("app"))
    if any(user.get(name) for name in ("id", "userprincipalname", "displayname")):
        names = user.get("userprincipalname"), user.get("displayname")
        return party("user", user.get("id"), *names)
    if app:
        names = app.get("displayname"), app.get("serviceprincipalname")
        identifier = app.get("serviceprincipalid") or app.get("appid")
        return party(_APP, identifier, *names)
    return {}


def _outcome(record: Object, envelope: Object) -> Object:
    sent = text(record.get("result")) or text(envelope.get("result"))
    if not sent:
        return {}
    ours = _RESULTS.get(sent.lower(), "unknown")
    theirs = sent.lower() if ours == "unknown" else None
    reason = record.get("resultreason")
    return {"result": ours, **text_members(reason=reason, provider_result=theirs)}


def _context(record: Object, envelope: Object) -> Object:
    user = members(members(record.get("initiatedby")).get("user"))
    told = {
        text(each.get("key")).lower(): each.get("value")
        for each in objects(record.get("additionaldetails"))
    }
    return text_members(
        request_id=record.get("correlationid") or envelope.get("correlationid"),
        reason=told.get("justification"),
        ip=user.get("ipaddress") or envelope.get("calleripaddress"),
        user_agent=record.get("useragent") or told.get("user-agent"),
        actor_display_name=user.get("displayname"),
        category=record.get("category"),
        service=record.get("loggedbyservice"),
        operation=record.get("operationtype"),
    )
