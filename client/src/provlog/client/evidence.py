"""The file that convicts a log: two signed checkpoints that cannot both be true.

Checkpoints of one size contradict each other if their roots differ. Those of different
sizes do if it is shown with which tree the newer one begins, and that is not the older
one: its root commits to that, so whoever signed it cannot deny it. No I/O.
"""

import json
from dataclasses import dataclass

from provlog.client.cosigned import ConvictedWitness, convicted_witnesses
from provlog.client.differences import (
    Difference,
    difference_of_paths,
    parse_hash,
    parse_remarks,
)
from provlog.client.freeze_evidence import FreezeConviction, verify_freeze
from provlog.merkle.announcements import MAX_DOCUMENT
from provlog.merkle.consistency import roots_from_consistency, verify_consistency
from provlog.merkle.encoding import (
    JsonValue,
    encode_base64,
    loads_json,
    require_members,
)
from provlog.merkle.errors import ContentError, MalformedError, ProofError
from provlog.merkle.inclusion import MAX_PROOF_HASHES
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_EVIDENCE = 2 * (MAX_DOCUMENT + MAX_NOTE_SIZE) + (64 << 10)
"""Bytes: whatever a log announces and signs, the file that convicts it can be read."""

_MEMBERS = ("v", "origin", "older", "newer", "consistency")
_OPTIONAL = ("inclusion", "older_inclusion", "shown_by", "announcements")


@dataclass(frozen=True, slots=True)
class Conviction:
    """Proof that a log signed two histories; only `verify_evidence` makes these.

    `begins` is the root of the first `at` leaves of the tree that `newer` signs, and
    `root` that of the tree that `older` signs: another one. `at` is the size of `older`
    unless the file shows that the two differ before. `witnesses` are those of the
    policy that cosigned both. `shown_by` is what the file says of where the two come
    from; nobody has signed that.
    """

    origin: str
    older: SignedCheckpoint
    newer: SignedCheckpoint
    at: int
    root: bytes
    begins: bytes
    witnesses: tuple[ConvictedWitness, ...] = ()
    shown_by: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def sentence(self) -> str:
        """Return what is proved, for a person."""
        old, new = self.older.checkpoint, self.newer.checkpoint
        if old.size == new.size:
            return f"it signed two roots of its tree of {old.size} leaves"
        if self.at < old.size:
            return (
                f"its signed trees of {new.size} and of {old.size} leaves do not begin "
                f"with the same {self.at}"
            )
        return (
            f"its signed tree of {new.size} leaves does not begin with "
            f"its signed tree of {old.size}"
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is proved as JSON."""
        old, new = self.older.checkpoint, self.newer.checkpoint
        return {
            "origin": self.origin,
            "older": {"size": old.size, "root": encode_base64(old.root)},
            "newer": {"size": new.size, "root": encode_base64(new.root)},
            "at": self.at,
            "begins": encode_base64(self.begins),
            "witnesses": [each.to_json() for each in self.witnesses],
        }


def is_evidence(data: bytes) -> bool:
    """Tell whether a file claims to be evidence; nothing in it has been verified."""
    try:
        value = loads_json(data, "evidence")
    except MalformedError:
        return False
    return isinstance(value, dict) and {"older", "newer"} <= value.keys()


def judge_evidence(data: bytes, trust: Trust) -> Conviction | FreezeConviction:
    """Return the conviction that a file of either kind is, or raise.

    A file with announcements is about the log's end (`verify_freeze`), any other about
    two histories (`verify_evidence`).
    """
    body = _read(data)
    if "announcements" in body:
        document = json.dumps(body["announcements"], ensure_ascii=False).encode()
        return verify_freeze(document, _note(body["newer"]), trust)
    return _convict(body, trust)


def verify_evidence(data: bytes, trust: Trust) -> Conviction:
    """Return the conviction of two histories that the file is, or raise.

    Both checkpoints have to be signed by a key of the log; the policy's witnesses are
    not asked for, since a lie is a lie without them; those that cosigned both are
    convicted as well. `MalformedError` and `SignatureError` speak of the file,
    `ContentError` says that the two do not contradict each other, or that nothing in
    the file shows it.
    """
    return _convict(_read(data), trust)


def _read(data: bytes) -> dict[str, JsonValue]:
    body = require_members(loads_json(data, "evidence"), _MEMBERS, _OPTIONAL)
    if body["v"] != 1 or isinstance(body["v"], bool):
        raise MalformedError("evidence: of another version")
    return body


def _convict(body: dict[str, JsonValue], trust: Trust) -> Conviction:
    bare = trust.without_policy()
    older = verify_checkpoint(_note(body["older"]), bare)
    newer = verify_checkpoint(_note(body["newer"]), bare)
    remarks = parse_remarks(body.get("shown_by"))
    if older.checkpoint.size > newer.checkpoint.size:
        older, newer = newer, older
        remarks = remarks[1], remarks[0]
    at, root, begins = _difference(older, newer, body)
    witnesses = convicted_witnesses(older, newer, trust.policy)
    return Conviction(trust.origin, older, newer, at, root, begins, witnesses, remarks)


def _difference(
    older: SignedCheckpoint, newer: SignedCheckpoint, body: dict[str, JsonValue]
) -> Difference:
    """Return where the two trees differ, the older's root there and the newer's."""
    old, new = older.checkpoint, newer.checkpoint
    if old.size == new.size:
        if old.root == new.root:
            raise ContentError("evidence: both checkpoints are of one tree")
        return Difference(old.size, old.root, new.root)
    if old.size == 0:
        raise ContentError("evidence: every tree begins with the tree without leaves")
    shown = body["consistency"]
    proof = () if shown is None else _hashes(shown, MAX_PROOF_HASHES + 1)
    if _agree(older, newer, proof):
        raise ContentError("evidence: the newer tree begins with the older one")
    paths = body.get("older_inclusion"), body.get("inclusion")
    found = difference_of_paths(old, new, *paths)
    if found is not None:
        return found
    begins = _from_consistency(proof, older, newer)
    if begins is not None and begins != old.root:
        return Difference(old.size, old.root, begins)
    raise ContentError(
        f"evidence: the checkpoints of {old.size} and {new.size} leaves are signed, "
        "but nothing in the file shows with which tree the newer one begins; ask the "
        "log for a consistency proof"
    )


def _agree(
    older: SignedCheckpoint, newer: SignedCheckpoint, proof: tuple[bytes, ...]
) -> bool:
    old, new = older.checkpoint, newer.checkpoint
    try:
        verify_consistency(old.size, old.root, new.size, new.root, proof)
    except ProofError:
        return False
    return True


def _from_consistency(
    proof: tuple[bytes, ...], older: SignedCheckpoint, newer: SignedCheckpoint
) -> bytes | None:
    """Return the beginning that the log's own consistency proof shows, if it does."""
    old, new = older.checkpoint, newer.checkpoint
    try:
        begins, root = roots_from_consistency(old.size, old.root, new.size, proof)
    except ProofError:
        return None
    return begins if root == new.root else None


def _note(value: JsonValue) -> bytes:
    if not isinstance(value, str):
        raise MalformedError("evidence: a checkpoint is not a string")
    return value.encode()


def _hashes(value: JsonValue, most: int) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise MalformedError(f"evidence: not a list of {most} hashes at most")
    return tuple(parse_hash(each) for each in value)
