"""Blinded labels, tags, entry ids, and the commitments to the keys behind them.

A label is the pseudonym under which an identity is indexed; it is the same for every
event of one epoch. What stands in a leaf is not the label but a tag of it under a
fresh nonce, so that leaves of one person cannot be joined by whoever reads tiles.
Integers are big-endian, lengths count UTF-8 bytes after NFC.
"""

import hmac
import unicodedata
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256

KEY_SIZE = 32
NONCE_SIZE = 16
LABEL_SIZE = 32
MAX_IDENTITY = 512


class LabelKind(IntEnum):
    """What a label stands for in an event."""

    TARGET = 1
    ACTOR = 2
    RESOURCE = 7


def label(key: bytes, kind: LabelKind, ns: str, identity: str) -> bytes:
    """Return the suite 1 label of one identity under an epoch's key (32 bytes).

    `ns` is the namespace the id belongs to, `identity` at most `MAX_IDENTITY` bytes
    after NFC; a longer or empty one is a `ValueError`.
    """
    name = _nfc(identity)
    if not 1 <= len(name) <= MAX_IDENTITY:
        raise ValueError(f"an id has 1 to {MAX_IDENTITY} bytes")
    return _mac(key, _label_prefix(kind, ns) + _len16(name))


@lru_cache(maxsize=1024)
def _label_prefix(kind: LabelKind, ns: str) -> bytes:
    return b"vidx/1 label\0" + bytes((kind,)) + _len16(_nfc(ns))


def tag(nonce: bytes, label: bytes) -> bytes:
    """Return the tag of a label under an entry's nonce (32 bytes)."""
    if len(nonce) != NONCE_SIZE or len(label) != LABEL_SIZE:
        raise ValueError("a nonce has 16 bytes, a label 32")
    return sha256(b"vidx/1 tag\0" + nonce + label).digest()


def entry_id(key: bytes, source: str, identity: str) -> bytes:
    """Return the blinded id of an event (32 bytes): equal for equal (source, id)."""
    return _mac(key, _len16(source.encode("utf-8")) + identity.encode("utf-8"))


def epoch_key_commitment(epoch: int, key: bytes) -> bytes:
    """Return `commit_e`, which binds an epoch to its label key."""
    _require_key(key)
    return sha256(b"vidx/1 key\0" + epoch.to_bytes(4, "big") + key).digest()


def id_key_commitment(key: bytes) -> bytes:
    """Return `commit_id`, which binds a log to the key of its entry ids."""
    _require_key(key)
    return sha256(b"provlog id-key/1\0" + key).digest()


def _mac(key: bytes, message: bytes) -> bytes:
    _require_key(key)
    return hmac.digest(key, message, "sha256")


def _require_key(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} bytes")


def _nfc(text: str) -> bytes:
    if text.isascii():
        return text.encode("ascii")
    return unicodedata.normalize("NFC", text).encode("utf-8")


def _len16(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
