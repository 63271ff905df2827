"""Google Workspace activities, as the Reports API and exports of it give them.

A record is one activity: nested, as the API sends it, with its events in `events` and
their parameters as a list; or flattened, with `name`, `type` and `parameters` (an
object) at the top. A body is a page of the API (the records are its `items`), a JSON
array, NDJSON, or a single activity. `google_types` says what becomes of which event.

Each event of an activity is an event here, of its own type, at most
`MAX_EVENTS_OF_RECORD`, beyond which the flag `events_cut` says that some are missing.

The id is application, time and `uniqueQualifier`, which Google documents as the
activity's key; the time is normalised, so that an activity has one id, and is one
record, in whatever spelling an export gives it.

Google names accounts and groups by their addresses and gives its own number for the
actor alone, so the address is the id, in lower case, as Google does not tell cases
apart; the number stands in `profile_id`. The target is the user named in the
parameters, else the group, else, for what users do to their own accounts and
memberships (`OF_ACTOR`), the actor. The resource is what was granted or changed: the
role, licence, application, group or organisational unit. `changes` come from the pair
of old and new values. An outcome is there only where Google sends a `status`; most
activities have none, and nothing is made of that.

Source: Google's "Reports API" reference, `activities` and its appendices.
"""

from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import (
    Facts,
    fitting_id,
    text_members,
)
from provlog.server.intake.connectors.google_types import OF_ACTOR, TYPES
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.connectors.reading import as_object, told_apart
from provlog.server.intake.times import normalise_time

__all__ = ["CONNECTOR", "ENVELOPES", "MAX_EVENTS_OF_RECORD", "TYPES", "facts_of"]

MAX_EVENTS_OF_RECORD: Final = 64
ENVELOPES: Final = (("items",),)

_RESULTS: Final = {
    "SUCCEEDED": "success",
    "SUCCEEDED_WITH_WARNINGS": "success",
    "FAILED": "failure",
    "SKIPPED": "skipped",
}
_VALUES: Final = ("value", "multiValue", "intValue", "multiIntValue", "boolValue")
_USERS: Final = ("USER_EMAIL", "user_email", "affected_email_address")
_GROUPS: Final = ("GROUP_EMAIL", "group_email", "group_id")
_SETTINGS: Final = (
    "SETTING_NAME",
    "USER_CUSTOM_FIELD",
    "acl_permission",
    "basic_setting",
    "identity_setting",
    "info_setting",
    "new_members_restrictions_setting",
    "post_replies_setting",
    "security_setting",
    "security_setting_state",
    "spam_moderation_setting",
    "topic_setting",
)
_OLD: Final = ("OLD_VALUE", "old_value", "old_value_repeated")
_NEW: Final = ("NEW_VALUE", "new_value", "new_value_repeated", "value")

_Object = dict[str, JsonValue]


def facts_of(record: JsonValue) -> Facts:
    """Return what one activity says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    identity = as_object(record.get("id"))
    time = _spelled_once(identity.get("time"))
    listed = record.get("events")
    events = [as_object(each) for each in listed] if isinstance(listed, list) else []
    # Without a list it is flattened: the record is its only event as well.
    kept = (events or [record])[:MAX_EVENTS_OF_RECORD]
    names = [_native_type(identity, event) for event in kept]
    common = _common_members(record, identity)
    return Facts(
        id=_key(identity, time),
        time=time,
        data=[_members(*each, common) for each in zip(names, kept, strict=True)],
        types=[(name, TYPES.get(name or "")) for name in names],
        flags=("events_cut",) if len(events) > MAX_EVENTS_OF_RECORD else (),
        # Exports that flatten an activity give its id to a record of each event.
        compared=told_apart(*map(_plain_parameters, kept)),
    )


CONNECTOR: Final = MappedConnector(
    "google", "1", facts_of, JsonHook(ENVELOPES), ENVELOPES
)


def _spelled_once(time: JsonValue) -> JsonValue:
    """Return a time in its one canonical spelling; what is no time, as it is."""
    try:
        return normalise_time(str(time), zoneless_is_utc=True)
    except ValueError:
        return time


def _key(identity: _Object, time: JsonValue) -> JsonValue:
    qualifier = identity.get("uniqueQualifier")
    if isinstance(qualifier, int) and not isinstance(qualifier, bool):
        qualifier = str(qualifier)
    parts = (identity.get("applicationName"), time, qualifier)
    texts = [each for each in parts if isinstance(each, str) and each]
    return "/".join(texts) if len(texts) == len(parts) else None


def _native_type(identity: _Object, event: _Object) -> str | None:
    """Return application and event, as in `admin.CREATE_USER`; what there is of it."""
    parts = (identity.get("applicationName"), event.get("name") or event.get("type"))
    return ".".join(each for each in parts if isinstance(each, str) and each) or None


def _common_members(record: _Object, identity: _Object) -> _Object:
    members: _Object = {
        "actor": _actor(as_object(record.get("actor"))),
        "context": text_members(
            ip=record.get("ipAddress"),
            application=identity.get("applicationName"),
            customer_id=identity.get("customerId"),
            owner_domain=record.get("ownerDomain"),
            region=as_object(record.get("networkInfo")).get("regionCode"),
        ),
    }
    return {name: member for name, member in members.items() if member}


def _actor(actor: _Object) -> _Object:
    kind, profile = actor.get("callerType"), actor.get("profileId")
    email = actor.get("email")
    known = [each for each in (email, profile, actor.get("key")) if each]
    return (_address(known[0]) if known else {}) | text_members(
        type=kind.lower() if isinstance(kind, str) else None,
        name=email,
        profile_id=profile,
    )


def _address(value: JsonValue) -> _Object:
    if isinstance(value, str) and "@" in value:
        return fitting_id(value.lower())
    return fitting_id(value)


def _members(native_type: str | None, event: _Object, common: _Object) -> _Object:
    """Return the members of one event of an activity; `common` are all events'."""
    parameters = _parameters(event.get("parameters"))
    target, resource = _parties(native_type, parameters, common)
    members: _Object = {
        "target": target,
        "resource": resource,
        "changes": _changes(native_type, parameters),
        "outcome": _outcome(native_type, event, parameters),
    }
    return common | {name: member for name, member in members.items() if member}


def _parameters(listed: JsonValue) -> _Object:
    """Return an event's parameters by name, from a list of them or as they are."""
    if isinstance(listed, dict):
        return listed
    parameters: _Object = {}
    for each in listed if isinstance(listed, list) else []:
        parameter = as_object(each)
        name = parameter.get("name")
        values = [parameter[kind] for kind in _VALUES if kind in parameter]
        values += _messages(parameter)
        if isinstance(name, str) and values:
            parameters.setdefault(name, values[0])
    return parameters


def _messages(parameter: _Object) -> list[JsonValue]:
    """Return the value of a parameter that has parameters of its own, if it has."""
    listed = parameter.get("multiMessageValue")
    if isinstance(listed, list):
        return [[_parameters(as_object(each).get("parameter")) for each in listed]]
    one = parameter.get("messageValue")
    return [_parameters(one.get("parameter"))] if isinstance(one, dict) else []


def _plain_parameters(event: _Object) -> JsonValue:
    """Return the parameters that say something, in the one spelling of all forms."""
    return _plain(_parameters(event.get("parameters")))


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        said = value.items()
        return {name: _plain(each) for name, each in said if each is not None}
    return str(value).lower()


def _first(parameters: _Object, *names: str) -> JsonValue:
    """Return the first of some parameters that says something, None if none does."""
    found = (parameters.get(name) for name in names)
    return next((value for value in found if value not in (None, "", [])), None)


def _parties(
    native_type: str | None, parameters: _Object, common: _Object
) -> tuple[_Object, _Object]:
    target = _member(parameters) or _party("user", _first(parameters, *_USERS))
    actor = common.get("actor")
    if not target and native_type in OF_ACTOR and isinstance(actor, dict):
        target = actor
    group = _party("group", _first(parameters, *_GROUPS))
    role = _first(parameters, "member_role")
    if group and target and isinstance(role, str):
        group["role"] = role
    granted = _granted(parameters)
    unit = _party("org_unit", _first(parameters, "ORG_UNIT_NAME"))
    if not target and (group or granted.get("type") == "license"):
        # A licence for everybody in a unit is the unit's.
        return (group, granted) if group else (unit, granted)
    return target, granted or group or unit


def _party(kind: str, name: JsonValue) -> _Object:
    if not isinstance(name, str):
        return {}
    party = fitting_id(name) if kind == "org_unit" else _address(name)
    return party | text_members(type=kind, name=name)


def _member(parameters: _Object) -> _Object:
    """Return the member of a group that an event of `groups_enterprise` names."""
    name, kind = parameters.get("member_id"), parameters.get("member_type")
    return _party(kind.lower() if isinstance(kind, str) else "member", name)


def _granted(parameters: _Object) -> _Object:
    """Return the role, licence or application that an event is about."""
    role = _first(parameters, "ROLE_NAME")
    if role is not None:
        scope = _first(parameters, "ORG_UNIT_NAME")
        return fitting_id(_first(parameters, "ROLE_ID")) | text_members(
            type="role", name=role, scope=scope
        )
    product = _first(parameters, "PRODUCT_NAME", "APP_LICENSE")
    if product is not None:
        sku = _first(parameters, "NEW_VALUE", "OLD_VALUE")
        return fitting_id(sku) | text_members(type="license", name=product)
    return _application(parameters)


def _application(parameters: _Object) -> _Object:
    client = _first(parameters, "client_id", "API_CLIENT_NAME", "APP_ID")
    name = _first(parameters, "app_name", "APPLICATION_NAME", "API_CLIENT_NAME")
    if client is None and name is None:
        return {}
    scopes = _first(parameters, "scope", "API_SCOPES")
    party = fitting_id(client) | text_members(type="app", name=name)
    return party | ({} if scopes is None else {"scopes": scopes})


def _changes(native_type: str | None, parameters: _Object) -> list[JsonValue]:
    old, new = _first(parameters, *_OLD), _first(parameters, *_NEW)
    if old is None and new is None:
        return []
    setting = _first(parameters, *_SETTINGS)
    path = setting if isinstance(setting, str) else native_type
    change = {"op": "replace", **text_members(path=path)}
    return [{**change, "old": old, "value": new}]


def _outcome(native_type: str | None, event: _Object, parameters: _Object) -> _Object:
    status = as_object(event.get("status"))
    said = status.get("eventStatus")
    if (native_type or "").startswith("groups."):
        # A moderator's action tells how it went in a parameter of its own.
        said = said or parameters.get("status")
    if not isinstance(said, str) or not said:
        return {}
    ours = _RESULTS.get(said.upper(), "unknown")
    reason = status.get("errorMessage") or status.get("errorCode")
    theirs = None if ours != "unknown" and "WARN" not in said.upper() else said
    return {"result": ours, **text_members(reason=reason, provider_result=theirs)}
