"""The document in which a log announces its keys and its end: written, and cut up.

Nothing is verified here; `provlog.merkle.announcements` says what it proves.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from provlog.merkle.encoding import (
    JsonValue,
    decode_base64,
    encode_base64,
    loads_json,
    require_members,
)
from provlog.merkle.entries import MAX_ENTRY
from provlog.merkle.errors import MalformedError

VERSION: Final = 1
MAX_ANNOUNCEMENTS: Final = 1000
MAX_DOCUMENT: Final = 16 << 20
"""Bytes: room for a thousand entries with proofs under several signatures."""
MAX_PROOF: Final = 1 << 20

_WHAT: Final = "announcements"
_MAX_LEAF_TEXT: Final = 4 * (MAX_ENTRY // 3 + 1)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One entry of the log, and its proof; nothing in it is verified.

    `leaf` is the entry byte for byte, `proof` a tlog-proof file.
    """

    index: int
    leaf: bytes
    proof: bytes


def format_announcements(origin: str, announcements: Iterable[Announcement]) -> bytes:
    """Return the document; nothing in it is checked."""
    listed: list[JsonValue] = [
        {
            "index": each.index,
            "leaf": encode_base64(each.leaf),
            "proof": each.proof.decode(),
        }
        for each in announcements
    ]
    whole = {"v": VERSION, "origin": origin, "announcements": listed}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def parse_announcements_unverified(data: bytes) -> tuple[str, tuple[Announcement, ...]]:
    """Return origin and announcements of a document, in order of index, unverified.

    Raises `MalformedError` for what is not in the format, not in order, or too much.
    """
    if len(data) > MAX_DOCUMENT:
        raise MalformedError(f"{_WHAT}: longer than {MAX_DOCUMENT} bytes")
    body = require_members(loads_json(data, _WHAT), ("v", "origin", _WHAT), (), _WHAT)
    if type(body["v"]) is not int or body["v"] != VERSION:
        raise MalformedError(f"{_WHAT}: of a version this program does not know")
    listed = body[_WHAT]
    if not isinstance(listed, list) or len(listed) > MAX_ANNOUNCEMENTS:
        raise MalformedError(f"{_WHAT}: not a list of {MAX_ANNOUNCEMENTS} at most")
    announcements = tuple(_parse(each) for each in listed)
    indexes = [each.index for each in announcements]
    if any(index >= after for index, after in pairwise(indexes)):
        raise MalformedError(f"{_WHAT}: not in order of their indexes")
    return _string(body, "origin", MAX_ENTRY), announcements


def _parse(value: JsonValue) -> Announcement:
    body = require_members(value, ("index", "leaf", "proof"), (), _WHAT)
    index = body["index"]
    if type(index) is not int or index < 0:
        raise MalformedError(f"{_WHAT}: an index is not a whole number")
    leaf = decode_base64(_string(body, "leaf", _MAX_LEAF_TEXT), f"{_WHAT}: leaf")
    return Announcement(index, leaf, _string(body, "proof", MAX_PROOF).encode())


def _string(body: dict[str, JsonValue], name: str, most: int) -> str:
    value = body[name]
    if not isinstance(value, str) or len(value) > most:
        raise MalformedError(f"{_WHAT}: {name} is not a string of {most} at most")
    return value
