"""Whom a verifier believes: a log's keys, and witnesses where a policy asks for them.

`Trust` comes to a client out of band. `verify_checkpoint` is the only function that
returns a `SignedCheckpoint`: to hold one is to have verified it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.errors import (
    ContentError,
    FrozenError,
    MalformedError,
    PolicyError,
    ReplacedKeyError,
    SignatureError,
)
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.notes import OpenNote, VerifiedSignature, open_note
from provlog.merkle.policy import LOG_KEY_TYPES, Policy, parse_policy


@dataclass(frozen=True, slots=True)
class ReplacedKey:
    """A log's key, the index of the entry that replaced it, and the key since then."""

    key: VerifierKey
    index: int
    by: VerifierKey


@dataclass(frozen=True, slots=True)
class Trust:
    """One log's origin, the keys it signs with, and the policy on witnesses, if any.

    Any one of `log_keys` is enough for a checkpoint, of whichever type; but one that
    was `replaced` is so only for trees that do not hold the entry that replaced it. A
    tree of more than `frozen_at` leaves is none of the log's, which ended. Both come
    from the log's own announcements (`provlog.merkle.announcements`). Creating one with
    no key, or with a key that a log cannot have, raises `ValueError`.
    """

    log_keys: tuple[VerifierKey, ...]
    origin: str
    policy: Policy | None = None
    replaced: tuple[ReplacedKey, ...] = ()
    frozen_at: int | None = None

    def __post_init__(self) -> None:
        if not self.log_keys:
            raise ValueError("trust: no log key")
        if any(key.key_type not in LOG_KEY_TYPES for key in self.log_keys):
            raise ValueError("trust: a log has no key of that type")

    @classmethod
    def from_log_key(
        cls, vkey: str | Sequence[str], origin: str | None = None
    ) -> "Trust":
        """Return trust in a log by its key alone, or by any one of its keys.

        Several keys are those of one log, such as an Ed25519 and an ML-DSA-44 key; the
        log may leave off signing with one of them. `origin` is the keys' name unless
        told otherwise. Raises `MalformedError` for what is not the key of a log, and
        `ContentError` for keys of different names without an `origin`.
        """
        vkeys = (vkey,) if isinstance(vkey, str) else tuple(vkey)
        keys = tuple(VerifierKey.parse(each) for each in vkeys)
        if not keys:
            raise MalformedError("vkey: no key at all")
        if any(key.key_type not in LOG_KEY_TYPES for key in keys):
            raise MalformedError("vkey: a cosigner's key, not a log's")
        if origin is None and len({key.name for key in keys}) > 1:
            raise ContentError("log keys: of different logs")
        if len({(key.name, key.key_id) for key in keys}) < len(keys):
            raise ContentError("log keys: the same one twice")
        return cls(keys, keys[0].name if origin is None else origin)

    @classmethod
    def from_policy(cls, text: bytes | str, origin: str | None = None) -> "Trust":
        """Return trust in one log of a tlog-policy, under its quorum.

        The name of a log's key is its origin. A policy that names several logs needs
        `origin` to say which is meant. Raises `MalformedError` for what is not a
        policy, and `ContentError` if it does not name the log.
        """
        policy = parse_policy(text)
        if not policy.logs:
            # As the policy by which a log asks its witnesses may be.
            raise ContentError("policy: names no log: write a line log VKEY, its key")
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

    def any_key(self) -> "Trust":
        """Return trust in each of the log's keys, at any size, without the policy.

        It is what was believed once that is read with it, whatever the log announced
        since.
        """
        return Trust(self.log_keys, self.origin)

    def without_policy(self) -> "Trust":
        """Return trust in the keys as they were replaced, without policy and end.

        It is what convicts a log that is read with it: what somebody signed with a key
        that the log had replaced by then is not the log's doing.
        """
        return Trust(self.log_keys, self.origin, replaced=self.replaced)

    def replacement_of(self, key: VerifierKey) -> ReplacedKey | None:
        """Return by which entry, and which key, a key was replaced, if it was."""
        return next((each for each in self.replaced if each.key == key), None)


class Cosignature(NamedTuple):
    """A true cosignature: the policy's name of the witness, its key, POSIX seconds."""

    witness: str
    key: VerifierKey
    timestamp: int


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that its log signed and, where asked for, a quorum cosigned.

    Only `verify_checkpoint` makes these. `note` is the signed note byte for byte,
    `log_key` the first of `signers`, which are the log's keys that signed and count, in
    their order in the note; and `cosignatures` those of the policy's witnesses. Other
    lines are not verified: `strangers` are the key IDs of those under the log's name.
    """

    checkpoint: Checkpoint
    note: bytes
    log_key: VerifierKey
    cosignatures: tuple[Cosignature, ...]
    signers: tuple[VerifierKey, ...] = ()
    strangers: tuple[bytes, ...] = ()


def verify_checkpoint(note: bytes, trust: Trust) -> SignedCheckpoint:
    """Return the checkpoint in `note` if `trust` believes it.

    What is checked, in this order, and what is raised otherwise:

    1. the bytes are a note (`MalformedError`), and every line that names a key of the
       log or of a witness is true (`SignatureError`);
    2. the text is a checkpoint (`MalformedError`);
    3. a key of the log signed all of it (`SignatureError`) that it had not replaced in
       a tree of that size (`ReplacedKeyError`);
    4. the origin is the log's, and no leaves have the root of no leaves
       (`ContentError`); the log had not ended before (`FrozenError`);
    5. the witnesses that cosigned reach the quorum (`PolicyError`).

    Times of cosignatures are returned and not judged.
    """
    # 1
    opened = open_note(note, (*trust.log_keys, *trust.witness_keys()))
    # 2
    checkpoint = parse_checkpoint_text(opened.text)
    # 3
    signers = _find_signers(opened, checkpoint, trust)
    # 4
    _require_place(checkpoint, note, trust)
    # 5
    cosignatures = _find_cosignatures(opened.signatures, trust.policy)
    if trust.policy and not trust.policy.satisfied_by(
        {c.witness for c in cosignatures}
    ):
        raise PolicyError("checkpoint: its cosignatures fall short of the quorum")
    strangers = tuple(
        each.key_id for each in opened.others if each.name == trust.origin
    )
    return SignedCheckpoint(
        checkpoint, note, signers[0], cosignatures, signers, strangers
    )


def _find_signers(
    note: OpenNote, checkpoint: Checkpoint, trust: Trust
) -> tuple[VerifierKey, ...]:
    by_log = [each.key for each in note.signatures if each.key in trust.log_keys]
    if not by_log:
        raise _unsigned(SignatureError("checkpoint: not signed by its log"), note)
    current = [key for key in by_log if _signs(key, checkpoint.size, trust)]
    if not current:
        raise _unsigned(_replaced(by_log[0], checkpoint, trust), note)
    # ML-DSA-44 does not cover extension lines, and what is not signed is not returned.
    covered = any(key.key_type is KeyType.ED25519 for key in current)
    if checkpoint.extensions and not covered:
        raise SignatureError("checkpoint: extension lines that its log did not sign")
    return tuple(current)


def _signs(key: VerifierKey, size: int, trust: Trust) -> bool:
    replaced = trust.replacement_of(key)
    return replaced is None or size <= replaced.index


def _replaced(
    key: VerifierKey, checkpoint: Checkpoint, trust: Trust
) -> ReplacedKeyError:
    replaced = trust.replacement_of(key)
    index = None if replaced is None else replaced.index
    return ReplacedKeyError(
        f"checkpoint: of {checkpoint.size} entries, and signed only by key "
        f"{key.key_id.hex()}, which the log's entry {index} replaced: whoever has that "
        "key, and not the one that came after it, does not speak for the log"
    )


def _unsigned(error: SignatureError, note: OpenNote) -> SignatureError:
    error.strangers = tuple((each.name, each.key_id) for each in note.others)
    return error


def _require_place(checkpoint: Checkpoint, note: bytes, trust: Trust) -> None:
    if checkpoint.origin != trust.origin:
        raise ContentError("checkpoint: of another origin")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise ContentError("checkpoint: no leaves, and not the root of no leaves")
    if trust.frozen_at is not None and checkpoint.size > trust.frozen_at:
        raise FrozenError(
            f"checkpoint: of {checkpoint.size} entries, and signed; but the log ended "
            f"with its entry {trust.frozen_at - 1}",
            note,
            trust.frozen_at,
        )


def _find_cosignatures(
    signatures: tuple[VerifiedSignature, ...], policy: Policy | None
) -> tuple[Cosignature, ...]:
    names = {each.key: each.name for each in policy.witnesses} if policy else {}
    return tuple(
        Cosignature(names[each.key], each.key, each.timestamp)
        for each in signatures
        if each.key in names and each.timestamp is not None
    )
