"""Keycloak's events, as its admin API, its listeners and a webhook extension give them.

Three shapes are one record here, told apart by their members:

- an admin event (`operationType`, `resourceType`): what an administrator did,
- a user event (`type`, `userId`): what somebody did to their own account,
- either of them from the webhooks of p2-inc/keycloak-events, which add `uid`, a `type`
  with the prefix `admin.` or `access.`, and names.

`TYPES` names the types that have a counterpart; all others become `other.…`. Ids come
from `resourcePath`, names and role lists from `representation`, a JSON text that is
there only where the realm says so. Nothing is inferred: an update that sets `enabled`
to false is `account.update` with that change, as Keycloak sends the whole account and
not what was different before. Several roles of one mapping make several events, at most
`MAX_EVENTS_OF_RECORD`.

The id is `id`, which the admin API and the webhooks share (Keycloak 26.2 and newer; the
`uid` of a webhook is another one for each delivery). So that an event that comes both
ways is one, actor and target hold nothing that only one of them tells: names that the
webhook adds stand in the context.

Flags: those of `building`, `targets_cut`, `changes_cut`; `representation_missing` and
`representation_unreadable` where it would have said what was set or which roles;
`path_unknown` where no id could be taken from the path.

Sources: Keycloak's `AdminEventRepresentation`, `EventRepresentation` and the resources
that send them; `ExtendedAdminEvent` of p2-inc/keycloak-events.
"""

from typing import Final, NamedTuple

from provlog.merkle.encoding import JsonValue, format_time, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.connectors.building import Facts, fitting_id, text_members
from provlog.server.intake.connectors.keycloak_paths import Place, find_place
from provlog.server.intake.connectors.keycloak_types import TYPES
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.connectors.reading import as_object, as_text
from provlog.server.intake.data_members import MAX_CHANGES

__all__ = ["CONNECTOR", "MAX_EVENTS_OF_RECORD", "TYPES", "facts_of"]

MAX_EVENTS_OF_RECORD: Final = 64
LATEST_TIME: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

_Entity = dict[str, JsonValue]
_MAPPINGS: Final = frozenset({"REALM_ROLE_MAPPING", "CLIENT_ROLE_MAPPING"})
_MEMBERSHIPS: Final = frozenset({"GROUP_MEMBERSHIP", "ORGANIZATION_MEMBERSHIP"})
_TELLING: Final = frozenset({"CREATE", "UPDATE"})
_OPS: Final = {"CREATE": "add", "UPDATE": "replace"}
_PREVIOUS, _UPDATED = "previous_", "updated_"


class _Done(NamedTuple):
    """What was done to what, in Keycloak's words."""

    resource: str
    operation: str


def facts_of(record: JsonValue) -> Facts:
    """Return what one event says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    done = _admin(record)
    return _user_facts(record) if done is None else _admin_facts(record, done)


def _admin(record: _Entity) -> _Done | None:
    resource, operation = record.get("resourceType"), record.get("operationType")
    if isinstance(resource, str) and isinstance(operation, str):
        return _Done(resource, operation)
    kind = record.get("type")
    if isinstance(kind, str) and kind.startswith("admin."):
        resource, _, operation = kind.removeprefix("admin.").rpartition("-")
        return _Done(resource, operation)
    return None


def _admin_facts(record: _Entity, done: _Done) -> Facts:
    path = record.get("resourcePath")
    place = find_place(done.resource, path if isinstance(path, str) else None)
    representation, unread = _representation(record.get("representation"))
    flags = [unread] if unread else []
    if representation is None and not unread and _is_telling(done, place):
        flags.append("representation_missing")
    if not place.known:
        flags.append("path_unknown")
    several, cut = _several(done, place, representation, record)
    flags += cut
    native = f"{done.resource}-{done.operation}"
    if place.below:
        native += f"/{place.below}"
    common = _common(record, _actor(_auth(record).get("userId")))
    return Facts(
        id=_identifier(record),
        time=_time(record.get("time")),
        native_type=native,
        type=TYPES.get(native),
        data=[{**common, **members} for members in several],
        flags=tuple(flags),
    )


def _is_telling(done: _Done, place: Place) -> bool:
    """Tell whether a representation would say something that nothing else says."""
    if done.resource in _MAPPINGS:
        return done.operation in ("CREATE", "DELETE")
    if done.resource in _MEMBERSHIPS or place.below:
        return False
    return done.operation in _TELLING


def _representation(value: JsonValue) -> tuple[JsonValue, str]:
    """Return a representation, None if there is none, and the flag if it is no JSON.

    An empty one says nothing: Keycloak sends some where it should have said more.
    """
    if isinstance(value, str) and value:
        try:
            value = loads_json(value.encode())
        except (MalformedError, UnicodeEncodeError):
            return None, "representation_unreadable"
    return (value if isinstance(value, dict | list) and value else None), ""


def _several(
    done: _Done, place: Place, representation: JsonValue, record: _Entity
) -> tuple[list[_Entity], list[str]]:
    """Return the members of each event, and flags for what had to be left out."""
    if done.resource in _MAPPINGS:
        return _mappings(place, representation)
    said = as_object(representation)
    members: _Entity = {}
    if place.target is not None:
        members["target"] = _target(done, place, said, as_object(record.get("details")))
    if place.resource is not None:
        members["resource"] = _resource(place, said)
    if done.resource in _MEMBERSHIPS or place.below or done.operation not in _TELLING:
        return [members], []
    changes = _changes(_OPS[done.operation], said)
    if changes:
        members["changes"] = changes[:MAX_CHANGES]
    return [members], ["changes_cut"] if len(changes) > MAX_CHANGES else []


def _mappings(
    place: Place, representation: JsonValue
) -> tuple[list[_Entity], list[str]]:
    listed = representation if isinstance(representation, list) else []
    roles = [role for role in listed if isinstance(role, dict)]
    target: _Entity = fitting_id(place.ids.get("target")) | {"type": place.target}
    several: list[_Entity] = [
        {"target": target, "resource": _role(role, place)}
        for role in roles[:MAX_EVENTS_OF_RECORD]
    ]
    if not several:
        scope = text_members(scope=place.ids.get("scope"))
        several = [{"target": target, "resource": {"type": "role", **scope}}]
    return several, ["targets_cut"] if len(roles) > MAX_EVENTS_OF_RECORD else []


def _role(role: _Entity, place: Place) -> _Entity:
    scope = role.get("containerId") or place.ids.get("scope")
    return fitting_id(role.get("id")) | text_members(
        type="role", name=role.get("name"), scope=scope
    )


def _target(done: _Done, place: Place, said: _Entity, details: _Entity) -> _Entity:
    found = place.ids.get("target")
    if done.resource in _MEMBERSHIPS:
        # Whom it is about is told by name alone where an organisation gets a member.
        own = done.resource == "ORGANIZATION_MEMBERSHIP"
        name = details.get("username") if own else None
    else:
        name = None if place.below else said.get("username") or said.get("name")
        found = found or as_text(said.get("id"))
    return fitting_id(found) | text_members(type=place.target, name=name)


def _resource(place: Place, said: _Entity) -> _Entity:
    ids = place.ids
    own = {} if place.below else said
    name = own.get("name") or own.get("clientId") or own.get("alias")
    return fitting_id(ids.get("resource") or own.get("id")) | text_members(
        type=place.resource, name=name or ids.get("name"), scope=ids.get("scope")
    )


def _changes(op: str, said: _Entity) -> list[JsonValue]:
    names = sorted(said)[: MAX_CHANGES + 1]
    return [{"op": op, "path": name, "value": said[name]} for name in names]


def _user_facts(record: _Entity) -> Facts:
    native = record.get("type")
    name = native if isinstance(native, str) else ""
    from_webhook = "uid" in record
    own = name.startswith("access.") or not from_webhook
    name = name.removeprefix("access.")
    user, details = _user(record), as_object(record.get("details"))
    common = _common(record, _actor(user))
    target = _actor(user) | text_members(name=details.get("username"))
    if user:
        common["target"] = target
    changes = _detailed_changes(details)
    if changes:
        common["changes"] = changes[:MAX_CHANGES]
    if name.endswith("_ERROR"):
        outcome = text_members(reason=record.get("error"))
        common["outcome"] = {"result": "failure", **outcome}
    elif not name and not record.get("error"):
        # What is no event of Keycloak's says of nothing that it came about.
        del common["outcome"]
    return Facts(
        id=_identifier(record),
        time=_time(record.get("time")),
        native_type=name or native,
        type=TYPES.get(name.removesuffix("_ERROR")) if own else None,
        data=[common],
        flags=("changes_cut",) if len(changes) > MAX_CHANGES else (),
    )


def _detailed_changes(details: _Entity) -> list[JsonValue]:
    """Return the changes that details tell of as `previous_x` and `updated_x`."""
    fields = {
        name.removeprefix(prefix)
        for name in details
        for prefix in (_PREVIOUS, _UPDATED)
        if name.startswith(prefix)
    }
    return [
        {
            "op": "replace",
            "path": each,
            "old": details.get(_PREVIOUS + each),
            "value": details.get(_UPDATED + each),
        }
        for each in sorted(fields)[: MAX_CHANGES + 1]
    ]


def _common(record: _Entity, actor: _Entity) -> _Entity:
    error = record.get("error")
    outcome = text_members(reason=error)
    members: _Entity = {
        "actor": actor,
        "outcome": {"result": "failure" if error else "success", **outcome},
        "context": _context(record),
    }
    return {name: member for name, member in members.items() if member}


def _context(record: _Entity) -> _Entity:
    auth = _auth(record)
    return text_members(
        ip=auth.get("ipAddress") or record.get("ipAddress"),
        client_id=auth.get("clientId") or record.get("clientId"),
        session_id=auth.get("sessionId") or record.get("sessionId"),
        actor_name=auth.get("username"),
        actor_realm=auth.get("realmId"),
        realm_id=record.get("realmId"),
        realm=record.get("realmName"),
        resource_path=record.get("resourcePath"),
    )


def _actor(user: JsonValue) -> _Entity:
    return fitting_id(user) | {"type": "user"} if isinstance(user, str) and user else {}


def _user(record: _Entity) -> JsonValue:
    return record.get("userId") or _auth(record).get("userId")


def _auth(record: _Entity) -> _Entity:
    return as_object(record.get("authDetails"))


def _identifier(record: _Entity) -> JsonValue:
    return record.get("id") or record.get("uid")


def _time(value: JsonValue) -> JsonValue:
    """Return the time in RFC 3339 that milliseconds since 1970 stand for."""
    if isinstance(value, int) and not isinstance(value, bool):
        return format_time(value) if 0 <= value <= LATEST_TIME else value
    return value


CONNECTOR: Final = MappedConnector("keycloak", "1", facts_of, JsonHook())
"""The connector for Keycloak's admin and user events."""
