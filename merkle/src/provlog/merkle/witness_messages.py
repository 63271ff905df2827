"""C2SP tlog-witness: what a log and a witness send each other, parsed and written.

Nothing here is verified: the checkpoint in a request is a note that nobody has opened,
and what a witness answers are lines that nobody has checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from provlog.merkle.encoding import decode_hash, encode_base64, parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.merkle.notes import MAX_NOTE_SIZE

MAX_PROOF: Final = 63
SIZE_MEDIA_TYPE: Final = "text/x.tlog.size"
"""Of an answer 409, whose body is the size that the witness knows, and a newline."""
MAX_REQUEST: Final = MAX_NOTE_SIZE + 64 * (MAX_PROOF + 2)
MAX_SIZE_BODY: Final = 20

_OLD: Final = "old "
_SUBTREE: Final = "subtree "


def origin_hash(origin: str) -> str:
    """Return the hex SHA-256 of an origin: its place below a monitoring prefix."""
    return sha256(origin.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """The body of `add-checkpoint`.

    `proof` shows that the tree of `old_size` leaves is the beginning of the one in
    `checkpoint`, a signed note byte for byte.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def format(self) -> bytes:
        """Return the body; `ValueError` for what no body can hold."""
        if self.old_size < 0 or len(self.proof) > MAX_PROOF:
            raise ValueError("add-checkpoint: no such size, or too many hashes")
        return _format(f"{_OLD}{self.old_size}", self.proof, self.checkpoint)


@dataclass(frozen=True, slots=True)
class SignSubtree:
    """The body of `sign-subtree`: a subtree, and the proof that a tree contains it.

    `checkpoint` is the tree's signed note, cosigned by the witness that is asked.
    """

    start: int
    end: int
    root: bytes
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def format(self) -> bytes:
        """Return the body; `ValueError` for what no body can hold."""
        if not 0 <= self.start <= self.end or len(self.proof) > MAX_PROOF:
            raise ValueError("sign-subtree: no such subtree, or too many hashes")
        head = f"{_SUBTREE}{self.start} {self.end}"
        return _format(head, (self.root, *self.proof), self.checkpoint)


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """Return the parts of an `add-checkpoint` body, or raise `MalformedError`.

    Whether the note is one, and of what, is for its reader to see.
    """
    head, hashes, checkpoint = _split(data, "add-checkpoint", MAX_PROOF)
    if not head.startswith(_OLD):
        raise MalformedError("add-checkpoint: does not begin with 'old '")
    size = parse_decimal(head.removeprefix(_OLD), "add-checkpoint: old size")
    return AddCheckpoint(size, hashes, checkpoint)


def parse_sign_subtree(data: bytes) -> SignSubtree:
    """Return the parts of a `sign-subtree` body, or raise `MalformedError`."""
    head, hashes, checkpoint = _split(data, "sign-subtree", MAX_PROOF + 1)
    start, space, end = head.removeprefix(_SUBTREE).partition(" ")
    if not head.startswith(_SUBTREE) or not space:
        raise MalformedError("sign-subtree: does not begin with 'subtree START END'")
    if not hashes:
        raise MalformedError("sign-subtree: no hash of the subtree")
    return SignSubtree(
        parse_decimal(start, "sign-subtree: start"),
        parse_decimal(end, "sign-subtree: end"),
        hashes[0],
        hashes[1:],
        checkpoint,
    )


def parse_known_size(data: bytes) -> int:
    """Return the size in the body of an answer 409, or raise `MalformedError`."""
    if len(data) > MAX_SIZE_BODY or not data.endswith(b"\n"):
        raise MalformedError("witness: the answer 409 is not a size and a newline")
    try:
        text = data[:-1].decode("ascii")
    except UnicodeError:
        raise MalformedError("witness: the answer 409 is not a size") from None
    return parse_decimal(text, "witness: known size")


def _format(head: str, hashes: Sequence[bytes], checkpoint: bytes) -> bytes:
    lines = [head, *map(encode_base64, hashes), "", ""]
    return "\n".join(lines).encode() + checkpoint


def _split(data: bytes, what: str, most: int) -> tuple[str, tuple[bytes, ...], bytes]:
    """Return the first line, the hashes, and what follows the first empty line."""
    if len(data) > MAX_REQUEST:
        raise MalformedError(f"{what}: longer than {MAX_REQUEST} bytes")
    before, separator, checkpoint = data.partition(b"\n\n")
    if not separator:
        raise MalformedError(f"{what}: no empty line before the checkpoint")
    try:
        head, *lines = before.decode("ascii").split("\n")
    except UnicodeError:
        raise MalformedError(f"{what}: not ASCII before the checkpoint") from None
    if len(lines) > most:
        raise MalformedError(f"{what}: more than {MAX_PROOF} hashes of a proof")
    return head, tuple(decode_hash(line, f"{what}: hash") for line in lines), checkpoint
