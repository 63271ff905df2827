"""Whom a verifier believes: a log's keys, and witnesses where a policy asks for them.

`Trust` comes to a client out of band. `verify_checkpoint` is the only function that
returns a `SignedCheckpoint`: to hold one is to have verified it.
"""

from dataclasses import dataclass
from typing import NamedTuple

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.errors import (
    ContentError,
    MalformedError,
    PolicyError,
    SignatureError,
)
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.notes import OpenNote, VerifiedSignature, open_note
from provlog.merkle.policy import LOG_KEY_TYPES, Policy, parse_policy


@dataclass(frozen=True, slots=True)
class Trust:
    """One log's origin, the keys it signs with, and the policy on witnesses, if any.

    Any one of `log_keys` is enough for a checkpoint. Creating one with no key, or with
    a key that a log cannot have, raises `ValueError`.
    """

    log_keys: tuple[VerifierKey, ...]
    origin: str
    policy: Policy | None = None

    def __post_init__(self) -> None:
        if not self.log_keys:
            raise ValueError("trust: no log key")
        if any(key.key_type not in LOG_KEY_TYPES for key in self.log_keys):
            raise ValueError("trust: a log has no key of that type")

    @classmethod
    def from_log_key(cls, vkey: str, origin: str | None = None) -> "Trust":
        """Return trust in a log by its key alone.

        `origin` is the key's name unless told otherwise. Raises `MalformedError` for
        what is not the key of a log.
        """
        key = VerifierKey.parse(vkey)
        if key.key_type not in LOG_KEY_TYPES:
            raise MalformedError("vkey: a cosigner's key, not a log's")
        return cls((key,), key.name if origin is None else origin)

    @classmethod
    def from_policy(cls, text: bytes | str, origin: str | None = None) -> "Trust":
        """Return trust in one log of a tlog-policy, under its quorum.

        The name of a log's key is its origin. A policy that names several logs needs
        `origin` to say which is meant. Raises `MalformedError` for what is not a
        policy, and `ContentError` if it does not name the log.
        """
        policy = parse_policy(text)
        origins = {log.key.name for log in policy.logs}
        if origin is None and len(origins) == 1:
            origin = origins.pop()
        if origin is None:
            raise ContentError(f"policy: names {len(origins)} logs; which is meant?")
        keys = tuple(log.key for log in policy.logs if log.key.name == origin)
        if not keys:
            raise ContentError("policy: names no log of that origin")
        return cls(keys, origin, policy)

    def witness_keys(self) -> tuple[VerifierKey, ...]:
        """Return the keys of all witnesses that the policy names."""
        policy = self.policy
        return tuple(each.key for each in policy.witnesses) if policy else ()


class Cosignature(NamedTuple):
    """A true cosignature: the policy's name of the witness, its key, POSIX seconds."""

    witness: str
    key: VerifierKey
    timestamp: int


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that its log signed and, where asked for, a quorum cosigned.

    Only `verify_checkpoint` makes these. `note` is the signed note byte for byte,
    `log_key` the log's key whose signature stands first in it, and `cosignatures` those
    of the policy's witnesses in their order in the note; other lines are not verified.
    """

    checkpoint: Checkpoint
    note: bytes
    log_key: VerifierKey
    cosignatures: tuple[Cosignature, ...]


def verify_checkpoint(note: bytes, trust: Trust) -> SignedCheckpoint:
    """Return the checkpoint in `note` if `trust` believes it.

    What is checked, in this order, and what is raised otherwise:

    1. the bytes are a note (`MalformedError`), and every line that names a key of the
       log or of a witness is true (`SignatureError`);
    2. the text is a checkpoint (`MalformedError`);
    3. a key of the log signed all of it (`SignatureError`);
    4. the origin is the log's, and no leaves have the root of no leaves
       (`ContentError`);
    5. the witnesses that cosigned reach the quorum (`PolicyError`).

    Times of cosignatures are returned and not judged.
    """
    # 1
    opened = open_note(note, (*trust.log_keys, *trust.witness_keys()))
    # 2
    checkpoint = parse_checkpoint_text(opened.text)
    # 3
    log_key = _find_log_key(opened, checkpoint, trust)
    # 4
    if checkpoint.origin != trust.origin:
        raise ContentError("checkpoint: of another origin")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise ContentError("checkpoint: no leaves, and not the root of no leaves")
    # 5
    cosignatures = _find_cosignatures(opened.signatures, trust.policy)
    if trust.policy and not trust.policy.satisfied_by(
        {c.witness for c in cosignatures}
    ):
        raise PolicyError("checkpoint: its cosignatures fall short of the quorum")
    return SignedCheckpoint(checkpoint, note, log_key, cosignatures)


def _find_log_key(note: OpenNote, checkpoint: Checkpoint, trust: Trust) -> VerifierKey:
    by_log = [each.key for each in note.signatures if each.key in trust.log_keys]
    if not by_log:
        raise SignatureError("checkpoint: not signed by its log")
    # ML-DSA-44 does not cover extension lines, and what is not signed is not returned.
    covered = any(key.key_type is KeyType.ED25519 for key in by_log)
    if checkpoint.extensions and not covered:
        raise SignatureError("checkpoint: extension lines that its log did not sign")
    return by_log[0]


def _find_cosignatures(
    signatures: tuple[VerifiedSignature, ...], policy: Policy | None
) -> tuple[Cosignature, ...]:
    names = {each.key: each.name for each in policy.witnesses} if policy else {}
    return tuple(
        Cosignature(names[each.key], each.key, each.timestamp)
        for each in signatures
        if each.key in names and each.timestamp is not None
    )
