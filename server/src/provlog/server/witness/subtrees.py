"""`sign-subtree` of tlog-witness: parts of trees that the witness cosigned."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MalformedError, ProofError, SignatureError
from provlog.merkle.keys import KeyType
from provlog.merkle.notes import (
    SignatureLine,
    format_signature,
    open_note,
    parse_text_unverified,
)
from provlog.merkle.subtrees import is_subtree, verify_subtree_consistency
from provlog.merkle.witness_messages import SignSubtree, parse_sign_subtree
from provlog.server.witness.judging import Refusal
from provlog.server.witness.roll import Roll

Answer: TypeAlias = str | Refusal
"""Signature lines, each with its newline, or why there are none."""


def sign_subtree(body: bytes, roll: Roll, cosigners: Sequence[Cosigner]) -> Answer:
    """Return cosignatures, without a time, of the subtree in a `sign-subtree` body.

    The reference checkpoint has to bear a cosignature of one of `cosigners`: what is a
    part of such a tree can be signed without looking anything up.
    """
    try:
        request = parse_sign_subtree(body)
        text = parse_text_unverified(request.checkpoint)
        checkpoint = parse_checkpoint_text(text)
    except MalformedError as error:
        return Refusal(400, str(error))
    refusal = _judge(request, checkpoint, roll, cosigners)
    if refusal is not None:
        return refusal
    return format_lines(
        each.cosign_subtree(checkpoint.origin, request.start, request.end, request.root)
        for each in cosigners
        if _signs_subtrees(each)
    )


def format_lines(lines: Iterable[SignatureLine]) -> str:
    """Return signature lines, each with its newline."""
    return "".join(format_signature(*line) + "\n" for line in lines)


def _judge(
    request: SignSubtree,
    checkpoint: Checkpoint,
    roll: Roll,
    cosigners: Sequence[Cosigner],
) -> Refusal | None:
    """Return why the subtree is not signed, None if it may be."""
    start, end = request.start, request.end
    if not is_subtree(start, end) or end > checkpoint.size:
        return Refusal(400, "the range is no subtree of the checkpoint's tree")
    if roll.find(checkpoint.origin) is None:
        return Refusal(404, "this witness does not know the log")
    if not any(map(_signs_subtrees, cosigners)):
        return Refusal(404, "this witness has no key that signs subtrees")
    size, root = checkpoint.size, checkpoint.root
    try:
        open_note(request.checkpoint, [each.verifier() for each in cosigners])
        verify_subtree_consistency(start, end, request.root, size, root, request.proof)
    except (MalformedError, SignatureError):
        return Refusal(403, "the checkpoint bears no cosignature of this witness")
    except ProofError as error:
        return Refusal(422, f"the subtree's proof does not verify: {error}")
    return None


def _signs_subtrees(cosigner: Cosigner) -> bool:
    return cosigner.verifier().key_type is KeyType.COSIGNATURE_MLDSA44
