"""Connectors for providers whose records are JSON: a pure function and a name.

A body is a JSON array, NDJSON or a single object; a provider that wraps its records has
them in an array inside an object, its envelope.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.connectors.building import Facts, build_events
from provlog.server.intake.connectors.protocols import Hook
from provlog.server.intake.event import Event
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import (
    MAX_BATCH_EVENTS,
    WINDOW,
    check_batch_size,
    cut_array,
    cut_lines,
    cut_member,
    is_json_object,
)

MAX_RECORDS: Final = 10_000
"""How many records a delivery has at most: more than fit the longest body, unless they
say nothing."""

Envelope: TypeAlias = tuple[str, ...]
"""The names of the members that lead to the array of records; empty without one."""


@dataclass(frozen=True, slots=True)
class MappedConnector:
    """A connector made of a mapping; see `Connector` for what it promises.

    `facts_of` is pure and returns what one decoded record says, whatever it is.
    """

    name: str
    version: str
    facts_of: Callable[[JsonValue], Facts]
    hook: Hook | None = None
    envelopes: tuple[Envelope, ...] = ()

    def parse(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the records of a body; see `parse_records`."""
        return parse_records(body, self.envelopes)

    def to_events(self, record: bytes, source: str, now_ms: int) -> list[Event]:
        """Return the events of one record; see `Connector.to_events`.

        A record longer than `WINDOW` is not read: it would hold up everybody else.
        """
        try:
            value = loads_json(record if len(record) <= WINDOW else b"")
        except MalformedError:
            facts = Facts(type="other.unparsed")
        else:
            facts = self.facts_of(value)
        return build_events(facts, record, source, now_ms, (self.name, self.version))


@dataclass(frozen=True, slots=True)
class JsonHook:
    """A provider that POSTs its records as JSON and asks for no verification."""

    envelopes: tuple[Envelope, ...] = ()

    def verification(self, headers: Mapping[str, str]) -> JsonValue:  # noqa: ARG002
        """Return None: there is no such request."""
        return None

    def cut(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the records of a delivery; see `parse_records`."""
        return parse_records(body, self.envelopes, MAX_RECORDS)


def parse_records(
    body: bytes, envelopes: tuple[Envelope, ...] = (), most: int | None = None
) -> Iterator[list[bytes]]:
    """Yield the records of an array, of NDJSON, of an envelope or of a single object.

    The first line decides between a single object and NDJSON: if it is an object,
    each line is a record, readable or not. An object that has an envelope's array is
    taken apart; `most` bounds its records, as `cut_array` bounds those of an array.
    `EventError` 400, also on the way, when the body is none of these, and 413 when it
    is too large.
    """
    check_batch_size(body)
    bound = {} if most is None else {"most": most}
    stripped = body.strip(b" \t\r\n")
    if stripped.startswith(b"["):
        return cut_array(body, **bound)
    first, _, rest = stripped.partition(b"\n")
    whole = not rest.strip() and is_json_object(stripped)
    if not whole and is_json_object(first.rstrip()):
        return cut_lines(stripped)
    if whole or is_json_object(stripped):
        return _cut_object(stripped, envelopes, bound)
    raise EventError(400, "neither a JSON array, NDJSON nor one JSON object")


def _cut_object(
    body: bytes, envelopes: tuple[Envelope, ...], bound: dict[str, int]
) -> Iterator[list[bytes]]:
    for path in envelopes:
        begun = False
        try:
            for step in cut_member(body, path, bound.get("most", MAX_BATCH_EVENTS)):
                begun = begun or bool(step)
                yield step
        except EventError as error:
            if begun or error.status == 413:
                raise
        else:
            return
    yield [body]
