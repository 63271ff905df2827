"""Whether an answer accounts for every record that was sent, and for nothing else.

What events a provider's records become is knowledge of the server's connectors. What
the client holds against an answer all the same:

- results come in the order of the records, at least one for each;
- every entry is an event of the source, and opens its id and original;
- its id, without ``#<n>`` and without ``~`` and digits of the record's digest, stands
  in the record as the value of a string or an integer, or is made of such values with
  ``/`` between them, times in their canonical spelling, or is ``sha256:`` and that
  digest; the id of a security event token (a record in compact form, or its claims) is
  ``<jti>@<iss>``;
- a new entry keeps the record byte for byte, or its SHA-256 where it is the second or a
  later one of the record, or where the record is too long to be kept;
- where the record holds secrets, what is kept and digested is what
  `provlog.merkle.redaction` leaves of it, with the places listed: the rule is the same
  here, so nothing else can be left out or altered under this pretext;
- an entry of old that keeps another form of the record has its id in the same place;
  what an export wraps in `properties` counts as standing where these do.

What an entry of old says beyond its id is not compared: providers send one record again
with other details. A refusal stands for a record, or for one event of it, and is
reported as what it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import product
from typing import TypeAlias

from provlog.client.answers import Receipt
from provlog.client.errors import RefusedError
from provlog.client.events import MAX_BATCH_EVENTS
from provlog.client.matching import (
    event_member,
    original_bytes,
    original_redacted,
    require_opened,
    require_source,
)
from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.event_tokens import claims_unverified, event_id
from provlog.merkle.redaction import Cut, cut_secrets

MAX_KEPT = 256 << 10
"""The longest record, in bytes, that an entry keeps (design section 5)."""
MAX_READ = 512 << 10
"""The longest record, in bytes, that a log reads and cuts secrets out of."""

_NUMBER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,40}))?[Zz]?", re.ASCII
)
_DIGEST_PARTS = (16, 64)

Place: TypeAlias = tuple[str | int, ...]


def require_records(
    results: Sequence[Receipt | RefusedError], source: str, records: Sequence[bytes]
) -> None:
    """Return if `results` account for `records`, or raise `ContentError`.

    `records` are what was sent in one body, in that order, `source` is whose they are.
    """
    if len(results) > MAX_BATCH_EVENTS:
        raise ContentError("answer: more results than a batch has events")
    sent = [_Record(each) for each in records]
    # The records that the last result can belong to. Refusals tell nothing of their
    # record and leave more than one.
    reached = {-1}
    for number, result in enumerate(results, 1):
        entry = _Entry(result, source) if isinstance(result, Receipt) else None
        reached = set(_next(reached, entry, sent))
        if not reached:
            raise ContentError(f"answer: result {number} is not of the record sent")
    if len(sent) - 1 not in reached:
        raise ContentError("answer: not a result for every record")


def _next(
    reached: set[int], entry: "_Entry | None", sent: Sequence["_Record"]
) -> Iterator[int]:
    for place in reached:
        after = place + 1
        if after < len(sent) and (
            entry is None or entry.is_of(sent[after], first=True)
        ):
            yield after
        if place >= 0 and (entry is None or entry.is_of(sent[place], first=False)):
            yield place


class _Record:
    """A record's bytes, and what can be seen in them without knowing the provider."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def cut(self) -> Cut:
        """The record without its secrets, as a log keeps it."""
        return cut_secrets(self.data) if len(self.data) <= MAX_READ else Cut(self.data)

    @cached_property
    def digests(self) -> Sequence[str]:
        """Of what a log keeps, and of what was sent: logs used to keep all of it."""
        forms = dict.fromkeys((self.cut.record, self.data))
        return [sha256(each).hexdigest() for each in forms]

    @cached_property
    def _strings(self) -> Mapping[str, set[Place]]:
        found: dict[str, set[Place]] = {}
        try:
            value = loads_json(claims_unverified(self.data))
        except MalformedError:
            # No connector reads it either.
            return found
        for place, text in _strings(_unwrapped(value)):
            found.setdefault(text, set()).add(place)
            if (moment := _moment(text)) is not None:
                found.setdefault(moment, set()).add(place)
        named = event_id(value)
        if named is not None:
            found.setdefault(named, set()).add(("jti", "iss"))
        return found

    def places(self, text: str) -> Sequence[set[Place]]:
        """Return where `text` stands as a value, or each of the values it is made of.

        Where one of them does not, its set is empty.
        """
        if text in self._strings:
            return [self._strings[text]]
        return [self._strings.get(part, set()) for part in text.split("/")]

    def readings(self, event_id: str) -> Iterator[tuple[str, int]]:
        """Yield what id of the record, and which of its events, an id may stand for."""
        names = [event_id]
        for digest, length in product(self.digests, _DIGEST_PARTS):
            suffix = f"~{digest[:length]}"
            if event_id.endswith(suffix):
                names.append(event_id.removesuffix(suffix))
        for name in names:
            yield name, 1
            base, _, number = name.rpartition("#")
            if _NUMBER.fullmatch(number):
                yield base, int(number)


class _Entry:
    """What a receipt says of the record behind its entry."""

    def __init__(self, receipt: Receipt, source: str) -> None:
        verified = receipt.verified
        require_source(verified, source)
        require_opened(verified)
        event = event_member(verified)
        self._created = receipt.created
        self._id = event.get("id")
        self._digest: JsonValue = event.get("record_sha256")
        original = original_bytes(verified)
        self._kept = None if original is None else _Record(original)
        self._redacted = original_redacted(verified)

    def is_of(self, record: _Record, *, first: bool) -> bool:
        """Tell whether this is the entry of the record's first or of a later event."""
        if not isinstance(self._id, str):
            return False
        return any(
            (number == 1) == first
            and self._is_named(base, record)
            and (not self._created or self._keeps(record, number))
            for base, number in record.readings(self._id)
        )

    def _is_named(self, base: str, record: _Record) -> bool:
        if base in [f"sha256:{each}" for each in record.digests]:
            return True
        places = record.places(base)
        if self._kept is None or self._kept.data == record.data:
            return all(places)
        kept = self._kept.places(base)
        return len(kept) == len(places) and not any(map(set.isdisjoint, places, kept))

    def _keeps(self, record: _Record, number: int) -> bool:
        if self._kept is not None:
            kept = Cut(self._kept.data, self._redacted)
            return kept in (record.cut, Cut(record.data))
        spared = number > 1 or len(record.cut.record) > MAX_KEPT
        return spared and self._digest in record.digests


def _unwrapped(value: JsonValue) -> JsonValue:
    """Return a record without the object that Azure Monitor exports it in."""
    inner = value.get("properties") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(inner, dict):
        return {**value, **inner}
    return value


def _strings(value: JsonValue, place: Place = ()) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield place, str(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _strings(member, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*place, index))


def _moment(text: str) -> str | None:
    """Return a time in UTC in its canonical spelling, None for any other text."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    date, clock, fraction = match.groups()
    return f"{date}T{clock}.{(fraction or '0')[:3]:0<3}Z"
