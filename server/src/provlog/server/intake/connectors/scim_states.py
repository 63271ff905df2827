"""A SCIM resource before and after: what a whole new representation changes.

Values of `password`, and of what else a proxy is told to keep out, are not repeated.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.scim_steps import (
    Attributes,
    attribute,
    flattened,
    split_urn,
)
from provlog.server.intake.data_members import MAX_CHANGES

HIDDEN: Final = "[redacted]"
"""What stands in the place of a secret."""
PASSWORD: Final = "password"  # noqa: S105  the attribute's name

_SERVERS_OWN = frozenset({"schemas", "meta", "id"})


def put_changes(after: Attributes, before: Attributes | None) -> list[JsonValue]:
    """Return the changes from one state of a resource to another.

    All that is there is a replacement where the state before is not known; with it,
    what is equal is left out, and so is what only the server may set. What is missing
    in the new state is not taken for removed: servers may keep it (RFC 7644 3.5.1).
    """
    known = None if before is None else dict(flattened(before))
    found = (
        _change(path, value, known)
        for path, value in flattened(after)
        if path.lower() not in _SERVERS_OWN and not _is_same(path, value, known)
    )
    return list(islice(found, MAX_CHANGES + 1))


def is_secret(path: str, names: frozenset[str] = frozenset()) -> bool:
    """Tell whether the attribute at a path is `password`, or one of further names.

    Names are in lower case: of attributes, or of these with their schema's URN.
    """
    lower = path.lower()
    name = split_urn(lower)[1].partition("[")[0]
    parts = {lower, name, *name.split(".")}
    return PASSWORD in parts or not names.isdisjoint(parts)


def without_secrets(changes: Sequence[JsonValue]) -> list[JsonValue]:
    """Return changes with the values of secrets hidden."""
    return [_hidden(each) for each in changes if isinstance(each, dict)]


def _hidden(change: Attributes) -> Attributes:
    path = change.get("path")
    if not isinstance(path, str) or not is_secret(path):
        return change
    return {
        name: HIDDEN if name in ("value", "old") else each
        for name, each in change.items()
    }


def _is_same(path: str, value: JsonValue, known: Attributes | None) -> bool:
    return known is not None and value is not None and attribute(known, path) == value


def _change(path: str, value: JsonValue, known: Attributes | None) -> Attributes:
    old = None if known is None else attribute(known, path)
    # Nothing is known of a resource without its state; of a new one that it had none.
    op = "add" if known is not None and old is None else "replace"
    change: Attributes = {"op": op, "path": path, "value": value}
    return change if old is None else change | {"old": old}
