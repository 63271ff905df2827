"""Entries: the leaves of a provlog log, in their one canonical form.

Every entry is one JSON object in RFC 8785 form, made of printable ASCII strings
without quotation mark and backslash and of integers below 2^53, at most `MAX_ENTRY`
bytes. Binary stands in base64url without padding. Absent members are left out, never
null.

An entry of an unknown version or kind is no error: it is held to canonical form and
marked as not understood, so that an old verifier survives a newer log.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    JsonValue,
    canonical_json,
    loads_json,
    parse_time,
)
from provlog.merkle.entry_shapes import (
    KINDS,
    MAX_MEMBERS,
    MAX_SOURCE,
    MAX_TAGS,
    MAX_TYPE,
    VERSION,
    check_body,
)
from provlog.merkle.errors import MalformedError

__all__ = [
    "KINDS",
    "MAX_ENTRY",
    "MAX_MEMBERS",
    "MAX_TAGS",
    "VERSION",
    "Entry",
    "EventTemplate",
    "build_entry",
    "event_template",
    "parse_entry",
]

MAX_ENTRY: Final = 65_535

_DIGEST = r'"[A-Za-z0-9_-]{43}"'
_MEMBER = rf'"[a-z][a-z0-9_]{{0,63}}":{_DIGEST}'
_HEAD = re.compile(
    rf'"id":{_DIGEST},"kind":"event","members":\{{(?:{_MEMBER}(?:,{_MEMBER})*)?\}}'
)
_TAIL = re.compile(
    r'(?:"seq":(?:0|[1-9][0-9]{0,15}),)?'
    rf'"source":"[ !#-\[\]-~]{{1,{MAX_SOURCE}}}",'
    rf'"tags":\[(?:{_DIGEST}(?:,{_DIGEST})*)?\],'
    r'"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",'
    r'"type":"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+","v":1\}',
    re.ASCII,
)
_SAFE = MAX_SAFE_INTEGER

JsonObject = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Entry:
    """One parsed leaf.

    `data` is the leaf byte for byte, `body` its members. With `understood` false only
    `data`, `body`, `version` and `kind` mean anything: the entry is of a version or
    kind that this code does not know.
    """

    data: bytes
    body: Mapping[str, JsonValue]
    version: int
    kind: str
    understood: bool

    @property
    def n(self) -> int:
        """The number of `event` entries before this one."""
        return cast(int, self.body["n"])

    @property
    def epoch(self) -> int:
        """The epoch whose label key made this entry's tags."""
        return cast(int, self.body["epoch"])

    @property
    def recorded(self) -> int:
        """When the log recorded the entry, in Unix milliseconds."""
        return parse_time(cast(str, self.body["recorded"]))

    @property
    def members(self) -> Mapping[str, str]:
        """Digest of each member's disclosure by the member's public name."""
        return cast("Mapping[str, str]", self.body.get("members", {}))

    @property
    def tags(self) -> Sequence[str]:
        """The entry's tags in ASCII order, base64url."""
        return cast("Sequence[str]", self.body.get("tags", ()))


class EventTemplate(NamedTuple):
    """An `event` leaf but for `epoch`, `n` and `recorded`.

    Those three are known only while the log is locked; everything else is made before,
    so that finishing a leaf costs one string formatting.
    """

    head: str
    tail: str

    def finish(self, epoch: int, n: int, recorded: str) -> bytes:
        """Return the leaf; refuse one of more than `MAX_ENTRY` bytes (`ValueError`)."""
        leaf = (
            f'{{"epoch":{epoch},{self.head},"n":{n},"recorded":"{recorded}",{self.tail}'
        ).encode("ascii")
        if len(leaf) > MAX_ENTRY:
            raise ValueError(f"an entry has at most {MAX_ENTRY} bytes")
        return leaf


def event_template(
    *,
    entry_id: str,
    members: Mapping[str, str],
    source: str,
    tags: Sequence[str],
    time: str,
    type: str,  # noqa: A002  the member's name in the leaf
    seq: int | None = None,
) -> EventTemplate:
    """Return the template of one `event` leaf.

    `entry_id`, the values of `members` and `tags` are base64url; `time` is canonical.
    Anything a verifier would refuse is a `ValueError` here. This stands in the way of
    every event, so the canonical text is put together directly and then held to one
    pattern, instead of being serialised and parsed again.
    """
    digests = ",".join(f'"{name}":"{members[name]}"' for name in sorted(members))
    head = f'"id":"{entry_id}","kind":"event","members":{{{digests}}}'
    numbered = "" if seq is None else f'"seq":{seq},'
    listed = ",".join(f'"{tag}"' for tag in sorted(tags))
    tail = (
        f'{numbered}"source":"{source}","tags":[{listed}],'
        f'"time":"{time}","type":"{type}","v":{VERSION}}}'
    )
    if _HEAD.fullmatch(head) is None or len(members) > MAX_MEMBERS:
        raise ValueError("id or members do not fit an event entry")
    if _TAIL.fullmatch(tail) is None or len(type) > MAX_TYPE or (seq or 0) > _SAFE:
        raise ValueError("source, tags, time, type or seq do not fit an event entry")
    if not len(set(tags)) == len(tags) <= MAX_TAGS:
        raise ValueError(f"tags are unique and {MAX_TAGS} at most")
    return EventTemplate(head, tail)


def build_entry(
    kind: str, *, epoch: int, n: int, recorded: str, body: Mapping[str, JsonValue]
) -> bytes:
    """Return the leaf of an entry of any kind from the members its kind carries.

    Anything a verifier would refuse is a `ValueError` here.
    """
    whole: JsonObject = {
        **body,
        "epoch": epoch,
        "kind": kind,
        "n": n,
        "recorded": recorded,
        "v": VERSION,
    }
    try:
        if not check_body(whole):
            raise ValueError(f"no entries of kind {kind!r} in version {VERSION}")
    except MalformedError as error:
        raise ValueError(str(error)) from None
    leaf = canonical_json(whole)
    if len(leaf) > MAX_ENTRY:
        raise ValueError(f"an entry has at most {MAX_ENTRY} bytes")
    return leaf


def parse_entry(data: bytes) -> Entry:
    """Return the entry that a leaf's bytes are, or raise `MalformedError`.

    Holds every leaf to canonical form, and one of a known version and kind to the
    members, limits and spellings of that kind.
    """
    if not 2 <= len(data) <= MAX_ENTRY:
        raise MalformedError(f"entry: not of 2 to {MAX_ENTRY} bytes")
    body = loads_json(data, "entry")
    if not isinstance(body, dict):
        raise MalformedError("entry: not an object")
    try:
        canonical = canonical_json(body)
    except ValueError as error:
        raise MalformedError(f"entry: {error}") from None
    if canonical != data:
        raise MalformedError("entry: not in canonical form")
    version, kind = body.get("v"), body.get("kind")
    if not isinstance(version, int) or not isinstance(kind, str):
        raise MalformedError("entry: v is an integer and kind a string")
    understood = version == VERSION and check_body(body)
    return Entry(data, body, version, kind, understood)
