"""Reading an export: every leaf and private row checked, nothing taken on trust.

What is read is checked before it is handed on; what follows only from all of it (root,
counts, digests of files) when it ends. `read_export` therefore has to be read to its
end before anything of it counts. It does no I/O but reading the folder, so a process
of its own can do it.
"""

from binascii import b2a_base64
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Final

import msgspec

from provlog.merkle.encoding import BASE64_TO_URL
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.labels import tag
from provlog.merkle.receipts import Openings
from provlog.merkle.tiles import Bundle, decode_bundle
from provlog.server.errors import DamagedError
from provlog.server.moving.digests import FileDigest, require_digest
from provlog.server.moving.folders import opened, read_bounded
from provlog.server.moving.leaves import LeafFacts, read_leaf
from provlog.server.moving.manifest import ENTRIES
from provlog.server.moving.private_side import MAX_LINE, EntryLine, decode_line
from provlog.server.moving.tree_files import MAX_BUNDLE, bundles
from provlog.server.storage.base import NewEntry, Private

COMPARE_SIZE: Final = 32
MEMBERED: Final = frozenset({"event", "admin", "erasure"})
GROUP: Final = 16
"""How many bundles are handed on together."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """What an entry says of its place in the log."""

    kind: str
    epoch: int
    n: int
    recorded: str


class Checked(msgspec.Struct, frozen=True):
    """The next entries: each fits its leaf; how they fit the log is still open."""

    entries: list[NewEntry]
    hashes: list[bytes]
    places: list[Place]


def read_export(folder: Path, size: int, expected: FileDigest) -> Iterator[Checked]:
    """Yield all entries of an export in order.

    `expected` is the digest of the private side's file. Raises `DamagedError` where
    anything is not as it was written, at the very end for what only the end shows.
    """
    with opened(folder / ENTRIES) as file:
        lines = _Lines(file)
        waiting = bundles(0, size)
        while group := list(islice(waiting, GROUP)):
            yield _read_group(folder, group, lines)
        lines.finish(expected)


def _read_group(folder: Path, group: list[Bundle], lines: "_Lines") -> Checked:
    entries, hashes, places = [], [], []
    index = group[0].index * 256
    for bundle in group:
        for leaf in _leaves(folder, bundle):
            facts, line = _facts(index, leaf), lines.next(index)
            entries.append(_check(index, leaf, facts, line))
            hashes.append(leaf_hash(leaf))
            places.append(Place(facts.kind, facts.epoch, facts.n, facts.recorded))
            index += 1
    return Checked(entries, hashes, places)


def _leaves(folder: Path, bundle: Bundle) -> list[bytes]:
    path = bundle.path()
    try:
        return decode_bundle(read_bounded(folder / path, MAX_BUNDLE), bundle.width)
    except MalformedError as error:
        raise DamagedError(f"{path}: {error}") from None


def _facts(index: int, leaf: bytes) -> LeafFacts:
    try:
        return read_leaf(leaf)
    except MalformedError as error:
        raise DamagedError(f"entry {index}: {error}") from None


class _Lines:
    """The lines of the private side, digested while they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = msgspec.json.Decoder(EntryLine)
        self._digest = sha256()
        self._size = 0

    def next(self, index: int) -> EntryLine:
        """Return the next line, which has to be that of the entry."""
        text = self._file.readline(MAX_LINE + 1)
        self._digest.update(text)
        self._size += len(text)
        line = decode_line(self._decoder, text, f"{ENTRIES}, entry {index}")
        if line.index != index:
            raise DamagedError(
                f"{ENTRIES}: no line of entry {index} where it has to be"
            )
        return line

    def finish(self, expected: FileDigest) -> None:
        """Compare all that was read, and that was all there is, with the manifest."""
        require_digest(
            ENTRIES, FileDigest(self._size, self._digest.hexdigest()), expected
        )
        if self._file.read(1):
            raise DamagedError(f"{ENTRIES}: more lines than entries")


def _check(index: int, leaf: bytes, facts: LeafFacts, line: EntryLine) -> NewEntry:
    """Return the entry if its private side is the leaf's."""
    try:
        entry = line.entry(leaf, facts.key)
        if entry.private is not None:
            _check_private(facts, entry.private)
        if entry.openings is not None:
            _check_openings(facts, entry.openings)
    except ValueError as error:
        # UnicodeError is one too: a disclosure that is not ASCII.
        why = "is not ASCII" if isinstance(error, UnicodeError) else str(error)
        raise DamagedError(f"{ENTRIES}, entry {index}: {why}") from None
    return entry


def _check_private(facts: LeafFacts, private: Private) -> None:
    """Raise `ValueError` unless the disclosures are all of those of the leaf.

    The digest of a disclosure binds its name as well as its value.
    """
    if facts.kind not in MEMBERED:
        raise ValueError(f"an entry of kind {facts.kind} discloses nothing")
    digests = [sha256(each.encode("ascii")).digest() for each in private.disclosures]
    if sorted(_encode(digests)) != facts.digests:
        raise ValueError("the disclosures do not open the leaf's members")
    size = COMPARE_SIZE if facts.kind == "event" else None
    for value in (private.compare_key, private.compare_digest):
        if (None if value is None else len(value)) != size:
            raise ValueError("key and digest for comparing do not fit the entry")


def _check_openings(facts: LeafFacts, openings: Openings) -> None:
    tags = [tag(openings.nonce, item) for _, item in openings.labels]
    if not tags or sorted(_encode(tags)) != facts.tags:
        raise ValueError("nonce and labels do not make the leaf's tags")


def _encode(digests: list[bytes]) -> list[bytes]:
    """Return each digest in base64url without padding.

    With a zero after each, 32 bytes become 44 characters, of which the first 43 are
    those: so all are encoded in one go, which every entry needs twice.
    """
    joined = b2a_base64(b"\0".join([*digests, b""]), newline=False)
    text = joined.translate(BASE64_TO_URL)
    return [text[at : at + 43] for at in range(0, len(text), 44)]
