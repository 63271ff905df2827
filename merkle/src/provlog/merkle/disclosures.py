"""Disclosures: salted strings that open one member of an entry (RFC 9901 section 4.2).

A disclosure is ``base64url(UTF-8 JSON [salt, name, value])``, unpadded. Its digest,
``base64url(SHA-256(ASCII of that string))``, stands in the leaf under the member's
name. The string itself is what is stored and travels: serialising its value again may
give other bytes and so another digest.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from provlog.merkle.encoding import (
    JsonValue,
    decode_base64url,
    encode_base64url,
    loads_json,
)
from provlog.merkle.errors import MalformedError

SALT_SIZE = 16
MAX_DISCLOSURE = 1 << 20
FORBIDDEN_NAMES = frozenset({"_sd", "..."})

_ENCODER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False
)


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
    """
    if len(salt) < SALT_SIZE:
        raise ValueError(f"a salt has {SALT_SIZE} bytes or more")
    if name in FORBIDDEN_NAMES:
        raise ValueError(f"{name!r} is reserved by RFC 9901")
    return encode_base64url(
        _ENCODER.encode([encode_base64url(salt), name, value]).encode("utf-8")
    )


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
