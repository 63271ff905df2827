"""Entries: the leaves of a provlog log, in their one canonical form.

Every entry is one JSON object in RFC 8785 form, made of printable ASCII strings
without quotation mark and backslash and of integers below 2^53, at most `MAX_ENTRY`
bytes. Binary stands in base64url without padding. Absent members are left out, never
null.

An entry of an unknown version or kind is no error: it is held to canonical form and
marked as not understood, so that an old verifier survives a newer log.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    JsonValue,
    canonical_json,
    decode_base64url,
    is_canonical_text,
    loads_json,
    parse_time,
    require_members,
)
from provlog.merkle.errors import MalformedError

VERSION: Final = 1
MAX_ENTRY: Final = 65_535
MAX_MEMBERS: Final = 32
MAX_TAGS: Final = 8
MAX_SOURCE: Final = 256
MAX_TYPE: Final = 128
LABEL_KINDS: Final = ("1", "2", "7")

_TYPE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
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
_COMMON = ("epoch", "kind", "n", "recorded", "v")

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
        if not _check(whole):
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
    understood = version == VERSION and _check(body)
    return Entry(data, body, version, kind, understood)


def _check(body: Mapping[str, JsonValue]) -> bool:
    """Hold a version 1 body to its kind; tell whether the kind is known."""
    for name in _COMMON:
        if name not in body:
            raise MalformedError(f"entry: member {name!r} is missing")
        _COMMON_CHECKS[name](body[name], name)
    shape = _KINDS.get(cast(str, body["kind"]))
    if shape is None:
        return False
    require_members(
        dict(body), (*_COMMON, *shape.required), tuple(shape.optional), "entry"
    )
    for checks in (shape.required, shape.optional):
        for name, check in checks.items():
            if name in body:
                check(body[name], name)
    return True


Check = Callable[[JsonValue, str], None]


def _integer(value: JsonValue, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedError(f"entry: {what} is not an integer")
    if not 0 <= value <= MAX_SAFE_INTEGER:
        raise MalformedError(f"entry: {what} is outside 0 … 2^53-1")


def _positive(value: JsonValue, what: str) -> None:
    _integer(value, what)
    if value == 0:
        raise MalformedError(f"entry: {what} is not positive")


def _epoch(value: JsonValue, what: str) -> None:
    _positive(value, what)
    if cast(int, value) > 0xFFFF_FFFF:
        raise MalformedError(f"entry: {what} is above 2^32-1")


def _version(value: JsonValue, what: str) -> None:
    if value != VERSION or isinstance(value, bool):
        raise MalformedError(f"entry: {what} is not {VERSION}")


def _text(value: JsonValue, what: str, maximum: int = 1024) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= maximum:
        raise MalformedError(f"entry: {what} is not a string of 1 to {maximum}")
    if not is_canonical_text(value):
        raise MalformedError(f"entry: {what} is not canonical text")


def _source(value: JsonValue, what: str) -> None:
    _text(value, what, MAX_SOURCE)


def _type(value: JsonValue, what: str) -> None:
    _text(value, what, MAX_TYPE)
    if _TYPE.fullmatch(cast(str, value)) is None:
        raise MalformedError(f"entry: {what} is not lower-case and dotted")


def _name(value: JsonValue, what: str) -> None:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise MalformedError(f"entry: {what} is not a name")


def _time(value: JsonValue, what: str) -> None:
    if not isinstance(value, str):
        raise MalformedError(f"entry: {what} is not a time")
    parse_time(value, f"entry: {what}")


def _hash(value: JsonValue, what: str) -> None:
    if not isinstance(value, str) or len(value) != 43:
        raise MalformedError(f"entry: {what} is not a hash in base64url")
    decode_base64url(value, f"entry: {what}")


def _members(value: JsonValue, what: str) -> None:
    if not isinstance(value, dict) or len(value) > MAX_MEMBERS:
        raise MalformedError(f"entry: {what} is not an object of {MAX_MEMBERS} at most")
    for name, digest in value.items():
        _name(name, f"a name in {what}")
        _hash(digest, f"a digest in {what}")
    if len(set(map(str, value.values()))) != len(value):
        raise MalformedError(f"entry: a digest stands twice in {what}")


def _tags(value: JsonValue, what: str) -> None:
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        raise MalformedError(f"entry: {what} is not a list of {MAX_TAGS} at most")
    for item in value:
        _hash(item, f"one of {what}")
    if value != sorted(set(cast("list[str]", value))):
        raise MalformedError(f"entry: {what} are not unique and in ASCII order")


def _versions(value: JsonValue, what: str) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= 16:
        raise MalformedError(f"entry: {what} is not a list of 1 to 16")
    for item in value:
        _positive(item, what)


def _suites(value: JsonValue, what: str) -> None:
    suites = require_members(value, LABEL_KINDS, (), f"entry: {what}")
    for suite in suites.values():
        if suite not in (1, 2) or isinstance(suite, bool):
            raise MalformedError(f"entry: {what} holds an unknown suite")


def _object(**checks: Check) -> Check:
    def check(value: JsonValue, what: str) -> None:
        members = require_members(value, tuple(checks), (), f"entry: {what}")
        for name, member in members.items():
            checks[name](member, f"{what}.{name}")

    return check


@dataclass(frozen=True, slots=True)
class _Shape:
    required: Mapping[str, Check]
    optional: Mapping[str, Check]


_COMMON_CHECKS: Mapping[str, Check] = {
    "epoch": _epoch,
    "kind": _name,
    "n": _integer,
    "recorded": _time,
    "v": _version,
}

_KINDS: Mapping[str, _Shape] = {
    "event": _Shape(
        {
            "id": _hash,
            "members": _members,
            "source": _source,
            "tags": _tags,
            "time": _time,
            "type": _type,
        },
        {"seq": _integer},
    ),
    "params": _Shape(
        {
            "origin": _text,
            "log_key": _text,
            "leaf_versions": _versions,
            "map_version": _positive,
            "lateness_ms": _integer,
            "suites": _suites,
            "commit_e": _hash,
            "commit_id": _hash,
        },
        {"previous": _object(origin=_text, size=_integer, root=_hash)},
    ),
    "epoch": _Shape({"commit_e": _hash, "suites": _suites}, {}),
    "root": _Shape(
        {
            "index_size": _integer,
            "label_count": _integer,
            "map_root": _hash,
            "log_root": _hash,
        },
        {},
    ),
    "erasure": _Shape({"count": _integer, "tree": _hash, "members": _members}, {}),
    "admin": _Shape({"action": _type, "members": _members}, {}),
    "key": _Shape({"log_key": _text, "replaces": _text}, {}),
    "freeze": _Shape({}, {"successor": _object(origin=_text, log_key=_text)}),
}

KINDS: Final = tuple(_KINDS)
