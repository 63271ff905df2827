"""Files that hold a log's checkpoints: what somebody kept, or was sent.

Receipts, tlog-proof files, notes, answers to batches, evidence, announcements, the
output of ``provlog checkpoint --json``, an outbox's spool; and folders of these, such
as a folder of receipts, a static mirror or the folder of ``--state``. Of each, only
what the log signed counts, and what proofs in it show.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provlog.client.comparing import Sighting
from provlog.client.comparing_mirrors import FolderMirror, find_mirror
from provlog.client.cosigned import GossipedCheckpoint, verify_gossip
from provlog.client.differences import parse_hash
from provlog.client.errors import UsageError, printable
from provlog.client.memory import LeafPath
from provlog.merkle.encoding import JsonValue, decode_base64, loads_json
from provlog.merkle.entries import MAX_ENTRY, parse_entry
from provlog.merkle.errors import MalformedError, MerkleError, ProofError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import MAX_PROOF_HASHES, verify_inclusion
from provlog.merkle.proof_file import HEADER, parse_proof_unverified
from provlog.merkle.trust import Trust

MAX_FILE: Final = 64 << 20
MAX_FILES: Final = 100_000
"""Files in one folder, and receipts in one spool."""

_SPOOL: Final = b"SQLite format 3\0"
_PATTERNS: Final = (
    "*.receipt.json",
    "*.tlog-proof",
    "*.inconsistency.json",
    "*.checkpoint",
    "checkpoint",
    "announcements",
    "checkpoints/*.checkpoint",
    "evidence/*.inconsistency.json",
)

JsonObject = Mapping[str, JsonValue]


class OtherLogError(Exception):
    """What was read is of another log: a folder may hold many."""


@dataclass
class FileSource:
    """What a file or folder shows. `refused` says what in it does not verify, and why.

    `others` counts what is of other logs, which only a folder may hold. `recorded` is
    when the log recorded the newest entry in it (Unix milliseconds): it signed no
    sooner. `mirror` is what can prove something, where it is a static mirror's folder.
    """

    place: str
    sightings: list[Sighting] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    others: int = 0
    recorded: int | None = None
    mirror: FolderMirror | None = None


def read_source(
    path: Path, trust: Trust, on_read: Callable[[int], None] = lambda _: None
) -> FileSource:
    """Return what a file or folder shows of a log.

    `on_read` is called with the number of files that were read since. Raises
    `UsageError` for what cannot be read at all, or holds nothing to compare.
    """
    reader = _Reader(trust)
    found = FileSource(str(path))
    if not path.is_dir():
        for name, data in _contents(path):
            _add(found, reader, name, data, alone=True)
            on_read(1)
        found.recorded = reader.recorded()
        return found
    files = _files_in(path)
    if not files:
        raise UsageError(
            f"{path}: nothing to compare in this folder: no *.receipt.json, "
            "*.tlog-proof, *.inconsistency.json, *.checkpoint or checkpoint"
        )
    for each in files:
        _add(found, reader, each.name, _read(each), alone=False)
        on_read(1)
    found.recorded = reader.recorded()
    found.mirror = find_mirror(path, trust)
    return found


def count_files(paths: Iterable[Path]) -> int:
    """Return how many files there are to be read, for those who wait."""
    return sum(len(_files_in(each)) if each.is_dir() else 1 for each in paths)


def _files_in(folder: Path) -> list[Path]:
    try:
        # A pattern finds nothing in a folder that may not be read, and does not say so.
        os.scandir(folder).close()
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None
    found = {each for pattern in _PATTERNS for each in folder.glob(pattern)}
    files = sorted(each for each in found if each.is_file())
    if len(files) > MAX_FILES:
        raise UsageError(f"{folder}: more than {MAX_FILES} files; compare it in parts")
    return files


def _add(
    found: FileSource, reader: "_Reader", name: str, data: bytes, *, alone: bool
) -> None:
    # A folder from somebody else has names that somebody else chose.
    name = printable(name)
    try:
        found.sightings += reader.read(data)
    except OtherLogError:
        found.others += 1
        if alone:
            found.refused.append(f"{name}: is of another log")
    except MerkleError as error:
        found.refused.append(f"{name}: {printable(str(error))}")


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    data = _read(path)
    if not data.startswith(_SPOOL):
        yield path.name, data
        return
    from provlog.client.outbox.spool import MAX_BYTES, MAX_EVENTS, Spool
    from provlog.client.outbox.views import read_receipts

    spool = Spool(path, max_events=MAX_EVENTS, max_bytes=MAX_BYTES, create=False)
    with contextlib.closing(spool):
        for count, each in enumerate(read_receipts(spool)):
            if count >= MAX_FILES:
                raise UsageError(f"{path}: more than {MAX_FILES} receipts")
            yield f"receipt {each.index}", each.data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(len(_SPOOL))
            if data != _SPOOL:
                data += file.read(MAX_FILE)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise UsageError(f"{path}: larger than {MAX_FILE} bytes")
    return data


class _Reader:
    """Reads files of one log; a note that many of them hold is verified once."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._notes: dict[bytes, GossipedCheckpoint] = {}
        self._newest: tuple[int, bytes] = (-1, b"")

    def recorded(self) -> int | None:
        """Return when the log says that it recorded the newest leaf that was read."""
        try:
            entry = parse_entry(self._newest[1])
        except MalformedError:
            # What was signed is what is compared; `provlog verify` judges the leaf.
            return None
        return entry.recorded if entry.understood else None

    def read(self, data: bytes) -> list[Sighting]:
        """Return what the bytes show, or raise `MerkleError` or `OtherLogError`."""
        if data.startswith(HEADER.encode()):
            return [Sighting(self._open(parse_proof_unverified(data).checkpoint))]
        if data.lstrip()[:1] != b"{":
            return [Sighting(self._open(data))]
        body = loads_json(data, "file")
        if not isinstance(body, dict):
            raise MalformedError("file: not an object")
        for names, read in self._forms():
            if names <= body.keys():
                return read(body)
        raise MalformedError("file: neither a receipt nor anything else with a note")

    def _forms(self) -> list[tuple[set[str], Callable[[JsonObject], list[Sighting]]]]:
        return [
            ({"leaf", "proof"}, lambda body: [self._receipt(body)]),
            ({"checkpoint", "results"}, self._batch),
            ({"older", "newer"}, self._evidence),
            ({"announcements"}, self._announcements),
            ({"note"}, lambda body: [Sighting(self._open(_bytes(body["note"])))]),
        ]

    def _open(self, note: bytes) -> GossipedCheckpoint:
        known = self._notes.get(note)
        if known is None:
            try:
                known = verify_gossip(note, self._trust)
            except MerkleError:
                origin = note.partition(b"\n")[0]
                if note.count(b"\n") > 3 and origin != self._trust.origin.encode():
                    raise OtherLogError from None
                raise
            self._notes[note] = known
        return known

    def _receipt(self, body: JsonObject) -> Sighting:
        leaf = _leaf(body.get("leaf"))
        proof = parse_proof_unverified(_bytes(body.get("proof")))
        return self._proved(leaf, proof.index, proof.hashes, proof.checkpoint)

    def _proved(
        self, leaf: bytes, index: int, hashes: tuple[bytes, ...], note: bytes
    ) -> Sighting:
        gossiped = self._open(note)
        tree, hashed = gossiped.signed.checkpoint, leaf_hash(leaf)
        verify_inclusion(index, tree.size, hashed, hashes, tree.root)
        self._newest = max(self._newest, (index, leaf))
        return Sighting(gossiped, (LeafPath(index, hashed, hashes),))

    def _batch(self, body: JsonObject) -> list[Sighting]:
        note = _bytes(body["checkpoint"])
        found = [Sighting(self._open(note))]
        for each in _objects(body["results"]):
            if {"leaf", "hashes", "index"} <= each.keys():
                index, hashes = _index(each["index"]), _hashes(each["hashes"])
                found.append(self._proved(_leaf(each["leaf"]), index, hashes, note))
        return found

    def _announcements(self, body: JsonObject) -> list[Sighting]:
        return [self._receipt(each) for each in _objects(body["announcements"])]

    def _evidence(self, body: JsonObject) -> list[Sighting]:
        sides = (("older", "older_inclusion"), ("newer", "inclusion"))
        return [
            self._side(_bytes(body[note]), body.get(inclusion))
            for note, inclusion in sides
        ]

    def _side(self, note: bytes, path: JsonValue) -> Sighting:
        gossiped = self._open(note)
        if not isinstance(path, dict):
            return Sighting(gossiped)
        leaf, hashes = parse_hash(path.get("leaf_hash")), _hashes(path.get("hashes"))
        index, tree = _index(path.get("index")), gossiped.signed.checkpoint
        try:
            verify_inclusion(index, tree.size, leaf, hashes, tree.root)
        except ProofError:
            # It shows nothing; what was signed was signed.
            return Sighting(gossiped)
        return Sighting(gossiped, (LeafPath(index, leaf, hashes),))


def _bytes(value: JsonValue) -> bytes:
    if not isinstance(value, str):
        raise MalformedError("file: a note or proof is not a string")
    return value.encode()


def _leaf(value: JsonValue) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * MAX_ENTRY:
        raise MalformedError("file: a leaf is not a string, or too long")
    return decode_base64(value, "file: leaf")


def _index(value: JsonValue) -> int:
    if type(value) is not int or value < 0:
        raise MalformedError("file: an index is not a whole number")
    return value


def _hashes(value: JsonValue) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > MAX_PROOF_HASHES:
        raise MalformedError(f"file: not a list of {MAX_PROOF_HASHES} hashes at most")
    return tuple(parse_hash(each) for each in value)


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    if not isinstance(value, list) or len(value) > MAX_FILES:
        raise MalformedError(f"file: not a list of {MAX_FILES} objects at most")
    if not all(isinstance(each, dict) for each in value):
        raise MalformedError("file: a list holds something that is no object")
    return [each for each in value if isinstance(each, dict)]
