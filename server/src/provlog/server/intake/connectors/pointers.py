"""JSON pointers (RFC 6901), as an operator writes them into settings.

A place is a pointer, or `=` and a text that is the same in every record.
"""

import re
from dataclasses import dataclass
from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import ConfigurationError

MAX_POINTER: Final = 1024
MAX_PARTS: Final = 64

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_ESCAPE = re.compile(r"~(?![01])")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands; `text` where it is the same in every record."""

    parts: tuple[str, ...] = ()
    text: str | None = None


def parse_place(text: str, where: str) -> Place:
    """Return the place that a setting names; `where` names the setting.

    Raises `ConfigurationError` where it is none.
    """
    if text.startswith("="):
        return Place(text=text[1:])
    return Place(parse_pointer(text, where))


def parse_pointer(text: str, where: str) -> tuple[str, ...]:
    """Return the names and indexes of a pointer; none of them is the whole.

    Raises `ConfigurationError`, which names the setting, where it is no pointer.
    """
    if len(text) > MAX_POINTER or text.count("/") > MAX_PARTS:
        raise ConfigurationError(f"{where}: longer than pointers are here")
    if text and not text.startswith("/"):
        raise ConfigurationError(
            f"{where}: {text!r} is no JSON pointer, which begins with /;"
            " a text that is the same in every record begins with ="
        )
    if _ESCAPE.search(text):
        raise ConfigurationError(f"{where}: in a pointer ~ is written ~0, and / ~1")
    return tuple(
        part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]
    )


def find(place: Place, value: JsonValue) -> JsonValue:
    """Return what stands at a place of a value, None if there is nothing."""
    if place.text is not None:
        return place.text
    for part in place.parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and _INDEX.fullmatch(part):
            index = int(part)
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def as_text(value: JsonValue) -> str | None:
    """Return a text, or an integer or boolean as one; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None
