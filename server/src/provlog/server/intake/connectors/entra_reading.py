"""Reading Entra's records: in Graph's spelling or that of an export, it is one record.

Microsoft Graph spells members in camel case. What Azure Monitor exports spells some of
them in title case, dates with more digits, and steps and results as numbers. So names
are compared without regard to case, and what two spellings mean alike becomes alike.
"""

from typing import Final, TypeAlias

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.connectors.building import fitting_id, text_members
from provlog.server.intake.data_members import MAX_CHANGES
from provlog.server.intake.times import normalise_time

Object: TypeAlias = dict[str, JsonValue]

MAX_OBJECTS: Final = 128
"""How many objects of an array are looked at; Entra writes a handful."""
MAX_DECODED: Final = 64 * 1024
"""How long a text may be that is read as JSON."""
MAX_DEPTH: Final = 32
"""How deeply that JSON may be nested."""

_KINDS: Final = {
    "user": "user",
    "group": "group",
    "role": "role",
    "application": "app",
    "app": "app",
    "serviceprincipal": "service_principal",
}
_JSON_BEGINS: Final = ('"', "[", "{")


def members(value: JsonValue) -> Object:
    """Return an object's members under their names in lower case, else none.

    Of names that differ in case alone the first counts.
    """
    lowered: Object = {}
    if isinstance(value, dict):
        for name, member in value.items():
            lowered.setdefault(name.lower(), member)
    return lowered


def objects(value: JsonValue) -> list[Object]:
    """Return the objects of an array, or the one that stands there, as `members`."""
    listed = value if isinstance(value, list) else [value]
    return [found for each in listed[:MAX_OBJECTS] if (found := members(each))]


def text(value: JsonValue) -> str:
    """Return a text, without what is blank at its ends; "" of anything else."""
    return value.strip() if isinstance(value, str) else ""


def kind_of(value: JsonValue) -> str:
    """Return provlog's word for a type of identity, else Entra's own in lower case.

    Of a SCIM schema, as `urn:ietf:params:scim:schemas:core:2.0:User`, the last part
    counts.
    """
    name = text(value).rpartition(":")[2].lower()
    return _KINDS.get(name, name)


def party(kind: JsonValue, identifier: JsonValue, *names: JsonValue) -> Object:
    """Return an actor, target or resource with the first of the names that is one."""
    name = next((each for each in map(text, names) if each), None)
    return fitting_id(identifier) | text_members(type=kind, name=name)


def second_of(time: JsonValue) -> str | None:
    """Return the second of a date, in UTC, None of what is no date.

    An export has seven digits of a second where Graph may have none.
    """
    try:
        return normalise_time(text(time), zoneless_is_utc=True)[:19]
    except ValueError:
        return None


def decoded(value: JsonValue) -> JsonValue:
    """Return what a text of JSON says, and anything else as it is.

    One level: what is a text inside the JSON stays one, and so does what is nested so
    deeply that it would not fit where it stands.
    """
    if not isinstance(value, str) or not value.startswith(_JSON_BEGINS):
        return value
    if len(value) > MAX_DECODED:
        return value
    try:
        found = loads_json(value)
    except MalformedError:
        return value
    return found if _fits(found, MAX_DEPTH) else value


def _fits(value: JsonValue, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_fits(each, depth - 1) for each in inner)


def changes_of(properties: JsonValue, *, as_json: bool) -> list[JsonValue]:
    """Return `modifiedProperties` as changes, one more than an event may have.

    With `as_json` the values are JSON in texts, as the audit log has them.
    """
    listed = properties if isinstance(properties, list) else []
    changes: list[JsonValue] = []
    for each in map(members, listed[: MAX_CHANGES + 1]):
        old, new = each.get("oldvalue"), each.get("newvalue")
        if as_json:
            old, new = decoded(old), decoded(new)
        path = text(each.get("displayname"))
        changes.append({"op": "replace", "path": path, "old": old, "value": new})
    return changes
