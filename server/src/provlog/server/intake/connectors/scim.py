"""SCIM requests and their answers, as a proxy in front of a SCIM server sees them.

A record is one exchange, a JSON object; `docs/connect/scim-proxy.md` describes its
members. `provlog-server scim-proxy` writes two of each request that changes something:
the attempt before it is passed on (`"phase": "attempt"`), and the outcome.

`TYPES` says what becomes of a request by method and endpoint. Beyond it:

- A PATCH that sets `active`, a PUT with `active` false, and one that is known to turn
  it on, is `account.disable` or `account.enable`.
- Members of a group that are added or removed are `group.member.add` and
  `group.member.remove`, one event each: the member is the target, the group the
  resource. Where a group is replaced, its members are compared with `before`; without
  it, what was removed is not known (the flag `removals_unknown`).
- An operation of a Bulk request is an event, or several, with its own outcome.
- Another resource, or method, is `other.scim.<resource>.<verb>`.
- An attempt has the type of what it attempts, after `attempt.`.

The outcome comes from the status: 2xx is success, but 202 is pending; 502 and 504 are a
gateway's, which does not know what became of the request, and unknown; all else is
failure, with SCIM's own reason. Without a status it is unknown, or what `error` says.

Nothing is inferred, but where a record has no path: then the resource is read off the
body, with the flag `path_missing`. Values of `password` are not repeated.

Flags: `path_missing`, `removals_unknown`, `members_unknown`, `targets_cut`,
`changes_cut`, `caller_unverified`, and those that the record itself has.

Sources: RFC 7643, RFC 7644; Microsoft's documentation of Entra's SCIM dialects.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts, fitting_id, text_members
from provlog.server.intake.connectors.mapped import MappedConnector
from provlog.server.intake.connectors.scim_exchange import (
    Exchange,
    last_segment,
    operations,
    read_exchange,
)
from provlog.server.intake.connectors.scim_groups import group_events
from provlog.server.intake.connectors.scim_states import put_changes, without_secrets
from provlog.server.intake.connectors.scim_steps import (
    Attributes,
    active_of,
    as_boolean,
    attribute,
    patch_changes,
    read_steps,
)
from provlog.server.intake.data_members import MAX_CHANGES

MAX_EVENTS_OF_RECORD: Final = 400
MAX_FLAGS: Final = 16

TYPES: dict[str, str] = {
    "POST /Users": "account.create",
    "PUT /Users": "account.update",
    "PATCH /Users": "account.update",
    "DELETE /Users": "account.delete",
    "POST /Me": "account.create",
    "PUT /Me": "account.update",
    "PATCH /Me": "account.update",
    "DELETE /Me": "account.delete",
    "POST /Groups": "group.create",
    "PUT /Groups": "group.update",
    "PATCH /Groups": "group.update",
    "DELETE /Groups": "group.delete",
}

NOT_MADE: Final = {
    "unreachable": ("failure", "the SCIM server could not be reached"),
    "not_sent": ("skipped", "the proxy refused it and passed nothing on"),
}
"""What `error` says of a request that the SCIM server cannot have carried out."""

_GATEWAYS = (502, 504)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_FLAG = re.compile(r"[a-z][a-z_]{0,47}")
_NAME = re.compile(r"[a-z]{1,40}")
_OBJECT: Attributes = {}


def facts_of(record: JsonValue) -> Facts:
    """Return what one exchange says, in provlog's words."""
    if not isinstance(record, dict):
        return Facts()
    whole = read_exchange(record)
    attempted = record.get("phase") == "attempt"
    common = _common_members(record)
    flags = _flags(record, whole)
    made = list(islice(_events(whole, flags), MAX_EVENTS_OF_RECORD + 1))
    if len(made) > MAX_EVENTS_OF_RECORD:
        flags.append("targets_cut")
    types, data = [], []
    for exchange, kind, members in made[:MAX_EVENTS_OF_RECORD]:
        native = f"{exchange.method} /{exchange.endpoint}"
        types.append((native, f"attempt.{kind}" if attempted else kind))
        outcome = _outcome(record, exchange, attempted) | _place(exchange)
        _cut_changes(members, flags)
        data.append({**common, **members, "outcome": outcome})
    identifier = record.get("id")
    if attempted and isinstance(identifier, str):
        # Both parts stand in the record, by which a client finds its entry.
        identifier += "/attempt"
    return Facts(
        id=identifier,
        time=record.get("time"),
        native_type=types[0][0],
        data=data,
        flags=tuple(dict.fromkeys(flags)),
        types=types,
    )


def _events(
    whole: Exchange, flags: list[str]
) -> Iterator[tuple[Exchange, str, Attributes]]:
    """Yield each event of an exchange: its operation, type and own members."""
    several = operations(whole) if whole.endpoint == "Bulk" else []
    for exchange in several or [whole]:
        for kind, members in _events_of(exchange, flags):
            yield exchange, kind, members


def _events_of(
    exchange: Exchange, flags: list[str]
) -> Iterator[tuple[str, Attributes]]:
    kind = _type_of(exchange)
    if kind.startswith("group."):
        yield from group_events(exchange, kind, _party(exchange, "group"), flags)
    elif kind.startswith("account."):
        yield kind, {"target": _party(exchange, "user"), **_changes(exchange)}
    else:
        resource = _party(exchange, exchange.endpoint.lower()[:64] or "unknown")
        yield kind, {"resource": resource, **_changes(exchange)}


def _type_of(exchange: Exchange) -> str:
    known = TYPES.get(f"{exchange.method} /{exchange.endpoint}")
    if known is None or (exchange.method == "POST" and exchange.resource_id):
        return _other_type(exchange)
    if known == "account.update":
        active = _switched(exchange)
        if active is not None:
            return "account.enable" if active else "account.disable"
    return known


def _other_type(exchange: Exchange) -> str:
    """Return the type of what has no counterpart.

    A type can be read by everybody: what is not plainly the name of a resource might
    name somebody.
    """
    endpoint, method = exchange.endpoint.lower(), exchange.method.lower()
    named = endpoint if _NAME.fullmatch(endpoint) else "unknown"
    verb = method if _NAME.fullmatch(method) else "unknown"
    return f"other.scim.{named}.{_VERBS.get(exchange.method, verb)}"


def _switched(exchange: Exchange) -> bool | None:
    """Return what `active` is set to, None where it is not, or was so before."""
    old = as_boolean(attribute(exchange.before or {}, "active"))
    if exchange.method == "PATCH":
        new = active_of(read_steps(exchange.request))
        return None if new == old else new
    new = as_boolean(attribute(_object(exchange.request), "active"))
    if new and old is not False:
        # Everybody sends `true` with every PUT; it turns nothing on by itself.
        return None
    return None if new == old else new


def _changes(exchange: Exchange) -> Attributes:
    if exchange.method == "PATCH":
        changes = patch_changes(exchange.request, exchange.before)
    elif exchange.method in ("POST", "PUT"):
        before = exchange.before if exchange.method == "PUT" else {}
        changes = put_changes(_object(exchange.request), before)
    else:
        changes = []
    return {"changes": without_secrets(changes)} if changes else {}


def _party(exchange: Exchange, kind: str) -> Attributes:
    """Return the resource of an exchange: ids from the answer, names as they are now.

    Whoever is being created has no id before the answer.
    """
    answer = _object(exchange.response) if (exchange.status or 0) < 300 else {}
    identifier = (
        exchange.resource_id
        or _text(attribute(answer, "id"))
        or last_segment(exchange.location)
        or _text(attribute(exchange.before or {}, "id"))
    )
    states = [answer, _object(exchange.request), exchange.before or {}]

    def first(name: str) -> JsonValue:
        return next((v for s in states if _text(v := attribute(s, name))), None)

    shown = first("displayName")
    name = first("userName") or shown
    further = text_members(
        name=name,
        external_id=first("externalId"),
        display_name=None if shown == name else shown,
    )
    return fitting_id(identifier) | {"type": kind} | further


def _common_members(record: Attributes) -> Attributes:
    caller = _object(record.get("caller"))
    actor = fitting_id(caller.get("id")) | text_members(
        type=caller.get("type"),
        name=caller.get("name"),
        issuer=caller.get("issuer"),
        digest=caller.get("digest"),
    )
    context = text_members(
        request_id=record.get("id"),
        ip=record.get("ip"),
        user_agent=record.get("user_agent"),
        method=record.get("method"),
        path=record.get("path"),
        query=record.get("query"),
        upstream=record.get("upstream"),
    )
    members: Attributes = {"actor": actor, "context": context}
    return {name: member for name, member in members.items() if member}


def _place(exchange: Exchange) -> Attributes:
    number = exchange.number
    return {} if number is None else {"bulk_operation": str(number)}


def _outcome(record: Attributes, exchange: Exchange, attempted: bool) -> Attributes:
    if attempted:
        return {"result": "pending"}
    status = exchange.status
    if status is None:
        error = record.get("error")
        named = error if isinstance(error, str) else ""
        result, reason = NOT_MADE.get(named, ("unknown", named or "no answer is known"))
        return {"result": result, "reason": reason}
    answer = _object(exchange.response) if status >= 300 else {}
    details = text_members(
        reason=attribute(answer, "detail"), scim_type=attribute(answer, "scimType")
    )
    return {"result": _result_of(status), "status": str(status), **details}


def _result_of(status: int) -> str:
    if status == 202:
        return "pending"
    if status in _GATEWAYS:
        return "unknown"
    return "success" if 200 <= status < 300 else "failure"


def _flags(record: Attributes, exchange: Exchange) -> list[str]:
    given = record.get("flags")
    listed = given[:MAX_FLAGS] if isinstance(given, list) else []
    flags = [each for each in listed if isinstance(each, str) and _FLAG.fullmatch(each)]
    if exchange.inferred or not exchange.endpoint:
        flags.append("path_missing")
    if _object(record.get("caller")).get("verified") is False:
        flags.append("caller_unverified")
    return flags


def _cut_changes(members: Attributes, flags: list[str]) -> None:
    changes = members.get("changes")
    if isinstance(changes, list) and len(changes) > MAX_CHANGES:
        del changes[MAX_CHANGES:]
        flags.append("changes_cut")


def _object(value: JsonValue) -> Attributes:
    return value if isinstance(value, dict) else _OBJECT


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


CONNECTOR: Final = MappedConnector("scim", "1", facts_of)
