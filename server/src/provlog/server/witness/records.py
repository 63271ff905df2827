"""What a witness remembers of logs, row by row."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint of a log that was cosigned.

    `note` is its text with the log's verified signatures, `lines` the cosignatures that
    were answered, each with its newline; `time` is theirs, in POSIX seconds.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    lines: str
    time: int

    @property
    def text(self) -> str:
        """The text that was signed."""
        return self.note[: self.note.rindex(b"\n\n") + 1].decode()

    @property
    def cosigned(self) -> bytes:
        """The note with the log's signatures and the witness's own."""
        return self.note + self.lines.encode()


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log as its operator added it: keys as vkeys in the order of their addition."""

    origin: str
    rate: int
    contact: str
    vkeys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A validly signed checkpoint that was not cosigned.

    `known` is the one that was remembered then. If `convicts`, both have one size and
    two roots; else no proof led from `known` to it, which may be the sender's mistake.
    """

    number: int
    origin: str
    convicts: bool
    size: int
    known: bytes
    note: bytes
    time: int
