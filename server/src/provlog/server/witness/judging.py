"""Whether a checkpoint may be cosigned: the rules of tlog-witness, in their order.

Nothing here does I/O: the same rules are asked before a transaction, to refuse what
need not wait for one, and in it, where they decide.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.witness.records import Head

Status: TypeAlias = Literal[400, 403, 404, 409, 422, 429]

BACKWARDS: Final = "the old size is larger than the checkpoint's"
CONTRADICTS: Final = "another root of the same size before"
UNPROVEN: Final = "nothing shows that it extends what was cosigned"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not granted, by the status that tlog-witness has for it.

    `size` is what 409 tells, `seconds` how long 429 asks to wait. `unproven`: the log
    signed it, and nothing shows that it extends what was cosigned.
    """

    status: Status
    detail: str
    size: int = 0
    seconds: float = 0.0
    unproven: bool = False


def judge(
    request: AddCheckpoint, checkpoint: Checkpoint, head: Head | None
) -> Refusal | None:
    """Return why a validly signed checkpoint is not cosigned, None if it may be.

    `head` is what was last cosigned of this log.
    """
    known = 0 if head is None else head.size
    if request.old_size != known:
        return Refusal(409, "the old size is not the one last cosigned", size=known)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        return Refusal(422, "a tree without leaves has another root", unproven=True)
    if head is None or known == 0:
        if request.proof:
            return Refusal(422, "a tree of no leaves has no consistency proof")
        return None
    try:
        verify_consistency(
            known, head.root, checkpoint.size, checkpoint.root, request.proof
        )
    except ProofError as error:
        return Refusal(
            422, f"the consistency proof does not verify: {error}", unproven=True
        )
    return None


def contradicts(checkpoint: Checkpoint, head: Head | None) -> bool:
    """Tell whether both are of one size and have two roots: whoever signed both lied.

    That is so whatever old size and proof came with it.
    """
    return (
        head is not None
        and checkpoint.size == head.size
        and checkpoint.root != head.root
    )
