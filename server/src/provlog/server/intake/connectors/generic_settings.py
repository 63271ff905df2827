"""The tables `[mapping]` and `[types]` of a source's settings, read strictly.

Strings of a mapping are JSON pointers, or `=` and the text itself. Whatever is wrong is
said with the file and the name of the setting.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import ConfigurationError
from provlog.server.intake.connectors.building import fitting_id, text_members
from provlog.server.intake.connectors.pointers import (
    Place,
    as_text,
    find,
    parse_place,
    parse_pointer,
)
from provlog.server.intake.data_members import RESULTS
from provlog.server.intake.event import MAX_TYPE_LENGTH, RESERVED_TYPES, TYPE
from provlog.server.source_settings import SourceSettings

MAX_NAMES: Final = 64
MAX_TYPES: Final = 1000

_CONTEXT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class PartyMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the parts of an actor, a target or a resource stand.

    With `each`, a pointer to an array, the others begin at its elements, and each
    element makes an event of its own.
    """

    id: str | None = None
    type: str | None = None
    name: str | None = None
    external_id: str | None = None
    email: str | None = None
    scope: str | None = None
    each: str | None = None


class OutcomeMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the result and its reason stand, and what its words mean here."""

    result: str
    reason: str | None = None
    words: dict[str, str] = msgspec.field(default_factory=dict)


class ChangesMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the array of changes stands; in its elements the name and both values."""

    each: str
    path: str
    old: str | None = None
    value: str | None = None


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[mapping]`: strings are JSON pointers, or `=` and the text itself.

    `records` leads to the array of records in a body that is one object. `time_unit`
    says how a moment is written: as RFC 3339, or in seconds or milliseconds since 1970.
    """

    type: str
    id: str | None = None
    time: str | None = None
    time_unit: Literal["rfc3339", "s", "ms"] = "rfc3339"
    seq: str | None = None
    records: str | None = None
    actor: PartyMapping | None = None
    target: PartyMapping | None = None
    resource: PartyMapping | None = None
    outcome: OutcomeMapping | None = None
    changes: ChangesMapping | None = None
    context: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Party:
    """Where the parts of an actor, a target or a resource stand, taken apart."""

    places: dict[str, Place]
    each: Place | None = None

    def of(self, value: JsonValue) -> dict[str, JsonValue]:
        """Return the party that a record, or an element of it, tells of.

        It is empty where nothing is told but what the settings say themselves.
        """
        found = {
            name: as_text(find(place, value)) for name, place in self.places.items()
        }
        if not any(found[name] for name in found if self.places[name].text is None):
            return {}
        identifier = fitting_id(found.pop("id", None))
        return identifier | text_members(**found)


@dataclass(frozen=True, slots=True)
class Tables:
    """Both tables, with the pointers taken apart."""

    mapping: Mapping
    places: dict[str, Place]
    records: tuple[str, ...]
    parties: dict[str, Party]
    types: dict[str, str]
    outcome: dict[str, Place]
    changes: dict[str, Place]
    context: dict[str, Place]


def read_tables(settings: SourceSettings) -> Tables:
    """Return both tables of a source's settings.

    Raises `ConfigurationError` where they do not say how to read a record.
    """
    path = settings.path
    try:
        mapping = msgspec.convert(dict(settings.mapping), Mapping)
    except ValueError as error:
        raise ConfigurationError(f"{path}: [mapping]: {error}") from None
    where = f"{path}: mapping"
    words = mapping.outcome.words if mapping.outcome else {}
    if not RESULTS.issuperset(words.values()):
        raise ConfigurationError(
            f"{where}.outcome.words: a result here is one of "
            + ", ".join(sorted(RESULTS))
        )
    return Tables(
        mapping,
        _places(mapping, ("id", "time", "type", "seq"), where),
        parse_pointer(mapping.records or "", f"{where}.records"),
        _parties(mapping, where),
        _types(settings),
        _places(mapping.outcome, ("result", "reason"), f"{where}.outcome"),
        _places(mapping.changes, ("each", "path", "old", "value"), f"{where}.changes"),
        _context(mapping, where),
    )


def _context(mapping: Mapping, where: str) -> dict[str, Place]:
    if len(mapping.context) > MAX_NAMES:
        raise ConfigurationError(f"{where}.context has more than {MAX_NAMES} names")
    for name in mapping.context:
        if _CONTEXT_NAME.fullmatch(name) is None:
            raise ConfigurationError(
                f"{where}.context: {name!r} is no name made of a-z, 0-9 and _"
            )
    return {
        name: parse_place(text, f"{where}.context.{name}")
        for name, text in mapping.context.items()
    }


def _places(table: Any, names: tuple[str, ...], where: str) -> dict[str, Place]:  # noqa: ANN401
    texts = {name: getattr(table, name) for name in names if table is not None}
    return {
        name: parse_place(text, f"{where}.{name}")
        for name, text in texts.items()
        if text is not None
    }


def _parties(mapping: Mapping, where: str) -> dict[str, Party]:
    parties: dict[str, Party] = {}
    for name in ("actor", "target", "resource"):
        table: PartyMapping | None = getattr(mapping, name)
        if table is not None:
            fields = tuple(each for each in table.__struct_fields__ if each != "each")
            places = _places(table, fields, f"{where}.{name}")
            each = _places(table, ("each",), f"{where}.{name}").get("each")
            parties[name] = Party(places, each)
    if sum(party.each is not None for party in parties.values()) > 1:
        raise ConfigurationError(f"{where}: only one party can have each")
    return parties


def _types(settings: SourceSettings) -> dict[str, str]:
    if len(settings.types) > MAX_TYPES:
        raise ConfigurationError(
            f"{settings.path}: [types] has more than {MAX_TYPES} names"
        )
    for name, ours in settings.types.items():
        if not _is_type(ours):
            raise ConfigurationError(
                f"{settings.path}: [types] {name!r}: a type here is two or more parts"
                " of a-z, 0-9, _ and -, joined by dots, and does not begin with"
                f" {RESERVED_TYPES}"
            )
    return dict(settings.types)


def _is_type(ours: object) -> bool:
    return (
        isinstance(ours, str)
        and TYPE.fullmatch(ours) is not None
        and len(ours) <= MAX_TYPE_LENGTH
        and not ours.startswith(RESERVED_TYPES)
    )
