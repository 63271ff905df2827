"""What the entries of each kind are made of, and the check of each member.

The table at the end is the whole grammar of version 1. It can be added to by a new
version only: a leaf that was accepted once is accepted for ever.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    JsonValue,
    decode_base64url,
    is_canonical_text,
    parse_time,
    require_members,
)
from provlog.merkle.errors import MalformedError

VERSION: Final = 1
MAX_MEMBERS: Final = 32
MAX_TAGS: Final = 8
MAX_SOURCE: Final = 256
MAX_TYPE: Final = 128
LABEL_KINDS: Final = ("1", "2", "7")

_TYPE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COMMON = ("epoch", "kind", "n", "recorded", "v")


def check_body(body: Mapping[str, JsonValue]) -> bool:
    """Hold a version 1 body to its kind, and tell whether the kind is known.

    Raises `MalformedError` naming the member that is missing, unknown or wrong.
    """
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
    if type(value) is not int:
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
    if type(value) is not int or value != VERSION:
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
        if type(suite) is not int or suite not in (1, 2):
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
