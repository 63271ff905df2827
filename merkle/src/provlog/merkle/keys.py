"""Verifier keys of three signature types, and Ed25519 signing keys.

A verifier key (vkey) is `name+hash+key` on one line, as C2SP signed-note has it; the
32-bit key ID in it is recomputed and never believed. A signing key is written in the
form of golang.org/x/mod/sumdb/note, ``PRIVATE+KEY+name+hash+seed``.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA44PublicKey,
)

from provlog.merkle.encoding import decode_base64, encode_base64
from provlog.merkle.errors import MalformedError, SignatureError

KEY_ID_SIZE = 4
SEED_SIZE = 32
MAX_NAME_SIZE = 255

_PUBLIC_SIZE_ED25519 = 32
_PUBLIC_SIZE_MLDSA44 = 1312
# The longest vkey: a name, eight digits, an ML-DSA-44 key in base64 and two plus signs.
_MAX_VKEY_SIZE = MAX_NAME_SIZE + 8 + 4 * ((_PUBLIC_SIZE_MLDSA44 + 3) // 3) + 2
_PRIVATE_PREFIX = "PRIVATE+KEY+"

_PublicKey: TypeAlias = Ed25519PublicKey | MLDSA44PublicKey


class KeyType(IntEnum):
    """The signature types understood here (C2SP signed-note, "Signature types")."""

    ED25519 = 0x01
    """Ed25519 over the note's text: what a log signs with."""
    COSIGNATURE_ED25519 = 0x04
    """Timestamped Ed25519 cosignature: witnesses."""
    COSIGNATURE_MLDSA44 = 0x06
    """Timestamped ML-DSA-44 cosignature: witnesses and logs."""

    @property
    def is_timestamped(self) -> bool:
        """Whether the signature value starts with a time."""
        return self is not KeyType.ED25519


def require_key_name(name: str) -> None:
    """Raise `MalformedError` unless `name` can be a key's name.

    That is 1 to 255 bytes of UTF-8 without Unicode spaces, plus signs and control
    characters (C2SP signed-note; the upper bound is tlog-cosignature's).
    """
    try:
        size = len(name.encode())
    except UnicodeError:
        raise MalformedError("key name: not UTF-8") from None
    if not 1 <= size <= MAX_NAME_SIZE:
        raise MalformedError(f"key name: not 1 to {MAX_NAME_SIZE} bytes")
    if any(mark == "+" or mark < " " or mark.isspace() for mark in name):
        raise MalformedError("key name: holds a space, a plus or a control character")


def compute_key_id(name: str, key_type: int, public_key: bytes) -> bytes:
    """Return the four bytes that stand for a key in signature lines.

    SHA-256(name || 0x0A || type || public key)[:4], C2SP signed-note.
    """
    material = b"%b\n%c%b" % (name.encode(), key_type, public_key)
    return sha256(material).digest()[:KEY_ID_SIZE]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name and signature type; `key_id` follows from these.

    `public_key` is 32 bytes (Ed25519) or 1312 bytes (ML-DSA-44). Creating one raises
    `MalformedError` for a name or length that cannot be.
    """

    name: str
    key_type: KeyType
    public_key: bytes = field(repr=False)
    key_id: bytes = field(init=False)
    _loaded: _PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_key_name(self.name)
        key_id = compute_key_id(self.name, self.key_type, self.public_key)
        object.__setattr__(self, "key_id", key_id)
        object.__setattr__(self, "_loaded", _load(self.key_type, self.public_key))

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """Return the key written as a vkey.

        Raises `MalformedError` for a wrong key ID, an unknown type, a wrong length and
        any spelling other than the one `vkey` gives.
        """
        if len(vkey) > _MAX_VKEY_SIZE:
            raise MalformedError("vkey: too long")
        # The base64 part may hold plus signs itself: only the first two divide.
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise MalformedError("vkey: not of the form name+hash+key")
        name, claimed_id, encoded = parts
        material = decode_base64(encoded, "vkey")
        key = cls(name, _key_type(material), material[1:])
        if key.key_id.hex() != claimed_id:
            raise MalformedError("vkey: the key ID does not belong to name and key")
        return key

    def vkey(self) -> str:
        """Return the key as a vkey: ``name+hash+base64(type || public key)``."""
        encoded = encode_base64(bytes((self.key_type,)) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` is this key's over exactly `message`.

        Plain Ed25519 (RFC 8032) or ML-DSA-44 (FIPS 204, empty context), without
        timestamps and prefixes. Raises `SignatureError` otherwise.
        """
        try:
            self._loaded.verify(signature, message)
        except InvalidSignature:
            raise SignatureError(f"false signature by {self.name!r}") from None


def _load(key_type: KeyType, public_key: bytes) -> _PublicKey:
    mldsa = key_type is KeyType.COSIGNATURE_MLDSA44
    size = _PUBLIC_SIZE_MLDSA44 if mldsa else _PUBLIC_SIZE_ED25519
    if len(public_key) != size:
        raise MalformedError(f"public key: not {size} bytes")
    loader = MLDSA44PublicKey if mldsa else Ed25519PublicKey
    return loader.from_public_bytes(public_key)


def _key_type(material: bytes) -> KeyType:
    try:
        return KeyType(material[0])
    except (IndexError, ValueError):
        raise MalformedError("vkey: signature type not supported") from None


def format_private_key(key: VerifierKey, seed: bytes) -> str:
    """Return the secret of `key`: ``PRIVATE+KEY+name+hash+base64(type || seed)``."""
    encoded = encode_base64(bytes((key.key_type,)) + seed)
    return f"{_PRIVATE_PREFIX}{key.name}+{key.key_id.hex()}+{encoded}"


def parse_private_key(text: str) -> tuple[str, KeyType, bytes]:
    """Return name, type and seed of a secret that `format_private_key` wrote.

    Raises `MalformedError`, without the text in it, for anything else.
    """
    if len(text) > _MAX_VKEY_SIZE or not text.startswith(_PRIVATE_PREFIX):
        raise MalformedError("signing key: does not start with PRIVATE+KEY+")
    parts = text.removeprefix(_PRIVATE_PREFIX).split("+", 2)
    if len(parts) != 3:
        raise MalformedError("signing key: not of the form name+hash+seed")
    name, claimed_id, encoded = parts
    material = decode_base64(encoded, "signing key")
    try:
        key_type = KeyType(material[0])
    except (IndexError, ValueError):
        raise MalformedError("signing key: type not supported") from None
    if len(material) != 1 + SEED_SIZE:
        raise MalformedError(f"signing key: the seed is not {SEED_SIZE} bytes")
    require_key_name(name)
    public = _public_half(key_type, material[1:])
    if compute_key_id(name, key_type, public).hex() != claimed_id:
        raise MalformedError("signing key: the key ID does not belong to it")
    return name, key_type, material[1:]


def _public_half(key_type: KeyType, seed: bytes) -> bytes:
    if key_type is KeyType.COSIGNATURE_MLDSA44:
        return MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


class SigningKey:
    """An Ed25519 key of type 0x01 that signs notes; deterministic (RFC 8032).

    Neither `repr` nor an error shows the seed; `encode` does.
    """

    __slots__ = ("_private", "_seed", "_verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise MalformedError(f"signing key: the seed is not {SEED_SIZE} bytes")
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes_raw()
        self._verifier = VerifierKey(name, KeyType.ED25519, public)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "SigningKey":
        """Return the key of this name with a seed of 32 bytes.

        Raises `MalformedError` for a name that cannot be and for other lengths.
        """
        return cls(name, seed)

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Return the key written in one line as `encode` does.

        Raises `MalformedError`, without the text in it, for anything else.
        """
        name, key_type, seed = parse_private_key(text)
        if key_type is not KeyType.ED25519:
            raise MalformedError("signing key: not of type 1, Ed25519")
        return cls(name, seed)

    def encode(self) -> str:
        """Return the secret: ``PRIVATE+KEY+name+hash+base64(0x01 || seed)``."""
        return format_private_key(self._verifier, self._seed)

    @property
    def name(self) -> str:
        """The key's name; for a log's key its origin."""
        return self._verifier.name

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand for the key in signature lines."""
        return self._verifier.key_id

    def verifier(self) -> VerifierKey:
        """Return the public half."""
        return self._verifier

    def sign(self, text: bytes) -> bytes:
        """Return the 64-byte signature over exactly `text`."""
        return self._private.sign(text)

    def __repr__(self) -> str:
        return f"SigningKey(name={self.name!r}, key_id={self.key_id.hex()!r})"
