"""SCIM PATCH requests (RFC 7644 section 3.5.2): what they change, in provlog's words.

Pure, and lenient: `Operations` may be spelled in any case, as may `op`, and whatever
is not of the shape that the RFC gives it is left out, since it stands in the original.
Nothing is inferred: without the state before, a change has no `old`.
"""

import re
from collections.abc import Iterator
from typing import Final

from provlog.merkle.encoding import JsonValue

MAX_OPERATIONS: Final = 1000
"""How many changes of one request are told; there may be more in the original."""

_OPS = frozenset({"add", "remove", "replace"})
_URN: Final = "urn:"
_MEMBER = re.compile(
    r"""members\s*\[\s*value\s+eq\s+"([^"\\]{1,512})"\s*\]""", re.IGNORECASE
)
_TRUTH: Final = {"true": True, "false": False}


def patch_operations(body: JsonValue) -> list[dict[str, JsonValue]]:
    """Return a PatchOp's operations that are objects, in order, the first of many."""
    if not isinstance(body, dict):
        return []
    listed = _member(body, "operations")
    operations = listed if isinstance(listed, list) else []
    return [each for each in operations[:MAX_OPERATIONS] if isinstance(each, dict)]


def patch_changes(body: JsonValue) -> list[JsonValue]:
    """Return what a PatchOp changes: `{"op", "path", "value"}` for each attribute.

    An operation without a path has one change for each member of its value, whose name
    is the path. At most `MAX_OPERATIONS + 1`, so that a caller sees what was cut.
    """
    changes: list[JsonValue] = []
    for operation in patch_operations(body):
        changes += _changes_of(operation)
        if len(changes) > MAX_OPERATIONS:
            break
    return changes[: MAX_OPERATIONS + 1]


def patched_active(body: JsonValue) -> bool | None:
    """Return what a PatchOp sets `active` to, None where it does not touch it.

    The last operation counts. Text such as "False" counts as well: some clients write
    it so.
    """
    found = None
    for operation in patch_operations(body):
        for path, value in _targets(operation):
            if path.lower() == "active" and op_of(operation) != "remove":
                truth = truth_of(value)
                found = found if truth is None else truth
    return found


def truth_of(value: JsonValue) -> bool | None:
    """Return the truth value that `value` is or spells in any case, None if none."""
    if isinstance(value, bool):
        return value
    return _TRUTH.get(value.lower()) if isinstance(value, str) else None


def patched_members(body: JsonValue) -> list[tuple[str, dict[str, JsonValue]]] | None:
    """Return the members a PatchOp adds and removes, as ("add" or "remove", member).

    None where it does anything else as well, or replaces the members, so that who came
    and went cannot be told. A member has at least `value`, the id.
    """
    found: list[tuple[str, dict[str, JsonValue]]] = []
    for operation in patch_operations(body):
        members = _members_of(operation)
        if members is None:
            return None
        found += [(op_of(operation), member) for member in members]
    return found or None


def op_of(operation: dict[str, JsonValue]) -> str:
    """Return an operation's `op` in lower case, empty where it is none of the three."""
    op = _member(operation, "op")
    name = op.lower() if isinstance(op, str) else ""
    return name if name in _OPS else ""


def _member(value: dict[str, JsonValue], wanted: str) -> JsonValue:
    if wanted in value:
        return value[wanted]
    return next((each for name, each in value.items() if name.lower() == wanted), None)


def _path(operation: dict[str, JsonValue]) -> str:
    path = _member(operation, "path")
    return path if isinstance(path, str) else ""


def _targets(operation: dict[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    """Yield path and value of each attribute that an operation concerns."""
    path, value = _path(operation), _member(operation, "value")
    if path:
        yield path, value
    elif isinstance(value, dict):
        for name, each in value.items():
            # An extension's attributes stand in an object under its URN.
            if name.lower().startswith(_URN) and isinstance(each, dict):
                yield from ((f"{name}:{inner}", deep) for inner, deep in each.items())
            else:
                yield name, each


def _changes_of(operation: dict[str, JsonValue]) -> Iterator[JsonValue]:
    op, valued = op_of(operation), any(name.lower() == "value" for name in operation)
    for path, value in _targets(operation):
        change: dict[str, JsonValue] = {"op": op} if op else {}
        change["path"] = path
        if valued:
            change["value"] = value
        yield change


def _members_of(
    operation: dict[str, JsonValue],
) -> list[dict[str, JsonValue]] | None:
    """Return the members an operation adds or removes, None if it does another thing.

    ``members[value eq "…"]``, ``path: "members"`` with a list of values, and a value
    without a path that holds nothing but `members`.
    """
    if op_of(operation) not in ("add", "remove"):
        return None
    path, value = _path(operation).strip(), _member(operation, "value")
    filtered = _MEMBER.fullmatch(path)
    if filtered is not None:
        return [{"value": filtered[1]}] if op_of(operation) == "remove" else None
    if not path and isinstance(value, dict) and [*map(str.lower, value)] == ["members"]:
        path, value = "members", next(iter(value.values()))
    listed = value if isinstance(value, list) else [value]
    members = [each for each in listed if isinstance(each, dict)]
    named = [each for each in members if isinstance(each.get("value"), str)]
    if path.lower() != "members" or not named or len(named) != len(listed):
        return None
    return named
