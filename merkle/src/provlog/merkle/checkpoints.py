"""C2SP tlog-checkpoint: the size and root of a log as the text of a signed note."""

from dataclasses import dataclass

from provlog.merkle.encoding import decode_hash, encode_base64, parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import HASH_SIZE

MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says about itself at one size.

    `root` is the RFC 6962 tree hash of the first `size` leaves, 32 bytes. `extensions`
    are opaque lines. Creating one that no text can stand for raises `ValueError`.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise ValueError("checkpoint: size outside 0 … 2^63-1")
        if len(self.root) != HASH_SIZE:
            raise ValueError("checkpoint: the root is not 32 bytes")
        for line in (self.origin, *self.extensions):
            if not line or not _is_note_line(line):
                raise ValueError("checkpoint: empty line, or a control character")

    def text(self) -> str:
        """Return the text to be signed; it ends in a newline."""
        lines = (self.origin, str(self.size), encode_base64(self.root))
        return "\n".join((*lines, *self.extensions, ""))


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Return the checkpoint whose text is exactly `text`.

    Only syntax is checked: an empty tree with another root than SHA-256("") is well
    formed, and false. Raises `MalformedError`.
    """
    _require_utf8(text)
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "":
        raise MalformedError("checkpoint: not three or more lines, each with its end")
    origin, size, root, *extensions = lines
    if not origin or not _is_note_line(origin):
        raise MalformedError("checkpoint: empty origin, or a control character in it")
    if not all(line and _is_note_line(line) for line in extensions):
        raise MalformedError("checkpoint: empty extension line, or a control character")
    return Checkpoint(
        origin,
        parse_decimal(size, "checkpoint: size", MAX_SIZE),
        decode_hash(root, "checkpoint: root"),
        tuple(extensions),
    )


def _require_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeError:
        raise MalformedError("checkpoint: not UTF-8") from None


def _is_note_line(line: str) -> bool:
    # A signed note holds no control characters, and a line no newline.
    return min(line) >= " "
