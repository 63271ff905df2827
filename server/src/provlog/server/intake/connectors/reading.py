"""Members of decoded JSON that may be anything: what is not as expected is absent."""

import json
from hashlib import sha256

from provlog.merkle.encoding import JsonValue


def as_object(value: JsonValue) -> dict[str, JsonValue]:
    """Return an object, an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def as_text(value: JsonValue) -> str | None:
    """Return a text that is not empty, None in the place of anything else."""
    return value if isinstance(value, str) and value else None


def told_apart(*members: JsonValue) -> str:
    """Return what is equal for equal members, whatever the order of names in them.

    For `Facts.compared`, where a provider gives one id to records that differ in these.
    """
    return sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()
