"""What loading a log needs to know of each leaf, found out quickly.

Nearly every leaf is an event. One that fits a single pattern, and what the pattern
cannot say, is exactly what `parse_entry` takes as an event in canonical form, at a
tenth of the time; all other leaves are parsed.
"""

import re
from binascii import a2b_base64
from functools import lru_cache
from typing import Final

import msgspec

from provlog.merkle.encoding import (
    MAX_SAFE_INTEGER,
    decode_base64url,
    parse_time,
)
from provlog.merkle.entries import MAX_ENTRY, MAX_MEMBERS, MAX_TAGS, parse_entry
from provlog.merkle.entry_shapes import MAX_SOURCE, MAX_TYPE
from provlog.merkle.errors import MalformedError

_COUNT = r"(?:0|[1-9][0-9]{0,15})"
# The last of 43 characters holds four bits only.
_DIGEST = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_MEMBER = rf'"[a-z][a-z0-9_]{{0,63}}":"{_DIGEST}"'
_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
)
_EVENT: Final = re.compile(
    (
        rf'\{{"epoch":([1-9][0-9]{{0,9}}),"id":"({_DIGEST})","kind":"event",'
        rf'"members":\{{((?:{_MEMBER}(?:,{_MEMBER})*)?)\}},"n":({_COUNT}),'
        rf'"recorded":"({_TIME})",(?:"seq":({_COUNT}),)?'
        rf'"source":"[ !#-\[\]-~]{{1,{MAX_SOURCE}}}",'
        rf'"tags":\[((?:"{_DIGEST}"(?:,"{_DIGEST}")*)?)\],"time":"({_TIME})",'
        rf'"type":"([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)","v":1\}}'
    ).encode()
)
_MAX_EPOCH: Final = 2**32 - 1


class LeafFacts(msgspec.Struct, frozen=True):
    """What a leaf says of its place in the log, and what its private side has to fit.

    `recorded` is the text in the leaf, `key` the blinded id where it is an event.
    `digests` are those of its members and `tags` its tags, both in ASCII order.
    """

    kind: str
    epoch: int
    n: int
    recorded: str
    key: bytes | None
    digests: list[bytes]
    tags: list[bytes]


def read_leaf(leaf: bytes) -> LeafFacts:
    """Return what a leaf says; `MalformedError` where this program writes none like it.

    It is held to canonical form and to the shape of its kind.
    """
    return _read_event(leaf) or _parse(leaf)


def _read_event(leaf: bytes) -> LeafFacts | None:
    match = _EVENT.fullmatch(leaf)
    if match is None or len(leaf) > MAX_ENTRY:
        return None
    epoch, key, listed, n, recorded, seq, tagged, time, kind = match.groups()
    # Between quotation marks: a name, a colon, a digest, a comma, and the next name.
    parts = listed.split(b'"')
    names, digests = parts[1::4], sorted(parts[3::4])
    tags = tagged.split(b'"')[1::2]
    if not (_ascends(names) and _ascends(digests) and _ascends(tags)):
        return None
    sized = len(names) <= MAX_MEMBERS and len(tags) <= MAX_TAGS
    safe = max(int(n), int(seq or 0)) <= MAX_SAFE_INTEGER and int(epoch) <= _MAX_EPOCH
    if not sized or not safe or len(kind) > MAX_TYPE:
        return None
    if not (_is_day(recorded[:10]) and _is_day(time[:10])):
        return None
    # The pattern has seen to it that this is canonical.
    raw = a2b_base64(key.translate(_URL_TO_BASE64) + b"=")
    return LeafFacts("event", int(epoch), int(n), recorded.decode(), raw, digests, tags)


_URL_TO_BASE64: Final = bytes.maketrans(b"-_", b"+/")


def _ascends(texts: list[bytes]) -> bool:
    """Tell whether texts are in order and none is repeated."""
    return len(set(texts)) == len(texts) and sorted(texts) == texts


@lru_cache(maxsize=64)
def _is_day(text: bytes) -> bool:
    try:
        parse_time(f"{text.decode()}T00:00:00.000Z")
    except MalformedError:
        return False
    return True


def _parse(leaf: bytes) -> LeafFacts:
    entry = parse_entry(leaf)
    if not entry.understood:
        raise MalformedError("entry: of a version or kind this program does not know")
    return LeafFacts(
        entry.kind,
        entry.epoch,
        entry.n,
        str(entry.body["recorded"]),
        decode_base64url(str(entry.body["id"])) if entry.kind == "event" else None,
        sorted(each.encode() for each in entry.members.values()),
        [each.encode() for each in entry.tags],
    )
