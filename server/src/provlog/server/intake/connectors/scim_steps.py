"""What a SCIM PatchOp asks for: its changes, its members, and `active`.

RFC 7644 section 3.5.2, and what is sent in its place: operations in any case
("Replace"), booleans as text ("False"), dotted keys in an operation without path, and
members to remove as a list of values (Microsoft Entra's older dialect).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.data_members import MAX_CHANGES

MAX_OPERATIONS: Final = 1000
MAX_PATH: Final = 512
MAX_SCANNED: Final = 500
"""Through how many names or values an attribute is looked for: a request may name a
thousand, and a resource hold ten thousand that are none of them."""
CORE: Final = "urn:ietf:params:scim:schemas:core:2.0:"

Attributes: TypeAlias = dict[str, JsonValue]

_OPS = frozenset({"add", "replace", "remove"})
_EXTENSION = "urn:"
_BOOLEANS = {"true": True, "false": False}
_MEMBERS = re.compile(r"members(?:\[(?P<filter>[^\]]*)\])?", re.I)
_VALUES = re.compile(r'\s*value\s+eq\s+"([^"\\]{1,512})"\s*', re.I)
_OR = re.compile(r"\bor\b", re.I)
_FILTERED = re.compile(r'(\w+)\[(\w+) eq "([^"\\]*)"\](?:\.(\w+))?', re.I)


@dataclass(frozen=True, slots=True)
class Step:
    """One attribute that an operation changes; `op` is in lower case.

    `path` is without the URN of a core schema, and "" where the operation names none
    and its value is no object.
    """

    op: str
    path: str
    value: JsonValue

    def change(self, before: Attributes | None) -> Attributes:
        """Return it as an element of `changes`, with the old value if it is known."""
        change: Attributes = {"op": self.op, "path": self.path}
        if self.value is not None:
            change["value"] = self.value
        if before is not None:
            old = value_at(before, self.path)
            return change if old is None else change | {"old": old}
        return change


@dataclass(frozen=True, slots=True)
class MemberStep:
    """Members that an operation names: to add, to remove, or to replace all others.

    `members` is None where it names none: all are removed, or those of a filter that
    only the server can apply.
    """

    op: str
    members: Sequence[Attributes] | None
    every: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it says who is a member afterwards, whoever was one before."""
        replaced = self.op == "replace" and self.members is not None
        return replaced or (self.op == "remove" and self.every)


def read_steps(body: JsonValue) -> list[Step]:
    """Return what the operations of a PatchOp change, in their order.

    At most `MAX_CHANGES` and one more, which says that there are further ones.
    """
    return list(islice(_steps(body), MAX_CHANGES + 1))


def patch_changes(body: JsonValue, before: Attributes | None = None) -> list[JsonValue]:
    """Return the `changes` of a PatchOp, at most `MAX_CHANGES`."""
    return [step.change(before) for step in read_steps(body)[:MAX_CHANGES]]


def active_of(steps: Sequence[Step]) -> bool | None:
    """Return what the last operation on `active` says, None where there is none."""
    found = None
    for step in steps:
        if step.path.lower() == "active" and step.op != "remove":
            read = as_boolean(step.value)
            found = found if read is None else read
    return found


def as_boolean(value: JsonValue) -> bool | None:
    """Return a boolean that may be spelled as text or stand in a list alone."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, str):
        return _BOOLEANS.get(value.lower())
    return value if isinstance(value, bool) else None


def member_step(step: Step) -> MemberStep | None:
    """Return the members of a group that a step names, None where it is of others."""
    match = _MEMBERS.fullmatch(step.path)
    if match is None:
        return None
    if match["filter"] is not None:
        return MemberStep(step.op, _filtered(match["filter"]))
    if step.value is None:
        return MemberStep(step.op, None, every=True)
    return MemberStep(step.op, read_members(step.value))


def read_members(value: JsonValue) -> list[Attributes]:
    """Return the members of a list, or of a single one; ids may stand alone."""
    listed = value if isinstance(value, list) else [value]
    found = list[Attributes]()
    for each in listed:
        if isinstance(each, str):
            found.append({"value": each})
        elif isinstance(each, dict) and "value" in each:
            found.append(each)
    return found


def attribute(attributes: Attributes, name: str) -> JsonValue:
    """Return an attribute's value; names are the same in any case (RFC 7643 2.1).

    In another case it is found among the first `MAX_SCANNED`.
    """
    if name in attributes:
        return attributes[name]
    wanted = name.lower()
    for each in islice(attributes, MAX_SCANNED):
        if each.lower() == wanted:
            return attributes[each]
    return None


def value_at(attributes: Attributes, path: str) -> JsonValue:
    """Return the value at a path in a resource, None where there is none.

    Of filters only `attribute[sub eq "text"]` is applied, to the first `MAX_SCANNED`.
    """
    match = _FILTERED.fullmatch(path)
    if match is not None:
        return _filtered_value(attributes, match)
    urn, name = split_urn(path)
    found: JsonValue = attributes
    for part in ([urn] if urn else []) + (name.split(".") if name else []):
        if not isinstance(found, dict):
            return None
        found = attribute(found, part)
    return found


def split_urn(path: str) -> tuple[str, str]:
    """Return the schema's URN of a path, "" without one, and the attribute's path."""
    if not path.lower().startswith(_EXTENSION):
        return "", path
    # The last colon ends the URN; a name of an attribute holds none.
    urn, _, name = path.rpartition(":")
    # The URN alone names all of the extension: its last part is no attribute's name.
    return (
        (path, "") if re.fullmatch(r"[\d.]+", urn.rpartition(":")[2]) else (urn, name)
    )


def flattened(attributes: Attributes) -> Iterator[tuple[str, JsonValue]]:
    """Yield paths and values of a resource, extensions attribute by attribute."""
    for name, value in attributes.items():
        if name.lower().startswith(_EXTENSION) and isinstance(value, dict):
            for inner, each in value.items():
                yield _plain(f"{name}:{inner}"), each
        else:
            yield _plain(name), value


def _steps(body: JsonValue) -> Iterator[Step]:
    # In a Bulk request the operations may stand alone (RFC 7644 figure in 3.7.3).
    listed = attribute(body, "Operations") if isinstance(body, dict) else body
    for each in (listed if isinstance(listed, list) else [])[:MAX_OPERATIONS]:
        if isinstance(each, dict):
            yield from _steps_of(each)


def _steps_of(operation: Attributes) -> Iterator[Step]:
    named = attribute(operation, "op")
    op = named.lower() if isinstance(named, str) else ""
    path, value = attribute(operation, "path"), attribute(operation, "value")
    op = op if op in _OPS else "unknown"
    if isinstance(path, str) and path:
        yield Step(op, _plain(path), value)
    elif isinstance(value, dict):
        for name, each in flattened(value):
            yield Step(op, name, each)
    else:
        yield Step(op, "", value)


def _plain(path: str) -> str:
    """Return a path without the URN of a core schema, which may be left out."""
    path = path[:MAX_PATH]
    if path.lower().startswith(CORE):
        return path[len(CORE) :].partition(":")[2] or path
    return path


def _filtered(text: str) -> list[Attributes] | None:
    """Return the members that a filter names by their ids, None if it is another."""
    parts = [_VALUES.fullmatch(part) for part in _OR.split(text)]
    found = [{"value": match[1]} for match in parts if match is not None]
    return [*found] if len(found) == len(parts) else None


def _filtered_value(attributes: Attributes, match: re.Match[str]) -> JsonValue:
    name, inner, text, further = match.groups()
    listed = attribute(attributes, name)
    for each in listed[:MAX_SCANNED] if isinstance(listed, list) else []:
        if isinstance(each, dict) and attribute(each, inner) == text:
            return attribute(each, further) if further else each
    return None
