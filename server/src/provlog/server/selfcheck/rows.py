"""The rows that a check reads: as they are stored, decoded as little as possible."""

from dataclasses import dataclass
from typing import NamedTuple

from provlog.merkle.errors import MalformedError


class LogRow(NamedTuple):
    """A row of `logs`. Text is UTF-8 that nobody has decoded yet."""

    log: int
    name: bytes
    origin: bytes
    log_key: bytes
    public: int
    created: bytes


class HeadRow(NamedTuple):
    """A row of `heads`."""

    log: int
    size: int
    root: bytes
    events: int
    epoch: int
    recorded: int
    barrier: int


class SourceRow(NamedTuple):
    """A row of `sources`."""

    log: int
    uri: bytes
    ns: bytes
    connector: bytes | None
    idx: int


class CursorRow(NamedTuple):
    """A row of `cursors`."""

    log: int
    source: bytes
    position: bytes
    updated: int
    digest: bytes


class TokenRow(NamedTuple):
    """A row of `tokens`."""

    id: bytes
    digest: bytes
    logs: bytes
    roles: bytes
    sources: bytes
    note: bytes
    rate: float | None
    created: int
    expires: int | None
    revoked: int | None


class PrivateRow(NamedTuple):
    """A row of `private`, without its key."""

    disclosures: bytes
    compare_key: bytes | None
    compare_digest: bytes | None


class OpeningRow(NamedTuple):
    """A row of `openings`, without its key."""

    epoch: int
    nonce: bytes
    labels: bytes


class TileRow(NamedTuple):
    """A row of `tiles`, without its key."""

    root: bytes
    hashes: bytes


class KeyRow(NamedTuple):
    """A row of `keys`, without its log."""

    id: bytes
    idx: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The small tables, read in one transaction: they belong together.

    Every entry below a head's size is there for good, and the sources and tokens are
    those of exactly these entries.
    """

    logs: list[LogRow]
    heads: dict[int, HeadRow]
    sources: list[SourceRow]
    tokens: list[TokenRow]
    cursors: list[CursorRow]


@dataclass(frozen=True, slots=True)
class Chunk:
    """All rows of the entries [start, end), by index."""

    start: int
    end: int
    leaves: dict[int, bytes]
    private: dict[int, PrivateRow]
    openings: dict[int, OpeningRow]


class Integrity(NamedTuple):
    """What an engine's own check found, and what an operator should know of it."""

    damage: list[str]
    notes: list[str]


def decode_text(data: bytes) -> str:
    """Return stored text; `MalformedError` where it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("not UTF-8") from None


def shown_text(data: bytes) -> str:
    """Return a name for a row's text key: the text itself where it is printable."""
    text = data.decode("ascii", "replace")
    return text if len(text) <= 256 and text.isprintable() else f"{text[:64]!a}"
