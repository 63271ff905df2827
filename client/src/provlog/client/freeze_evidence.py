"""The file that convicts a log of having gone on after its end.

Its freeze is an entry like others: proved in a tree that the log signed, and found from
the log's first key by its announcements. A signed checkpoint of a larger tree is then a
lie, whatever stands in it. No I/O.
"""

from dataclasses import dataclass
from typing import Self

from provlog.client.memory import Evidence
from provlog.merkle.announcements import (
    follow,
    format_announcements,
    parse_announcements_unverified,
)
from provlog.merkle.encoding import JsonValue, encode_base64, loads_json
from provlog.merkle.errors import ContentError, FrozenError
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint


@dataclass(frozen=True, slots=True)
class FreezeEvidence(Evidence):
    """Announcements that end a log, and a larger checkpoint that it signed.

    `older` is the signed checkpoint of the freeze's proof, `newer` the larger one.
    """

    announcements: bytes = b""

    @classmethod
    def of(cls, origin: str, frozen: bytes, larger: bytes, document: bytes) -> Self:
        """Return the evidence of two signed notes and the announcements."""
        return cls(origin, frozen, larger, None, announcements=document)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the evidence as JSON; the announcements are in it as an object."""
        whole = Evidence.to_json(self)
        return {**whole, "announcements": loads_json(self.announcements)}


@dataclass(frozen=True, slots=True)
class FreezeConviction:
    """Proof that a log went on after its end; only `verify_freeze` makes these.

    `final_size` is the number of entries with which it ended, and `larger` what it
    signed all the same.
    """

    origin: str
    final_size: int
    larger: SignedCheckpoint

    def sentence(self) -> str:
        """Return what is proved, for a person."""
        return (
            f"it ended with its entry {self.final_size - 1}, and signed a tree of "
            f"{self.larger.checkpoint.size} leaves"
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is proved as JSON."""
        checkpoint = self.larger.checkpoint
        newer: dict[str, JsonValue] = {
            "size": checkpoint.size,
            "root": encode_base64(checkpoint.root),
        }
        return {"origin": self.origin, "frozen_at": self.final_size, "newer": newer}


def verify_freeze(document: bytes, larger: bytes, trust: Trust) -> FreezeConviction:
    """Return the conviction that announcements and a signed note are, or raise.

    `trust` may hold the first key alone. The note counts if a key signed it that was
    the log's in a tree of that size; witnesses are not asked for. Raises `ContentError`
    where it is not larger, or the log did not end, and what `follow` raises.
    """
    bare = trust.without_policy()
    try:
        followed = follow(bare, document)
        if followed.freeze is None:
            raise ContentError("evidence: nothing in it says that the log ended")
        verify_checkpoint(larger, followed.trust)
    except FrozenError as error:
        signed = verify_checkpoint(error.note, _without_end(bare, document))
        return FreezeConviction(trust.origin, error.frozen_at, signed)
    raise ContentError("evidence: the checkpoint is not of a tree behind the log's end")


def _without_end(bare: Trust, document: bytes) -> Trust:
    """Return the trust that all announcements before the end lead to."""
    origin, announcements = parse_announcements_unverified(document)
    return follow(bare, format_announcements(origin, announcements[:-1])).trust
