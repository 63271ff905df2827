"""C2SP tlog-proof: an inclusion proof and the checkpoint it leads to, in one file."""

from collections.abc import Sequence
from dataclasses import dataclass

from provlog.merkle.encoding import (
    decode_base64,
    decode_hash,
    encode_base64,
    parse_decimal,
)
from provlog.merkle.errors import MalformedError
from provlog.merkle.inclusion import verify_inclusion
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63
"""As many as the longest inclusion proof in a tree of fewer than 2^63 leaves has."""
MAX_EXTRA_SIZE = 1 << 20

_MAX_SIZE = 4 * MAX_EXTRA_SIZE // 3 + 64 * (MAX_HASHES + 4) + MAX_NOTE_SIZE


@dataclass(frozen=True, slots=True)
class ProofFile:
    """The parts of a proof file; nothing in it is verified.

    `hashes` are of 32 bytes, the leaf's sibling first. `checkpoint` is a signed note
    byte for byte. `extra` is no part of what the log signed, not even in a file that
    verifies.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """The leaf that was asked about stands at `index` of the log."""

    index: int
    signed_checkpoint: SignedCheckpoint


def format_proof(
    index: int,
    hashes: Sequence[bytes],
    checkpoint: bytes,
    extra: bytes | None = None,
) -> str:
    """Return a proof file; `checkpoint` is a signed note and goes in as it is."""
    encoded = [encode_base64(each) for each in hashes]
    return format_proof_lines(index, encoded, checkpoint.decode(), extra)


def format_proof_lines(
    index: int,
    encoded_hashes: Sequence[str],
    note: str,
    extra: bytes | None = None,
) -> str:
    """Return a proof file of hashes that are in base64 already.

    A server makes one for each receipt, and a batch shares most of its hashes: nothing
    is encoded or checked here.
    """
    head = HEADER if extra is None else f"{HEADER}\nextra {encode_base64(extra)}"
    return "\n".join((head, f"index {index}", *encoded_hashes, "", note))


def parse_proof_unverified(data: bytes) -> ProofFile:
    """Return the parts of a proof file, unverified.

    The checkpoint is cut out and not looked at. Raises `MalformedError`.
    """
    if len(data) > _MAX_SIZE:
        raise MalformedError(f"proof: longer than {_MAX_SIZE} bytes")
    # The lines of the head are not empty: the first empty line ends it.
    head, separator, checkpoint = data.partition(b"\n\n")
    if not separator:
        raise MalformedError("proof: no empty line before the checkpoint")
    if not head.isascii():
        raise MalformedError("proof: not ASCII before the checkpoint")
    lines = head.decode("ascii").split("\n")
    if lines.pop(0) != HEADER:
        raise MalformedError("proof: not a tlog-proof of version 1")
    extra = _take(lines, "extra")
    index = _take(lines, "index")
    if index is None:
        raise MalformedError("proof: no index")
    if len(lines) > MAX_HASHES:
        raise MalformedError(f"proof: more than {MAX_HASHES} hashes")
    return ProofFile(
        parse_decimal(index, "proof: index"),
        tuple(decode_hash(line, "proof: hash") for line in lines),
        checkpoint,
        None if extra is None else decode_base64(extra, "proof: extra"),
    )


def _take(lines: list[str], keyword: str) -> str | None:
    if not lines or not lines[0].startswith(f"{keyword} "):
        return None
    return lines.pop(0).removeprefix(f"{keyword} ")


def verify_proof(data: bytes, leaf_hash: bytes, trust: Trust) -> VerifiedProof:
    """Return where the leaf of this hash stands in a log that `trust` believes.

    `leaf_hash` is 32 bytes, made from the leaf by the caller and not from the file.
    Raises `MalformedError`, what `verify_checkpoint` raises, and `ProofError` if the
    hashes do not lead from the leaf to the root.
    """
    proof = parse_proof_unverified(data)
    signed = verify_checkpoint(proof.checkpoint, trust)
    checkpoint = signed.checkpoint
    verify_inclusion(
        proof.index, checkpoint.size, leaf_hash, proof.hashes, checkpoint.root
    )
    return VerifiedProof(proof.index, signed)
