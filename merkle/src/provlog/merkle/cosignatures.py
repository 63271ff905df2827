"""C2SP tlog-cosignature: the signed messages of both types, and their verification.

A cosignature's value is eight bytes of time, big-endian POSIX seconds, and a signature.
Type 0x04 (Ed25519) covers the whole text of the note; type 0x06 (ML-DSA-44) covers
origin, size and root, and no extension lines.
"""

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.hashing import EMPTY_ROOT, HASH_SIZE
from provlog.merkle.keys import KeyType, VerifierKey

TIMESTAMP_SIZE = 8
MAX_TIMESTAMP = 2**63 - 1

_SUBTREE_LABEL = b"subtree/v1\n\x00"


def ed25519_message(text: str, timestamp: int) -> bytes:
    """Return what an Ed25519 cosignature (0x04) signs.

    `text` is the note's whole text, `timestamp` in POSIX seconds.
    """
    _require_timestamp(timestamp)
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def mldsa_message(
    cosigner: str, timestamp: int, origin: str, start: int, end: int, root: bytes
) -> bytes:
    """Return what an ML-DSA-44 cosignature (0x06) signs, a `cosigned_message`.

    For a checkpoint `start` is 0, `end` its size and `root` its root; for any other
    subtree the leaves `start` to `end`, exclusive, and its hash, and then the timestamp
    is 0. Raises `ValueError` for what the structure cannot hold.
    """
    _require_timestamp(timestamp)
    if not 0 <= start <= end < 2**64 or len(root) != HASH_SIZE:
        raise ValueError("cosigned message: no such subtree")
    if start and timestamp:
        raise ValueError("cosigned message: only a checkpoint can carry a time")
    return b"".join(
        (
            _SUBTREE_LABEL,
            _opaque8(cosigner),
            timestamp.to_bytes(8, "big"),
            _opaque8(origin),
            start.to_bytes(8, "big"),
            end.to_bytes(8, "big"),
            root,
        )
    )


def _require_timestamp(timestamp: int) -> None:
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise ValueError("cosignature: time outside 0 … 2^63-1")


def _opaque8(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise ValueError("cosigned message: a name is 1 to 255 bytes")
    return bytes((len(data),)) + data


def verify_cosignature(key: VerifierKey, text: str, value: bytes) -> int:
    """Return the time, in POSIX seconds, of a true cosignature on a note's text.

    `value` is what stands behind the key ID in the signature line. 0 is no time but
    says that the cosigner does not claim to have seen no larger tree. Raises
    `SignatureError`; `ValueError` for a key that makes no cosignatures.
    """
    if not key.key_type.is_timestamped:
        raise ValueError("not a key for cosignatures")
    if len(value) <= TIMESTAMP_SIZE:
        raise SignatureError(f"cosignature by {key.name!r} is too short")
    timestamp = int.from_bytes(value[:TIMESTAMP_SIZE], "big")
    if timestamp > MAX_TIMESTAMP:
        raise SignatureError(f"cosignature by {key.name!r} has no valid time")
    if key.key_type is KeyType.COSIGNATURE_ED25519:
        message = ed25519_message(text, timestamp)
    else:
        message = _mldsa_checkpoint_message(key.name, timestamp, text)
    key.verify(message, value[TIMESTAMP_SIZE:])
    return timestamp


def _mldsa_checkpoint_message(cosigner: str, timestamp: int, text: str) -> bytes:
    try:
        checkpoint = parse_checkpoint_text(text)
    except MalformedError:
        raise SignatureError(
            f"cosignature by {cosigner!r} on what is no checkpoint"
        ) from None
    require_cosignable(cosigner, checkpoint)
    return mldsa_message(
        cosigner, timestamp, checkpoint.origin, 0, checkpoint.size, checkpoint.root
    )


def require_cosignable(cosigner: str, checkpoint: Checkpoint) -> None:
    """Raise `SignatureError` for a checkpoint that no cosigner may sign."""
    if len(checkpoint.origin.encode()) > 255:
        raise SignatureError(f"cosignature by {cosigner!r}: the origin is too long")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise SignatureError(f"cosignature by {cosigner!r}: false root of no leaves")
