"""The private side of a log as NDJSON: one value a line, each line an object.

``private.ndjson``   a line for each entry, in order, with what is erasable of it
``sources.ndjson``   registered sources, each with the index of its entry
``cursors.ndjson``   how far polled sources have been read
``tokens.ndjson``    the tokens that open this log alone, with digests of their
                     secrets; where the house had one log, those for every log too

Binary is in standard base64.
"""

from collections.abc import Iterator
from typing import IO, Final, TypeVar

import msgspec

from provlog.merkle.labels import LabelKind
from provlog.merkle.receipts import Openings
from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import (
    Cursor,
    NewEntry,
    Private,
    SourceRecord,
    TokenRecord,
)

MAX_LINE: Final = 16 << 20
"""An event has 256 KiB, and its disclosures a few times as much."""


class Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A line; what is None is left out."""


class LabelLine(Line, frozen=True):
    """A label of an entry's openings."""

    kind: int
    label: bytes


class OpeningsLine(Line, frozen=True):
    """An entry's openings."""

    nonce: bytes
    labels: tuple[LabelLine, ...]


class EntryLine(Line, frozen=True):
    """What is erasable of an entry; without `disclosures` it has no private row."""

    index: int
    disclosures: tuple[str, ...] | None = None
    compare_key: bytes | None = None
    compare_digest: bytes | None = None
    openings: OpeningsLine | None = None

    @classmethod
    def of(
        cls, index: int, private: Private | None, openings: Openings | None
    ) -> "EntryLine":
        """Return the line of an entry's rows."""
        opened = None if openings is None else _openings_line(openings)
        if private is None:
            return cls(index, openings=opened)
        return cls(
            index,
            private.disclosures,
            private.compare_key,
            private.compare_digest,
            opened,
        )

    def private(self) -> Private | None:
        """Return the entry's private row."""
        if self.disclosures is None:
            return None
        return Private(self.disclosures, self.compare_key, self.compare_digest)

    def opened(self) -> Openings | None:
        """Return the entry's openings; `ValueError` for an unknown kind of label."""
        if self.openings is None:
            return None
        labels = ((LabelKind(each.kind), each.label) for each in self.openings.labels)
        return Openings(self.openings.nonce, tuple(labels))

    def entry(self, leaf: bytes, key: bytes | None) -> NewEntry:
        """Return the entry with its leaf and, where it is an event's, its id."""
        return NewEntry(self.index, leaf, key, self.private(), self.opened())


def _openings_line(openings: Openings) -> OpeningsLine:
    labels = (LabelLine(int(kind), label) for kind, label in openings.labels)
    return OpeningsLine(openings.nonce, tuple(labels))


class SourceLine(Line, frozen=True):
    """A registered source."""

    index: int
    uri: str
    ns: str
    connector: str | None = None

    def record(self) -> SourceRecord:
        """Return the source's record."""
        return SourceRecord(self.uri, self.ns, self.connector)


class CursorLine(Line, frozen=True):
    """How far a source has been polled."""

    source: str
    position: str
    updated: int

    def record(self) -> Cursor:
        """Return the cursor."""
        return Cursor(self.source, self.position, self.updated)


class TokenLine(Line, frozen=True):
    """A token; `every_log` is true of one that reaches every log of its house."""

    id: str
    digest: bytes
    every_log: bool
    roles: tuple[str, ...]
    sources: tuple[str, ...]
    note: str
    created: int
    rate: float | None = None
    expires: int | None = None
    revoked: int | None = None

    @classmethod
    def of(cls, token: TokenRecord) -> "TokenLine":
        """Return the line of a token's row."""
        return cls(
            id=token.id,
            digest=token.digest,
            every_log=token.logs is None,
            roles=tuple(sorted(token.roles)),
            sources=token.sources,
            note=token.note,
            created=token.created,
            rate=token.rate,
            expires=token.expires,
            revoked=token.revoked,
        )

    def record(self, log: int) -> TokenRecord:
        """Return the token's record, in a house where the log has that number."""
        return TokenRecord(
            id=self.id,
            digest=self.digest,
            logs=None if self.every_log else frozenset({log}),
            roles=frozenset(self.roles),
            sources=self.sources,
            note=self.note,
            rate=self.rate,
            created=self.created,
            expires=self.expires,
            revoked=self.revoked,
        )


_L = TypeVar("_L", bound=Line)
_ENCODER = msgspec.json.Encoder()


def encode_line(line: Line) -> bytes:
    """Return a line with its end."""
    return _ENCODER.encode(line) + b"\n"


def read_lines(file: IO[bytes], kind: type[_L], name: str) -> Iterator[_L]:
    """Yield the lines of a file; `ConfigurationError` for one that is none."""
    decoder = msgspec.json.Decoder(kind)
    number = 0
    while text := file.readline(MAX_LINE + 1):
        number += 1
        yield decode_line(decoder, text, f"{name}, line {number}")


def decode_line(decoder: "msgspec.json.Decoder[_L]", text: bytes, where: str) -> _L:
    """Return a line; `ConfigurationError`, with nothing of it, where it is none."""
    if len(text) > MAX_LINE or not text.endswith(b"\n"):
        raise ConfigurationError(f"{where}: too long, or without its end")
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Their texts may repeat what stands in the line.
        raise ConfigurationError(f"{where}: not of the form it must have") from None
