"""Calls of Auth0's Management API, as its log tells of them: what they did, to whom.

A record of type `sapi` holds the request: its method, its path and its body. `CALLS`
has the calls with a counterpart, by method and path, in which `{…}` is one segment. The
rest of a call's row says where the account and what was granted to it stand: in a
segment of the path, or in a list of the body, of which each element is an event of its
own.

Sources: Auth0's documentation of the Management API v2; the log schemas Auth0
publishes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final
from urllib.parse import unquote

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import fitting_id, text_members

MAX_PATH: Final = 2048

Entity = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its type here, and where its target and its resource stand.

    A name that begins with `{` is a segment of the path, one that begins with `[` a
    list in the body, any other a member of the body; after a colon stands what kind of
    thing it is.
    """

    type: str
    target: str = ""
    resource: str = ""


_USER = "{id}:user"
CALLS: Final[dict[str, Call]] = {
    "POST /users": Call("account.create"),
    "PATCH /users/{id}": Call("account.update", _USER),
    "DELETE /users/{id}": Call("account.delete", _USER),
    "POST /users/{id}/identities": Call("account.update", _USER),
    "DELETE /users/{id}/identities/{provider}/{user_id}": Call("account.update", _USER),
    "DELETE /user-blocks/{id}": Call("account.unlock", _USER),
    "POST /users/{id}/roles": Call("role.assign", _USER, "[roles:role"),
    "DELETE /users/{id}/roles": Call("role.revoke", _USER, "[roles:role"),
    "POST /roles/{id}/users": Call("role.assign", "[users:user", "{id}:role"),
    "POST /roles/{id}/groups": Call("role.assign", "[groups:group", "{id}:role"),
    "DELETE /roles/{id}/groups": Call("role.revoke", "[groups:group", "{id}:role"),
    "POST /groups/{id}/roles": Call("role.assign", "{id}:group", "[roles:role"),
    "DELETE /groups/{id}/roles": Call("role.revoke", "{id}:group", "[roles:role"),
    "POST /users/{id}/permissions": Call(
        "entitlement.grant", _USER, "[permissions:permission"
    ),
    "DELETE /users/{id}/permissions": Call(
        "entitlement.revoke", _USER, "[permissions:permission"
    ),
    "POST /roles/{id}/permissions": Call(
        "entitlement.grant", "{id}:role", "[permissions:permission"
    ),
    "DELETE /roles/{id}/permissions": Call(
        "entitlement.revoke", "{id}:role", "[permissions:permission"
    ),
    "DELETE /groups/{id}": Call("group.delete", "{id}:group"),
    "POST /organizations": Call("group.create"),
    "PATCH /organizations/{id}": Call("group.update", "{id}:organization"),
    "DELETE /organizations/{id}": Call("group.delete", "{id}:organization"),
    "POST /organizations/{id}/members": Call(
        "group.member.add", "[members:user", "{id}:organization"
    ),
    "DELETE /organizations/{id}/members": Call(
        "group.member.remove", "[members:user", "{id}:organization"
    ),
    "POST /organizations/{id}/members/{user_id}/roles": Call(
        "role.assign", "{user_id}:user", "[roles:role"
    ),
    "DELETE /organizations/{id}/members/{user_id}/roles": Call(
        "role.revoke", "{user_id}:user", "[roles:role"
    ),
    "POST /organizations/{id}/groups/{group_id}/roles": Call(
        "role.assign", "{group_id}:group", "[roles:role"
    ),
    "DELETE /organizations/{id}/groups/{group_id}/roles": Call(
        "role.revoke", "{group_id}:group", "[roles:role"
    ),
    "POST /client-grants": Call(
        "entitlement.grant", "client_id:client", "audience:api"
    ),
    "POST /users/{id}/authentication-methods": Call("credential.create", _USER),
    "PUT /users/{id}/authentication-methods": Call("credential.update", _USER),
    "DELETE /users/{id}/authentication-methods": Call("credential.revoke", _USER),
    "PATCH /users/{id}/authentication-methods/{method_id}": Call(
        "credential.update", _USER, "{method_id}:authentication_method"
    ),
    "DELETE /users/{id}/authentication-methods/{method_id}": Call(
        "credential.revoke", _USER, "{method_id}:authentication_method"
    ),
    "DELETE /users/{id}/authenticators": Call("credential.revoke", _USER),
    "DELETE /users/{id}/multifactor/{provider}": Call("credential.revoke", _USER),
    "POST /users/{id}/recovery-code-regeneration": Call("credential.update", _USER),
    "POST /clients/{id}/rotate-secret": Call("credential.update", "{id}:client"),
    "POST /clients/{id}/credentials": Call("credential.create", "{id}:client"),
    "PATCH /clients/{id}/credentials/{credential_id}": Call(
        "credential.update", "{id}:client", "{credential_id}:credential"
    ),
    "DELETE /clients/{id}/credentials/{credential_id}": Call(
        "credential.revoke", "{id}:client", "{credential_id}:credential"
    ),
    "POST /connections/{id}/scim-configuration/tokens": Call(
        "credential.create", "{id}:connection"
    ),
    "DELETE /connections/{id}/scim-configuration/tokens/{token_id}": Call(
        "credential.revoke", "{id}:connection", "{token_id}:scim_token"
    ),
    "PUT /guardian/policies": Call("policy.update"),
    "PUT /guardian/factors/{name}": Call("policy.update"),
    "PATCH /attack-protection/{name}": Call("policy.update"),
}

_PREFIX = re.compile(r"/(?:api/)?v2(?=/)")


def find_call(method: JsonValue, path: JsonValue) -> tuple[str, dict[str, str]] | None:
    """Return the row of `CALLS` that a request is of, and the segments of its path.

    None for any other request. Names of methods may be in lower case, as Auth0 writes
    them; the path may begin with `/api/v2` or `/v2`.
    """
    if not isinstance(method, str) or not isinstance(path, str) or len(path) > MAX_PATH:
        return None
    parts = _PREFIX.sub("", path, count=1).partition("?")[0].split("/")[1:]
    for name, shape in _SHAPES.get((method.upper(), len(parts)), ()):
        if all(each.startswith("{") or each == part for each, part in shape(parts)):
            return name, {
                each: unquote(part, errors="replace")
                for each, part in shape(parts)
                if each.startswith("{")
            }
    return None


class _Shape:
    """The segments of a row's path, to lay beside those of a request."""

    def __init__(self, path: str) -> None:
        self._parts = path.split("/")[1:]

    def __call__(self, parts: list[str]) -> list[tuple[str, str]]:
        return list(zip(self._parts, parts, strict=True))


def _shapes() -> dict[tuple[str, int], list[tuple[str, _Shape]]]:
    shapes: dict[tuple[str, int], list[tuple[str, _Shape]]] = {}
    for name in CALLS:
        method, path = name.split(" ")
        place = method, path.count("/")
        shapes.setdefault(place, []).append((name, _Shape(path)))
    return shapes


_SHAPES: Final = _shapes()


def parties(
    call: Call, segments: dict[str, str], body: Entity
) -> Iterator[tuple[Entity, Entity]]:
    """Yield target and resource of each event of a call, empty where it has none."""
    targets = _entities(call.target, segments, body)
    yield from product(targets, _entities(call.resource, segments, body))


def _entities(where: str, segments: dict[str, str], body: Entity) -> list[Entity]:
    name, _, kind = where.partition(":")
    if name.startswith("{"):
        return [_entity(segments.get(name), kind)]
    if name.startswith("["):
        listed = body.get(name[1:])
        found = [_entity(each, kind) for each in _items(listed)]
        return [each for each in found if each] or [{}]
    return [_entity(body.get(name), kind)] if name else [{}]


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _entity(value: JsonValue, kind: str) -> Entity:
    if isinstance(value, dict):
        # A permission has two names: of the API, and its own.
        texts = text_members(
            name=value.get("permission_name"),
            scope=value.get("resource_server_identifier"),
        )
        joined = "#".join(map(str, (texts.get("scope"), texts.get("name"))))
        return {**fitting_id(joined), **texts, "type": kind} if len(texts) > 1 else {}
    found = fitting_id(value)
    return {**found, "type": kind} if found else {}
