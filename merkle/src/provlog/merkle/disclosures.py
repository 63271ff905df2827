"""Disclosures: salted strings that open one member of an entry (RFC 9901 section 4.2).

A disclosure is ``base64url(UTF-8 JSON [salt, name, value])``, unpadded. Its digest,
``base64url(SHA-256(ASCII of that string))``, stands in the leaf under the member's
name. The string itself is what is stored and travels: serialising its value again may
give other bytes and so another digest.
"""

import json
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from provlog.merkle.encoding import (
    BASE64_TO_URL,
    JsonValue,
    decode_base64url,
    encode_base64url,
    loads_json,
)
from provlog.merkle.errors import MalformedError

SALT_SIZE = 16
LONG_SALT_SIZE = 18
MAX_DISCLOSURE = 1 << 20
MAX_CONTENT = MAX_DISCLOSURE // 4 * 3
FORBIDDEN_NAMES = frozenset({"_sd", "..."})

_encode_string = json.encoder.encode_basestring
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False
)


class OversizedValueError(ValueError):
    """The value of the member `name` does not fit a disclosure."""

    def __init__(self, name: str) -> None:
        super().__init__(f"a disclosure has at most {MAX_DISCLOSURE} characters")
        self.name = name


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One opened member: `salt`, `name`, `value`, and the `text` it came from."""

    salt: bytes
    name: str
    value: JsonValue
    text: str

    @property
    def digest(self) -> str:
        """The digest that stands in the leaf, base64url without padding."""
        return disclosure_digest(self.text)


def make_disclosure(salt: bytes, name: str, value: JsonValue) -> str:
    """Return the disclosure string of one member.

    `salt` is `SALT_SIZE` or more fresh random bytes, never used for another member.
    What no reader would take is not made: `OversizedValueError`.
    """
    if len(salt) < SALT_SIZE:
        raise ValueError(f"a salt has {SALT_SIZE} bytes or more")
    encoded = _ENCODER.encode(value).encode("utf-8")
    salted = encode_base64url(salt).encode("ascii")
    content = b'["%b",%b,%b]' % (salted, _quote(name), encoded)
    if len(content) > MAX_CONTENT:
        raise OversizedValueError(name)
    return encode_base64url(content)


def make_disclosures(
    salts: bytes, members: Mapping[str, bytes]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the disclosure strings of members, and their digests by name.

    `salts` are `LONG_SALT_SIZE` fresh random bytes for each member; values are in UTF-8
    JSON already, from any serialiser, since the string itself is what is kept; one
    that is too long for any reader is an `OversizedValueError`. One loop without calls
    of our own: every event takes it a dozen times.
    """
    if len(salts) != LONG_SALT_SIZE * len(members):
        raise ValueError(f"salts are {LONG_SALT_SIZE} bytes for each member")
    # 18 bytes are 24 characters without padding, so all are encoded in one go.
    salted = b2a_base64(salts, newline=False).translate(BASE64_TO_URL)
    texts, digests = [], {}
    place = 0
    for name, value in members.items():
        content = b'["%b",%b,%b]' % (salted[place : place + 24], _quote(name), value)
        if len(content) > MAX_CONTENT:
            raise OversizedValueError(name)
        text = b2a_base64(content, newline=False).translate(BASE64_TO_URL).rstrip(b"=")
        digest = b2a_base64(sha256(text).digest(), newline=False)
        texts.append(text.decode())
        digests[name] = digest.translate(BASE64_TO_URL).rstrip(b"=").decode()
        place += 24
    return tuple(texts), digests


@lru_cache(maxsize=256)
def _quote(name: str) -> bytes:
    if name in FORBIDDEN_NAMES:
        raise ValueError(f"{name!r} is reserved by RFC 9901")
    return _encode_string(name).encode("utf-8")


def disclosure_digest(text: str) -> str:
    """Return the digest of a disclosure string, base64url without padding."""
    return encode_base64url(sha256(text.encode("ascii")).digest())


def parse_disclosure(text: str) -> Disclosure:
    """Return what a disclosure string says; refuse anything but its exact form."""
    if len(text) > MAX_DISCLOSURE:
        raise MalformedError(f"disclosure: longer than {MAX_DISCLOSURE} characters")
    array = loads_json(decode_base64url(text, "disclosure"), "disclosure")
    if not isinstance(array, list) or len(array) != 3:
        raise MalformedError("disclosure: not an array of salt, name and value")
    salt, name, value = array
    if not isinstance(salt, str) or not isinstance(name, str):
        raise MalformedError("disclosure: salt and name are strings")
    salt_bytes = decode_base64url(salt, "disclosure salt")
    if len(salt_bytes) < SALT_SIZE:
        raise MalformedError(f"disclosure: salt shorter than {SALT_SIZE} bytes")
    if name in FORBIDDEN_NAMES:
        raise MalformedError("disclosure: reserved name")
    return Disclosure(salt_bytes, name, value, text)
