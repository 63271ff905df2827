"""Who cosigned a checkpoint, told without demanding a quorum; and who cosigned a lie.

Whether two people were shown the same log depends on what the log signed. A note that
lacks cosignatures, or carries false ones, is evidence all the same: here a false line
is only said to be one. No I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from provlog.merkle.cosignatures import verify_cosignature
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import FrozenError, MalformedError, SignatureError
from provlog.merkle.notes import parse_note_unverified
from provlog.merkle.policy import Policy, PolicyWitness
from provlog.merkle.trust import (
    Cosignature,
    SignedCheckpoint,
    Trust,
    verify_checkpoint,
)


@dataclass(frozen=True, slots=True)
class GossipedCheckpoint:
    """What a log signed, and the policy's witnesses that truly or falsely stand on it.

    `forged` are names of witnesses in whose name there is a line that they did not
    write. Only `verify_gossip` makes these.
    """

    signed: SignedCheckpoint
    cosignatures: tuple[Cosignature, ...]
    forged: tuple[str, ...]

    @property
    def checkpoint(self) -> SignedCheckpoint:
        """What the log signed."""
        return self.signed


@dataclass(frozen=True, slots=True)
class ConvictedWitness:
    """A witness that cosigned two checkpoints that cannot both be true.

    Each cosignature says that the tree is consistent with all that the witness saw of
    the log before (C2SP tlog-cosignature), whatever its time. Times are in POSIX
    seconds.
    """

    witness: str
    key: str
    older: int
    newer: int

    def to_json(self) -> dict[str, JsonValue]:
        """Return the witness as JSON."""
        return {
            "witness": self.witness,
            "key": self.key,
            "older": self.older,
            "newer": self.newer,
        }


def verify_gossip(note: bytes, trust: Trust) -> GossipedCheckpoint:
    """Return the checkpoint that a log of `trust` signed, whoever cosigned it.

    Raises what `verify_checkpoint` raises, but for the quorum: what was signed with a
    key that the log had replaced by then is not the log's doing (`ReplacedKeyError`).
    """
    signed = verify_checkpoint(note, trust.without_policy())
    size, end = signed.checkpoint.size, trust.frozen_at
    if end is not None and size > end:
        raise FrozenError(
            f"checkpoint: of {size} entries, and signed; but the log ended with {end}",
            note,
            end,
        )
    true, forged = _cosignatures(note, trust.policy)
    return GossipedCheckpoint(signed, true, forged)


def convicted_witnesses(
    older: SignedCheckpoint, newer: SignedCheckpoint, policy: Policy | None
) -> tuple[ConvictedWitness, ...]:
    """Return the policy's witnesses that cosigned both of two checkpoints.

    That the two contradict each other is what the caller has proved.
    """
    first, _ = _cosignatures(older.note, policy)
    second = {each.key: each for each in _cosignatures(newer.note, policy)[0]}
    return tuple(
        ConvictedWitness(
            each.witness,
            each.key.vkey(),
            each.timestamp,
            second[each.key].timestamp,
        )
        for each in first
        if each.key in second
    )


def _cosignatures(
    note: bytes, policy: Policy | None
) -> tuple[tuple[Cosignature, ...], tuple[str, ...]]:
    if policy is None:
        return (), ()
    found = list(_lines(note, policy))
    true = tuple(each for each in found if isinstance(each, Cosignature))
    return true, tuple(each for each in found if isinstance(each, str))


def _lines(note: bytes, policy: Policy) -> Iterator[Cosignature | str]:
    """Yield each witness's true cosignature, or its name where the line is false."""
    known: dict[tuple[str, bytes], PolicyWitness] = {
        (each.key.name, each.key.key_id): each for each in policy.witnesses
    }
    text, lines = parse_note_unverified(note)
    for line in lines:
        witness = known.get((line.name, line.key_id))
        if witness is None:
            continue
        try:
            timestamp = verify_cosignature(witness.key, text, line.value)
        except (SignatureError, MalformedError):
            yield witness.name
        else:
            yield Cosignature(witness.name, witness.key, timestamp)
