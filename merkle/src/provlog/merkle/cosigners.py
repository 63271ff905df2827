"""Keys that make cosignatures (C2SP tlog-cosignature), of both types.

A cosigner is a witness, or a log that signs with ML-DSA-44 beside its Ed25519 key. Its
secret is written like a log's, ``PRIVATE+KEY+name+hash+base64(type || seed)``.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.cosignatures import (
    ed25519_message,
    mldsa_message,
    require_cosignable,
)
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import (
    SEED_SIZE,
    KeyType,
    VerifierKey,
    format_private_key,
    parse_private_key,
)
from provlog.merkle.notes import SignatureLine


class Cosigner:
    """A secret key of type 0x04 or 0x06 that signs checkpoints and their time.

    Signatures of type 0x04 are deterministic (RFC 8032), those of type 0x06 are hedged
    (FIPS 204): the same call gives other bytes. Neither `repr` nor an error shows the
    seed; `encode` does.
    """

    __slots__ = ("_private", "_seed", "_verifier")

    def __init__(self, name: str, key_type: KeyType, seed: bytes) -> None:
        if not key_type.is_timestamped:
            raise MalformedError("cosigner: not a key type for cosignatures")
        if len(seed) != SEED_SIZE:
            raise MalformedError(f"cosigner: the seed is not {SEED_SIZE} bytes")
        self._seed = seed
        self._private: Ed25519PrivateKey | MLDSA44PrivateKey
        if key_type is KeyType.COSIGNATURE_ED25519:
            self._private = Ed25519PrivateKey.from_private_bytes(seed)
        else:
            self._private = MLDSA44PrivateKey.from_seed_bytes(seed)
        public = self._private.public_key().public_bytes_raw()
        self._verifier = VerifierKey(name, key_type, public)

    @classmethod
    def parse(cls, text: str) -> "Cosigner":
        """Return the key written in one line as `encode` does.

        Raises `MalformedError`, without the text in it, for anything else.
        """
        return cls(*parse_private_key(text))

    def encode(self) -> str:
        """Return the secret: ``PRIVATE+KEY+name+hash+base64(type || seed)``."""
        return format_private_key(self._verifier, self._seed)

    def verifier(self) -> VerifierKey:
        """Return the public half."""
        return self._verifier

    def cosign(self, text: str, timestamp: int) -> SignatureLine:
        """Return the signature line for a checkpoint's text.

        `timestamp` in POSIX seconds; 0 makes no claim to have seen no larger tree. The
        caller has verified what the claim rests on. Raises `MalformedError` for what is
        no checkpoint, `SignatureError` for one that nobody may cosign.
        """
        checkpoint = parse_checkpoint_text(text)
        require_cosignable(self._verifier.name, checkpoint)
        if self._verifier.key_type is KeyType.COSIGNATURE_ED25519:
            return self._line(timestamp, ed25519_message(text, timestamp))
        size, root = checkpoint.size, checkpoint.root
        return self._signed_tree(timestamp, checkpoint.origin, 0, size, root)

    def cosign_subtree(
        self, origin: str, start: int, end: int, root: bytes
    ) -> SignatureLine:
        """Return the signature line for a subtree, without a time (type 0x06 alone).

        Raises `ValueError` for a key of type 0x04, whose cosignatures cover notes.
        """
        if self._verifier.key_type is not KeyType.COSIGNATURE_MLDSA44:
            raise ValueError("cosigner: this type of key signs no subtrees")
        return self._signed_tree(0, origin, start, end, root)

    def _signed_tree(
        self, timestamp: int, origin: str, start: int, end: int, root: bytes
    ) -> SignatureLine:
        name = self._verifier.name
        message = mldsa_message(name, timestamp, origin, start, end, root)
        return self._line(timestamp, message)

    def _line(self, timestamp: int, message: bytes) -> SignatureLine:
        value = timestamp.to_bytes(8, "big") + self._private.sign(message)
        return SignatureLine(self._verifier.name, self._verifier.key_id, value)

    def __repr__(self) -> str:
        key = self._verifier
        return f"Cosigner(name={key.name!r}, key_id={key.key_id.hex()!r})"
