"""OneLogin's events, as its webhooks (event broadcaster), API and exports give them.

A body is a JSON array, NDJSON, one object, or a page of the API, whose records stand in
`data`. An event type is a number, written as one or as text; `onelogin_types` has the
table, and a number that is not in it becomes `other.` and the number.

The actor is `actor_user_*`, or the system that acted. The target is the account of
`user_*` where the type is about an account, else the role or group it is about; what
remains is the resource: a role before an app, a group, a privilege. OneLogin's ids are
numbers, here in digits.

The id is `uuid` of a webhook or `id` of the API; there is none that both have, so that
an event that comes both ways has two entries. Records of exports may have neither,
nor a time.

What happened to an account inside an application or directory (`…_in_app`) stays
`other.…`: an `account.*` here is the account at OneLogin.

Flags: those of `building`. Sources: OneLogin's developer documentation, "Event
Webhooks" and "Event Resource and Types".
"""

from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts, fitting_id, text_members
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.connectors.onelogin_types import CODES, TYPES, Code

__all__ = ["CONNECTOR", "TYPES", "facts_of"]

PAGES: Final = (("data",),)
"""Where the records of a page of OneLogin's API stand."""

_Entity = dict[str, JsonValue]
_UNKNOWN: Final = Code("", "other.")
_MOST_DIGITS: Final = 20
# In the order in which a record's entity is taken for what was granted or changed.
_RESOURCES: Final = (
    ("role", "role_id", "role_name"),
    ("privilege", "privilege_id", "privilege_name"),
    ("app", "app_id", "app_name"),
    ("policy", "policy_id", "policy_name"),
    ("mapping", "mapping_id", "mapping_name"),
    ("group", "group_id", "group_name"),
    ("otp_device", "otp_device_id", "otp_device_name"),
    (
        "authentication_factor",
        "authentication_factor_id",
        "authentication_factor_description",
    ),
    ("certificate", "certificate_id", "certificate_name"),
    ("api_credential", "api_credential_id", "api_credential_name"),
    ("trusted_idp", "trusted_idp_id", "trusted_idp_name"),
    ("directory", "directory_id", "directory_name"),
)


def facts_of(record: JsonValue) -> Facts:
    """Return what one event says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    number = _digits(record.get("event_type_id"))
    code = CODES.get(int(number), _UNKNOWN) if number is not None else _UNKNOWN
    return Facts(
        id=record.get("uuid") or _digits(record.get("id")) or record.get("id"),
        time=_time(record),
        native_type=number or record.get("event_type_id"),
        type=None if code is _UNKNOWN else code.type,
        data=[_members(record, code)],
    )


def _members(record: _Entity, code: Code) -> _Entity:
    target = _party(record, code.about) if code.about else {}
    resources = [_named(record, *each) for each in _RESOURCES if each[0] != code.about]
    members: _Entity = {
        "actor": _actor(record),
        "target": target,
        "resource": next((each for each in resources if each), {}),
        "outcome": _outcome(record, code),
        "context": _context(record),
    }
    return {name: member for name, member in members.items() if member}


def _party(record: _Entity, kind: str) -> _Entity:
    return _named(record, kind, f"{kind}_id", f"{kind}_name")


def _named(record: _Entity, kind: str, identifier: str, name: str) -> _Entity:
    found = fitting_id(_digits(record.get(identifier)) or record.get(identifier))
    found |= text_members(name=record.get(name))
    return {"type": kind, **found} if found else {}


def _actor(record: _Entity) -> _Entity:
    user = _named(record, "user", "actor_user_id", "actor_user_name")
    system = text_members(name=record.get("actor_system"))
    return user or ({"type": "system", **system} if system else {})


def _outcome(record: _Entity, code: Code) -> _Entity:
    reason = text_members(reason=record.get("error_description"))
    if code.failed or reason:
        return {"result": "failure", **reason}
    # What has no counterpart here may tell of something that did not come about.
    return {} if code.type.startswith("other.") else {"result": "success"}


def _context(record: _Entity) -> _Entity:
    assumed = record.get("assuming_acting_user_id")
    return text_members(
        ip=record.get("ipaddr"),
        user_agent=record.get("user_agent"),
        account_id=_digits(record.get("account_id")),
        client_id=record.get("client_id"),
        assumed_by=_digits(assumed),
        message=record.get("notes"),
        custom_message=record.get("custom_message"),
    )


def _time(record: _Entity) -> JsonValue:
    """Return the time of the API, or of a webhook, which writes the zone as a word."""
    time = record.get("created_at") or record.get("event_timestamp")
    if isinstance(time, str) and time.endswith(" UTC"):
        return time.removesuffix(" UTC") + "Z"
    return time


def _digits(value: JsonValue) -> str | None:
    """Return a number that is an id, in digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value < 10**_MOST_DIGITS else None
    if not isinstance(value, str) or not 1 <= len(value) <= _MOST_DIGITS:
        return None
    return value if value.isascii() and value.isdigit() else None


CONNECTOR: Final = MappedConnector("onelogin", "1", facts_of, JsonHook(PAGES), PAGES)
"""The connector for OneLogin's events."""
