"""Resource paths of Keycloak's admin events: whose account, which group, which role.

A path is what the administrator called, below the realm: `users/<id>/groups/<id>`.
Paths are read by the shapes that are known for a resource type, the longest first; what
stands behind a shape was done below the resource (`users/<id>/reset-password`). Where a
path has none of the shapes, no id is taken from it.

Source: the admin resources of Keycloak, which put the path of the request there.
"""

import re
from dataclasses import dataclass, field
from typing import Final

MAX_PATH: Final = 2048
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_MOST_WORDS: Final = 3
# Where an id may stand, these stand for something to be done.
_NO_IDS: Final = frozenset({"invite-user", "invite-existing-user"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    `ids` are `target`, `resource`, `name`, `scope` and `parent`, those the path has;
    `target` and `resource` say of which kind the two are. `below` are the words of what
    was done below the resource, empty if it was done to itself. `known` is False where
    the path has no shape that is known for its resource type.
    """

    ids: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    resource: str | None = None
    below: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class _Shape:
    pattern: tuple[str, ...]
    target: str | None = None
    resource: str | None = None

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the ids of a path that begins with this shape, None if none does."""
        if len(segments) < len(self.pattern):
            return None
        ids: dict[str, str] = {}
        for expected, segment in zip(self.pattern, segments, strict=False):
            if expected.startswith("{"):
                if not segment or segment in _NO_IDS:
                    return None
                ids[expected[1:-1]] = segment
            elif segment != expected:
                return None
        return ids


def _shape(
    pattern: str, target: str | None = None, resource: str | None = None
) -> _Shape:
    return _Shape(tuple(pattern.split("/")), target, resource)


_SHAPES: Final[dict[str, tuple[_Shape, ...]]] = {
    "USER": (_shape("users/{target}", "user"),),
    "GROUP": (
        _shape("groups/{parent}/children/{target}", "group"),
        _shape("groups/{parent}/children", "group"),
        _shape("groups/{target}", "group"),
    ),
    "GROUP_MEMBERSHIP": (_shape("users/{target}/groups/{resource}", "user", "group"),),
    "ORGANIZATION": (_shape("organizations/{target}", "organization"),),
    "ORGANIZATION_MEMBERSHIP": (
        _shape("organizations/{resource}/members/{target}", "user", "organization"),
        _shape("organizations/{resource}/members", "user", "organization"),
        _shape("organizations/{resource}", None, "organization"),
    ),
    "REALM_ROLE_MAPPING": (
        _shape("users/{target}/role-mappings/realm", "user", "role"),
        _shape("groups/{target}/role-mappings/realm", "group", "role"),
    ),
    "CLIENT_ROLE_MAPPING": (
        _shape("users/{target}/role-mappings/clients/{scope}", "user", "role"),
        _shape("groups/{target}/role-mappings/clients/{scope}", "group", "role"),
    ),
    "REALM_ROLE": (
        _shape("roles/{name}", None, "role"),
        _shape("roles-by-id/{resource}", None, "role"),
    ),
    "CLIENT_ROLE": (
        _shape("clients/{scope}/roles/{name}", None, "role"),
        _shape("roles-by-id/{resource}", None, "role"),
    ),
    "CLIENT": (_shape("clients/{resource}", None, "client"),),
    "CLIENT_SCOPE": (_shape("client-scopes/{resource}", None, "client_scope"),),
    "COMPONENT": (_shape("components/{resource}", None, "component"),),
    "IDENTITY_PROVIDER": (
        _shape("identity-provider/instances/{name}", None, "identity_provider"),
    ),
}

_OWN_EVENTS: Final = frozenset(_SHAPES) - {
    "COMPONENT",
    "GROUP_MEMBERSHIP",
    "REALM_ROLE_MAPPING",
    "CLIENT_ROLE_MAPPING",
}
"""What else may be done below, which would be mistaken for what is done to itself."""


def find_place(resource_type: str, path: str | None) -> Place:
    """Return what a path says, for a resource type; never more than it says."""
    shapes = _SHAPES.get(resource_type)
    if shapes is None:
        return Place(resource=resource_type.lower()[:64])
    if not path:
        return Place(target=shapes[0].target, resource=shapes[0].resource)
    segments = path[:MAX_PATH].strip("/").split("/")
    own = resource_type in _OWN_EVENTS
    for shape in shapes:
        ids = shape.match(segments)
        if ids is not None:
            rest = segments[len(shape.pattern) :]
            below = _words(rest) if own else ""
            return Place(ids, shape.target, shape.resource, below)
    below = _words(segments[:1]) if own else ""
    return Place({}, shapes[0].target, shapes[0].resource, below, known=False)


def _words(rest: list[str]) -> str:
    """Return every other segment: ids stand between words."""
    words = rest[::2][:_MOST_WORDS]
    return "/".join(word if _WORD.fullmatch(word) else "_" for word in words)
