"""Cosigners of both types with known seeds, and a log key, for tests that need them."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.cosignatures import ed25519_message, mldsa_message
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import (
    SignatureLine,
    add_signatures,
    format_signature,
    parse_note_unverified,
)

LOG_KEY = SigningKey.from_seed("example.com/log", bytes(32))


def twins(key_type: KeyType) -> tuple[VerifierKey, VerifierKey]:
    """Return two Ed25519 keys that share name and key ID; found by counting up."""
    first, second = {
        KeyType.ED25519: (22922, 28974),
        KeyType.COSIGNATURE_ED25519: (28184, 56590),
    }[key_type]
    return (
        VerifierKey("twin.example", key_type, first.to_bytes(32, "big")),
        VerifierKey("twin.example", key_type, second.to_bytes(32, "big")),
    )


@dataclass(frozen=True)
class Cosigner:
    """A witness, or a log that signs with ML-DSA-44, which the type alone decides."""

    key: VerifierKey
    private: Ed25519PrivateKey | MLDSA44PrivateKey

    @classmethod
    def ed25519(cls, name: str, number: int) -> "Cosigner":
        private = Ed25519PrivateKey.from_private_bytes(bytes((number,)) * 32)
        public = private.public_key().public_bytes_raw()
        return cls(VerifierKey(name, KeyType.COSIGNATURE_ED25519, public), private)

    @classmethod
    def mldsa(cls, name: str, number: int) -> "Cosigner":
        private = MLDSA44PrivateKey.from_seed_bytes(bytes((number,)) * 32)
        public = private.public_key().public_bytes_raw()
        return cls(VerifierKey(name, KeyType.COSIGNATURE_MLDSA44, public), private)

    def sign(self, text: str, timestamp: int) -> SignatureLine:
        """Return a cosignature on a checkpoint's text."""
        if self.key.key_type is KeyType.COSIGNATURE_ED25519:
            message = ed25519_message(text, timestamp)
        else:
            point = parse_checkpoint_text(text)
            message = mldsa_message(
                self.key.name, timestamp, point.origin, 0, point.size, point.root
            )
        value = timestamp.to_bytes(8, "big") + self.private.sign(message)
        return SignatureLine(self.key.name, self.key.key_id, value)

    def cosign(self, note: bytes, timestamp: int = 1_700_000_000) -> bytes:
        """Return `note` with a cosignature by this one added."""
        text = parse_note_unverified(note).text
        return add_signatures(note, [self.sign(text, timestamp)])

    def sign_alone(self, text: str, timestamp: int = 0) -> bytes:
        """Return a note with no signature but this one's, as an ML-DSA log makes it."""
        line = format_signature(*self.sign(text, timestamp))
        return f"{text}\n{line}\n".encode()
