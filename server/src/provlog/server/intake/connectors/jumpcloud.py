"""JumpCloud's Directory Insights: the events of its API, S3 exports and forwarders.

`event_type` names what happened, `resource` to what, `initiated_by` who did it,
`changes` what is different. A resource that is an account or a group is the target, any
other the resource. Without `success` there is no outcome: JumpCloud writes it for
attempts, and nothing is inferred.

`association_change` says that two things were bound or unbound, in either order, in
`association.connection` and `association.op`. An account and a group of accounts make a
membership; an account or group and an application an assignment; an account or group
and a device, a server or another directory an entitlement. Between others it stays
`other.association_change`.

The `user_…_provision` events tell of the account inside an application and stay
`other.…`: an `account.*` here is the account at JumpCloud. `user_password_set` says
that an account left its pending state, not how, and stays `other.…` too.

Sources: JumpCloud's documentation of the Directory Insights API ("Event Types") and its
API v2 (`GraphType`, `GraphOperation`). The members of `association` are not documented;
they are read as in published examples.
"""

from itertools import islice, product
from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts, fitting_id, text_members
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.connectors.reading import as_object
from provlog.server.intake.data_members import MAX_CHANGES

_EVENTS: Final = {
    "admin_create": "account.create",
    "admin_delete": "account.delete",
    "admin_lockout": "account.lock",
    "admin_password_change": "credential.update",
    "admin_suspended": "account.disable",
    "admin_totp_finish_enrollment": "credential.create",
    "admin_unsuspend": "account.enable",
    "admin_update": "account.update",
    "authnpolicy_create": "policy.create",
    "authnpolicy_delete": "policy.delete",
    "authpolicy_update": "policy.update",
    "group_create": "group.create",
    "group_delete": "group.delete",
    "group_update": "group.update",
    "policy_create": "policy.create",
    "policy_delete": "policy.delete",
    "policy_update": "policy.update",
    "totp_delete_enrollment": "credential.revoke",
    "totp_finish_enrollment": "credential.create",
    "user_activated": "account.enable",
    "user_admin_granted": "entitlement.grant",
    "user_admin_revoked": "entitlement.revoke",
    "user_create": "account.create",
    "user_delete": "account.delete",
    "user_group_admin_grant": "role.assign",
    "user_group_admin_revoke": "role.revoke",
    "user_lockout": "account.lock",
    "user_password_change": "credential.update",
    "user_suspended": "account.disable",
    "user_unlocked": "account.unlock",
    "user_unsuspended": "account.enable",
    "user_update": "account.update",
}
_ASSOCIATION: Final = "association_change"
_HOLDERS: Final = ("user", "user_group")
_SYSTEMS: Final = (
    "active_directory",
    "g_suite",
    "ldap_server",
    "office_365",
    "radius_server",
    "system",
    "system_group",
)
_BOUND: Final = {
    ("user", "user_group"): ("group.member.add", "group.member.remove"),
    **dict.fromkeys(product(_HOLDERS, ["application"]), ("app.assign", "app.unassign")),
    **dict.fromkeys(
        product(_HOLDERS, _SYSTEMS), ("entitlement.grant", "entitlement.revoke")
    ),
}
_OPERATIONS: Final = ("add", "remove")

TYPES: Final[dict[str, str]] = _EVENTS | {
    f"{_ASSOCIATION} {op} {holder} {held}": ours
    for (holder, held), both in sorted(_BOUND.items())
    for op, ours in zip(_OPERATIONS, both, strict=True)
}
"""JumpCloud's event types, bindings with what they bind, and their counterparts."""

_ACCOUNTS: Final = frozenset(
    {"user", "systemuser", "admin", "group", "user_group", "system_group"}
)
_KINDS: Final = {"systemuser": "user"}
_Entity = dict[str, JsonValue]


def facts_of(record: JsonValue) -> Facts:
    """Return what one event of Directory Insights says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    native = _text(record.get("event_type"))
    flags: tuple[str, ...] = ()
    if native == _ASSOCIATION:
        kind, members = _association(as_object(record.get("association")))
    else:
        kind = _EVENTS.get(native)
        members = _resource(as_object(record.get("resource")))
    changes = _changes(record.get("changes"))
    if changes:
        members["changes"] = changes[:MAX_CHANGES]
        flags = ("changes_cut",) if len(changes) > MAX_CHANGES else ()
    return Facts(
        id=record.get("id"),
        time=record.get("timestamp"),
        native_type=native,
        type=kind,
        data=[_common_members(record) | members],
        flags=flags,
    )


def _party(entity: _Entity) -> _Entity:
    kind = _text(entity.get("type"))
    identifier = entity.get("id") or entity.get("object_id")
    found = fitting_id(identifier) | text_members(
        name=_name(entity), email=entity.get("email"), source=entity.get("source")
    )
    if found and kind:
        found["type"] = _KINDS.get(kind, kind)
    return found


def _name(entity: _Entity) -> JsonValue:
    return next(
        (
            entity[key]
            for key in ("username", "name", "display_name")
            if entity.get(key)
        ),
        None,
    )


def _resource(entity: _Entity) -> _Entity:
    party = _party(entity)
    if not party:
        return {}
    kind = _text(entity.get("type"))
    return {"target" if kind in _ACCOUNTS else "resource": party}


def _association(association: _Entity) -> tuple[str | None, _Entity]:
    """Return the type of a binding, and who and what was bound."""
    connection = as_object(association.get("connection"))
    ends = [as_object(connection.get(name)) for name in ("from", "to")]
    for holder, held in (ends, ends[::-1]):
        kinds = _text(holder.get("type")), _text(held.get("type"))
        if kinds in _BOUND:
            members = {"target": _party(holder), "resource": _party(held)}
            op = association.get("op")
            kind = _BOUND[kinds][_OPERATIONS.index(op)] if op in _OPERATIONS else None
            return kind, {name: each for name, each in members.items() if each}
    members = {"target": _party(ends[1]), "resource": _party(ends[0])}
    return None, {name: each for name, each in members.items() if each}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _changes(value: JsonValue) -> list[JsonValue]:
    listed = value if isinstance(value, list) else []
    changes = (each for each in listed if isinstance(each, dict))
    return [
        {
            "op": "replace",
            "path": _text(change.get("field")),
            "old": change.get("from"),
            "value": change.get("to"),
        }
        for change in islice(changes, MAX_CHANGES + 1)
    ]


def _common_members(record: _Entity) -> _Entity:
    members: _Entity = {
        "actor": _party(as_object(record.get("initiated_by"))),
        "outcome": _outcome(record),
        "context": _context(record),
    }
    return {name: member for name, member in members.items() if member}


def _outcome(record: _Entity) -> _Entity:
    success = record.get("success")
    if not isinstance(success, bool):
        return {}
    reason = text_members(reason=record.get("error_message"))
    return {"result": "success" if success else "failure", **reason}


def _context(record: _Entity) -> _Entity:
    agent = as_object(record.get("useragent"))
    correlation = as_object(record.get("correlation"))
    return text_members(
        request_id=correlation.get("id"),
        ip=record.get("client_ip"),
        user_agent=" ".join(
            _text(agent.get(key)) for key in ("name", "version", "os_full")
        ).strip(),
        auth_method=record.get("auth_method"),
        organization=record.get("organization"),
        service=record.get("service"),
    )


CONNECTOR = MappedConnector("jumpcloud", "1", facts_of, JsonHook())
