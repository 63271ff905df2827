"""Records of any provider, read as the settings of their source say.

`[mapping]` in `connect/<name>.toml` says with JSON pointers (RFC 6901) where the id,
the time, the type, the parties, the outcome and the context stand in a record,
`[types]` what its types are called here. Nothing else of a record is understood, and
all of it is kept: what is not mapped can be read in `original`.

The version of the connector is `1:` and a digest of both tables, so that each entry
says by which mapping it was read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final

from provlog.merkle.encoding import JsonValue, format_time
from provlog.server.errors import ConfigurationError
from provlog.server.intake.connectors.building import Facts, text_members
from provlog.server.intake.connectors.generic_settings import Tables, read_tables
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.connectors.pointers import as_text, find
from provlog.server.intake.connectors.protocols import Connector
from provlog.server.intake.connectors.reading import told_apart
from provlog.server.intake.data_members import MAX_CHANGES, RESULTS
from provlog.server.intake.event import Event
from provlog.server.source_settings import SourceSettings

NAME: Final = "generic"
MAX_EVENTS_OF_RECORD: Final = 64
ANY: Final = "*"
"""The name in `[types]` of all types that are not named."""

# From the year 1970 to 9999, in milliseconds.
_MOMENTS: Final = range(253_402_300_800_000)

_Entity = dict[str, JsonValue]


class GenericConnector:
    """The connector `generic`, which works once it is `configured`."""

    name = NAME
    version = "1"
    hook = JsonHook()

    def parse(self, body: bytes) -> Iterator[list[bytes]]:  # noqa: ARG002
        """Raise `ConfigurationError`: without settings no record can be read."""
        raise _missing(None)

    def to_events(self, record: bytes, source: str, now_ms: int) -> list[Event]:  # noqa: ARG002
        """Raise `ConfigurationError`: without settings no record can be read."""
        raise _missing(None)

    def configured(self, settings: SourceSettings | None) -> Connector:
        """Return the connector of the source with these settings.

        Raises `ConfigurationError`, which says what is wrong and where, when there are
        none, or none that fit.
        """
        if settings is None or not settings.mapping:
            raise _missing(settings)
        tables = read_tables(settings)
        said = [settings.mapping, settings.types]
        digest = sha256(json.dumps(said, sort_keys=True, default=str).encode())
        envelopes = (tables.records,) if tables.records else ()
        return MappedConnector(
            NAME,
            f"1:{digest.hexdigest()[:16]}",
            _Reading(tables).facts_of,
            JsonHook(envelopes),
            envelopes,
        )


CONNECTOR = GenericConnector()


def _missing(settings: SourceSettings | None) -> ConfigurationError:
    where = "" if settings is None else f"{settings.path}: "
    return ConfigurationError(f"{where}the connector generic needs a table [mapping]")


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads records by a mapping."""

    tables: Tables

    def facts_of(self, record: JsonValue) -> Facts:
        """Return what one record says, by this mapping."""
        native = as_text(self._at("type", record))
        several = list(islice(self._several(record), MAX_EVENTS_OF_RECORD + 1))
        common = self._common(record)
        data = [common | each for each in several[:MAX_EVENTS_OF_RECORD]]
        flags = ["targets_cut"] if len(several) > MAX_EVENTS_OF_RECORD else []
        if len(_listed(self._changes(record))) > MAX_CHANGES:
            flags.append("changes_cut")
        return Facts(
            id=as_text(self._at("id", record)),
            time=self._time(record),
            native_type=native,
            type=self.tables.types.get(native or "", self.tables.types.get(ANY)),
            data=data,
            flags=tuple(flags),
            seq=self._at("seq", record),
            # An operator may name an id that is not that of the record alone.
            compared=told_apart(
                *([each.get("changes"), each.get("resource")] for each in data)
            ),
        )

    def _at(self, name: str, record: JsonValue) -> JsonValue:
        place = self.tables.places.get(name)
        return None if place is None else find(place, record)

    def _time(self, record: JsonValue) -> JsonValue:
        value, unit = self._at("time", record), self.tables.mapping.time_unit
        if unit == "rfc3339" or isinstance(value, list | dict):
            return value
        try:
            moment = int(float(str(value)) * (1000 if unit == "s" else 1))
        except (ValueError, OverflowError):
            return value
        return format_time(moment) if moment in _MOMENTS else value

    def _several(self, record: JsonValue) -> Iterator[_Entity]:
        """Yield the parties of each event that the record tells of."""
        split = [
            name
            for name, party in self.tables.parties.items()
            if party.each is not None
        ]
        whole: _Entity = {
            name: party.of(record)
            for name, party in self.tables.parties.items()
            if name not in split
        }
        if not split:
            yield _filled(whole)
            return
        [name] = split
        party = self.tables.parties[name]
        listed = _listed(find(party.each, record) if party.each else None)
        for element in listed or [None]:
            yield _filled(whole | {name: party.of(element)})

    def _common(self, record: JsonValue) -> _Entity:
        context = {
            name: find(place, record) for name, place in self.tables.context.items()
        }
        changes = _listed(self._changes(record))[:MAX_CHANGES]
        return _filled(
            {
                "outcome": self._outcome(record),
                "context": text_members(
                    **{name: as_text(value) for name, value in context.items()}
                ),
                "changes": [self._change(each) for each in changes],
            }
        )

    def _changes(self, record: JsonValue) -> JsonValue:
        return (
            find(self.tables.changes["each"], record) if self.tables.changes else None
        )

    def _change(self, element: JsonValue) -> JsonValue:
        places = self.tables.changes
        change: _Entity = {
            "op": "replace",
            "path": as_text(find(places["path"], element)) or "",
        }
        for name in ("old", "value"):
            if name in places:
                change[name] = find(places[name], element)
        return change

    def _outcome(self, record: JsonValue) -> _Entity:
        mapped = self.tables.mapping.outcome
        if mapped is None:
            return {}
        word = as_text(find(self.tables.outcome["result"], record))
        if word is None:
            return {}
        ours = mapped.words.get(word, word if word in RESULTS else "unknown")
        reason = find(self.tables.outcome["reason"], record) if mapped.reason else None
        theirs = None if word.lower() == ours else word
        return {
            "result": ours,
            **text_members(reason=as_text(reason), provider_result=theirs),
        }


def _filled(members: Mapping[str, JsonValue]) -> _Entity:
    return {name: member for name, member in members.items() if member}


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
