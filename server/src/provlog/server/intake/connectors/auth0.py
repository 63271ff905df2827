"""Auth0's tenant logs, as log streams deliver them and its API gives them.

A record is `{"log_id": …, "data": {…}}`, or what stands in `data` alone. Its `type` is
a code. Most of what administers accounts is `sapi`, a call of the Management API: what
it did follows from the request in `details.request` (`auth0_calls`), and its native
type stays `sapi`. A call without a counterpart becomes `other.sapi`; the description
stands in `context`, and the record in `original`.

`PATCH /users/{id}` is `account.disable` or `account.enable` where the body sets
`blocked`, and `credential.update` where it sets a password. A call for several roles,
members or permissions becomes several events, at most `MAX_EVENTS_OF_RECORD`, beyond
which the flag `targets_cut` says that some are missing.

The actor of a call is the user whose token it carried, else the client. In the other
types the user is the one whom the event is about, and there is no actor: who it was is
not said.

An organization is a group here. What the codes `limit_…` block is an address, except in
`limit_sul`. Codes that begin with `f` tell of failures and those with `s` of successes.

Sources: the log schemas that Auth0 publishes; its documentation of log event type codes
and of custom log streams. `du` and `fapi` stand in older records.
"""

from itertools import islice
from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.auth0_calls import CALLS, find_call, parties
from provlog.server.intake.connectors.building import Facts, fitting_id, text_members
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.connectors.reading import as_object, told_apart
from provlog.server.intake.data_members import MAX_CHANGES

MAX_EVENTS_OF_RECORD: Final = 64

_CODES: Final = {
    "du": "account.delete",
    "fce": "account.update",
    "fcp": "credential.update",
    "fcpn": "account.update",
    "fcu": "account.update",
    "fdu": "account.delete",
    "fs": "account.create",
    "gd_enrollment_complete": "credential.create",
    "gd_unenroll": "credential.revoke",
    "gd_update_device_account": "credential.update",
    "limit_sul": "account.lock",
    "organization_member_added": "group.member.add",
    "sce": "account.update",
    "scp": "credential.update",
    "scpn": "account.update",
    "scu": "account.update",
    "sdu": "account.delete",
    "srrt": "credential.revoke",
    "ss": "account.create",
    "ublkdu": "account.unlock",
}
_API: Final = frozenset({"sapi", "fapi"})
_SCIM: Final = frozenset({"sscim", "fscim"})
_SCIM_CALLS: Final = {
    "POST": "account.create",
    "PUT": "account.update",
    "PATCH": "account.update",
    "DELETE": "account.delete",
}
_BLOCKED: Final = "PATCH /users/{id} blocked"

TYPES: Final[dict[str, str]] = {
    **_CODES,
    **{f"sapi {name}": call.type for name, call in CALLS.items()},
    f"sapi {_BLOCKED}: true": "account.disable",
    f"sapi {_BLOCKED}: false": "account.enable",
    "sapi PATCH /users/{id} password": "credential.update",
    **{f"sscim {method} …/Users": ours for method, ours in _SCIM_CALLS.items()},
}
"""Auth0's codes, with the request where it decides, and their counterparts."""

_Entity = dict[str, JsonValue]


def facts_of(record: JsonValue) -> Facts:
    """Return what one record of the tenant log says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    data = record["data"] if isinstance(record.get("data"), dict) else record
    log = as_object(data)
    native = _code(log)
    common = _common_members(log)
    if native in _API:
        kind, several = _call_of(log)
    else:
        kind, several = _code_of(log), [_user_of(log)]
    members = list(islice(several, MAX_EVENTS_OF_RECORD))
    return Facts(
        id=record.get("log_id") or log.get("log_id") or log.get("_id"),
        time=log.get("date"),
        native_type=native,
        type=kind,
        data=[common | each for each in members],
        flags=("targets_cut",) if len(several) > len(members) else (),
        # All calls of the API are of one type, whatever is called.
        compared=told_apart(log.get("description"), log.get("details")),
    )


def _common_members(log: _Entity) -> _Entity:
    members: _Entity = {
        "actor": _actor(log) if _code(log) in _API else {},
        "outcome": _outcome(log),
        "context": _context(log),
    }
    return {name: member for name, member in members.items() if member}


def _call_of(log: _Entity) -> tuple[str | None, list[_Entity]]:
    """Return the type of a call of the API, and the members of each of its events."""
    details = as_object(log.get("details"))
    request = as_object(details.get("request"))
    body = as_object(request.get("body"))
    found = find_call(request.get("method"), request.get("path"))
    if found is None:
        return None, [{}]
    name, segments = found
    made = as_object(as_object(details.get("response")).get("body"))
    changes = _changes(body) if name.startswith("PATCH") else []
    several: list[_Entity] = []
    found_parties = parties(CALLS[name], segments, body)
    for target, resource in islice(found_parties, MAX_EVENTS_OF_RECORD + 1):
        members: _Entity = {
            "target": target or _created(name, made, body),
            "resource": resource,
            "changes": changes,
        }
        several.append({key: each for key, each in members.items() if each})
    return _patched(name, body), several


def _patched(name: str, body: _Entity) -> str:
    """Return the type of a call, which for a user depends on what is set."""
    if name == "PATCH /users/{id}":
        if isinstance(body.get("blocked"), bool):
            return "account.disable" if body["blocked"] else "account.enable"
        if "password" in body:
            return "credential.update"
    return CALLS[name].type


def _created(name: str, made: _Entity, asked: _Entity) -> _Entity:
    """Return the account or organization that a call made, from its answer."""
    if name == "POST /users":
        party = _user(made.get("user_id"), made.get("name"), made.get("email"))
        return party or _user(None, asked.get("name"), asked.get("email"))
    if name == "POST /organizations":
        party = fitting_id(made.get("id")) | text_members(name=asked.get("name"))
        return party | {"type": "organization"} if party else {}
    return {}


def _changes(body: _Entity) -> list[JsonValue]:
    return [
        {"op": "replace", "path": path, "value": value}
        for path, value in islice(sorted(body.items()), MAX_CHANGES)
    ]


def _code(log: _Entity) -> str:
    """Return the type of a record, as Auth0 calls it."""
    code = log.get("type")
    return code if isinstance(code, str) else ""


def _code_of(log: _Entity) -> str | None:
    native = _code(log)
    if native in _SCIM:
        request = as_object(as_object(log.get("details")).get("request"))
        path, method = request.get("path"), request.get("method")
        if isinstance(path, str) and "/Users" in path and isinstance(method, str):
            return _SCIM_CALLS.get(method.upper())
        return None
    return _CODES.get(native)


def _user_of(log: _Entity) -> _Entity:
    """Return the user whom an event is about, and the organization it names."""
    user = _user(log.get("user_id"), log.get("user_name"), None)
    organization = fitting_id(log.get("organization_id")) | text_members(
        name=log.get("organization_name")
    )
    members: _Entity = {"target": user} if user else {}
    if organization:
        members["resource"] = organization | {"type": "organization"}
    return members


def _user(identifier: JsonValue, name: JsonValue, email: JsonValue) -> _Entity:
    found = fitting_id(identifier) | text_members(name=name, email=email)
    return found | {"type": "user"} if found else {}


def _actor(log: _Entity) -> _Entity:
    request = as_object(as_object(log.get("details")).get("request"))
    user = as_object(as_object(request.get("auth")).get("user"))
    identifier = user.get("user_id") or log.get("user_id")
    party = _user(identifier, user.get("name"), user.get("email"))
    if party:
        return party
    client = fitting_id(log.get("client_id")) | text_members(
        name=log.get("client_name")
    )
    return client | {"type": "client"} if client else {}


def _outcome(log: _Entity) -> _Entity:
    native = _code(log)
    response = as_object(as_object(log.get("details")).get("response"))
    status = response.get("statusCode")
    # A code that tells of a failure is not made good by a status.
    if native in _API | _SCIM and isinstance(status, int) and native[0] == "s":
        return {"result": "success" if status < 400 else "failure"}
    return _RESULTS.get(_ending(native), {})


_SUCCESS: Final[_Entity] = {"result": "success"}
_FAILURE: Final[_Entity] = {"result": "failure"}
_RESULTS: Final[dict[str, _Entity]] = {
    "s": _SUCCESS,
    "succeeded": _SUCCESS,
    "success": _SUCCESS,
    "complete": _SUCCESS,
    "f": _FAILURE,
    "failed": _FAILURE,
    "failure": _FAILURE,
    "rejected": _FAILURE,
}


def _ending(native: str) -> str:
    """Return what of a code tells the result: its first letter, or its last word."""
    return native.rpartition("_")[2] if "_" in native else native[:1]


def _context(log: _Entity) -> _Entity:
    references = as_object(log.get("references"))
    request = as_object(as_object(log.get("details")).get("request"))
    return text_members(
        request_id=references.get("correlation_id"),
        ip=log.get("ip"),
        user_agent=log.get("user_agent"),
        message=log.get("description"),
        client_id=log.get("client_id"),
        client_name=log.get("client_name"),
        connection=log.get("connection"),
        tenant=log.get("tenant_name"),
        channel=request.get("channel"),
    )


CONNECTOR = MappedConnector("auth0", "1", facts_of, JsonHook())
