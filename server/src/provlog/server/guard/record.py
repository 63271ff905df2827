"""The record of a guard: one line of JSON with a check sum, in `SLOT` bytes."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    JsonValue,
    decode_hash,
    encode_base64,
    is_canonical_text,
)
from provlog.merkle.errors import MalformedError
from provlog.server.errors import RetiredError
from provlog.server.guard.base import GuardRecord, ReleasedHead

SLOT: Final = 512
"""Bytes of a record: the longest origin and successor fit in."""


class DamagedRecordError(Exception):
    """The bytes were not wholly written, or were changed since."""


def seal(record: Mapping[str, JsonValue]) -> bytes:
    """Return a record as `SLOT` bytes."""
    text = json.dumps(record).encode()
    line = b"%b %b" % (text, _check_sum(text).encode())
    if len(line) >= SLOT:
        raise ValueError("a record that is too long")
    return line.ljust(SLOT - 1) + b"\n"


def unseal(data: bytes) -> dict[str, JsonValue]:
    """Return the record that `SLOT` bytes hold.

    Raises `DamagedRecordError` where they were not written as one, `MalformedError`
    where what was written is none.
    """
    text, _, check = data.rstrip().rpartition(b" ")
    if len(data) != SLOT or check.decode("latin-1") != _check_sum(text):
        raise DamagedRecordError
    try:
        record = json.loads(text)
    except ValueError:
        raise MalformedError("not JSON") from None
    if not isinstance(record, dict):
        raise MalformedError("not an object")
    return record


def format_record(origin: str, record: GuardRecord) -> bytes:
    """Return what is kept of a log."""
    members: dict[str, JsonValue] = {
        "origin": origin,
        "size": record.head.size,
        "root": encode_base64(record.head.root),
    }
    if record.successor is not None:
        members["successor"] = record.successor
    return seal(members)


def parse_record(data: bytes, origin: str) -> GuardRecord:
    """Return what is kept of the log of an origin; raises like `unseal`.

    `MalformedError` also where it is of another log.
    """
    members = unseal(data)
    if members.get("origin") != origin:
        raise MalformedError("of another log")
    size, root = members.get("size"), members.get("root")
    if type(size) is not int or not 0 <= size <= MAX_SAFE_INTEGER:
        raise MalformedError("without a size")
    if not isinstance(root, str):
        raise MalformedError("without a root")
    head = ReleasedHead(size, decode_hash(root))
    record = GuardRecord(head, _successor(members.get("successor")))
    if format_record(origin, record) != data:
        raise MalformedError("not as it is written")
    return record


def released_head(record: GuardRecord) -> ReleasedHead:
    """Return the newest released head; `RetiredError` for a log that is retired."""
    if record.successor is not None:
        raise RetiredError(record.successor)
    return record.head


def _successor(name: JsonValue) -> str | None:
    if name is None:
        return None
    if isinstance(name, str) and 1 <= len(name) <= 64 and is_canonical_text(name):
        return name
    raise MalformedError("without a successor's name")


def _check_sum(text: bytes) -> str:
    return sha256(text).hexdigest()[:32]
