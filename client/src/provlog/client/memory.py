"""What is remembered between calls: the newest verified checkpoint of each log.

A log that shows one history to one client and another one to the next, or to the same
client tomorrow, is caught by whoever remembers. `FileMemory` remembers across programs,
`VolatileMemory` for as long as it lives.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from provlog.client.errors import UsageError
from provlog.merkle.announcement_document import MAX_DOCUMENT
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.notes import MAX_NOTE_SIZE

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_UNFIT = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class LeafPath:
    """The hash of one leaf, and its inclusion proof in some tree."""

    index: int
    leaf_hash: bytes
    hashes: tuple[bytes, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the path as JSON."""
        return {
            "index": self.index,
            "leaf_hash": encode_base64(self.leaf_hash),
            "hashes": [encode_base64(each) for each in self.hashes],
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two signed checkpoints that cannot both be true, and how that came out.

    `proof` is what the log answered when it was asked to show that the newer tree
    begins with the older one; None where both are of one size. `leaf`, where the log
    gave it, makes the file speak for itself: the last leaf of the older tree, proved in
    the newer one, shows that the newer tree begins with another tree of that size.
    With `older_leaf`, a leaf in the older tree, the two need not be of that size: it is
    enough that each shows a root of one size. `shown_by` says for each of the two by
    whom it was shown: remarks, which nobody signed.
    """

    origin: str
    older: bytes
    newer: bytes
    proof: tuple[bytes, ...] | None
    leaf: "LeafPath | None" = None
    older_leaf: "LeafPath | None" = None
    shown_by: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the evidence as JSON; the notes are in it byte for byte."""
        proof = None if self.proof is None else [encode_base64(h) for h in self.proof]
        value: dict[str, JsonValue] = {
            "v": 1,
            "origin": self.origin,
            "older": self.older.decode("utf-8", "replace"),
            "newer": self.newer.decode("utf-8", "replace"),
            "consistency": list(proof) if proof is not None else None,
            "inclusion": None if self.leaf is None else self.leaf.to_json(),
        }
        if self.older_leaf is not None:
            value["older_inclusion"] = self.older_leaf.to_json()
        if self.shown_by is not None:
            older, newer = self.shown_by
            value["shown_by"] = {"older": list(older), "newer": list(newer)}
        return value


class Memory(Protocol):
    """Where checkpoints are kept, one for each origin and log key.

    Notes come back byte for byte, and whoever asked verifies them again. Calls may
    block for as long as a small file takes, and may come from several threads and, for
    a memory on disk, several processes.
    """

    def load(self, origin: str, vkey: str) -> bytes | None:
        """Return the note kept for this log, None if there is none."""

    def replace(
        self, origin: str, vkey: str, expected: bytes | None, note: bytes
    ) -> bool:
        """Keep `note` if `expected` is what is kept now; tell whether it was.

        Atomic: a reader gets the one or the other, also after a crash.
        """

    def convict(self, evidence: Evidence) -> str:
        """Keep the evidence for good; return where it is, for a person to read."""


class VolatileMemory:
    """Remembers for as long as it lives; `evidence` holds what was found."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str], bytes] = {}
        self._announcements: dict[tuple[str, str], bytes] = {}
        self.evidence: list[Evidence] = []

    def load(self, origin: str, vkey: str) -> bytes | None:
        """Return the note kept for this log, None if there is none."""
        return self._notes.get((origin, vkey))

    def replace(
        self, origin: str, vkey: str, expected: bytes | None, note: bytes
    ) -> bool:
        """Keep `note` if `expected` is what is kept now; tell whether it was."""
        if self._notes.get((origin, vkey)) != expected:
            return False
        self._notes[origin, vkey] = note
        return True

    def load_announcements(self, origin: str, vkey: str) -> bytes | None:
        """Return the announcements kept for this log and first key, None if none."""
        return self._announcements.get((origin, vkey))

    def replace_announcements(
        self, origin: str, vkey: str, expected: bytes | None, document: bytes
    ) -> bool:
        """Keep `document` if `expected` is what is kept now; tell whether it was."""
        if self._announcements.get((origin, vkey)) != expected:
            return False
        self._announcements[origin, vkey] = document
        return True

    def convict(self, evidence: Evidence) -> str:
        """Keep the evidence in `evidence`."""
        self.evidence.append(evidence)
        return "in memory only"


class FileMemory:
    """Remembers in files of mode 0600, shared by all programs of a user.

    Without a folder, that is ``provlog`` in the user's state directory
    (``~/.local/state`` on Linux). Raises `UsageError` where files cannot be read or
    written.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()

    def load(self, origin: str, vkey: str) -> bytes | None:
        """Return the note kept for this log, None if there is none."""
        path = self._path(origin, vkey)
        # Under the lock for its effect: a folder that cannot be written to is found
        # out before anything is sent, not after.
        with _locked(path):
            return _read(path)

    def replace(
        self, origin: str, vkey: str, expected: bytes | None, note: bytes
    ) -> bool:
        """Keep `note` if `expected` is what is kept now; tell whether it was."""
        return _replace(self._path(origin, vkey), expected, note)

    def load_announcements(self, origin: str, vkey: str) -> bytes | None:
        """Return the announcements kept for this log and first key, None if none.

        Nothing is written for it: a file is replaced as a whole, and who verifies
        offline may have no folder at all.
        """
        path = self._announced(origin, vkey)
        with _explained(path):
            return _read(path, MAX_DOCUMENT)

    def replace_announcements(
        self, origin: str, vkey: str, expected: bytes | None, document: bytes
    ) -> bool:
        """Keep `document` if `expected` is what is kept now; tell whether it was."""
        path = self._announced(origin, vkey)
        return _replace(path, expected, document, MAX_DOCUMENT)

    def convict(self, evidence: Evidence) -> str:
        """Write the evidence into a file of its own; return the file's name."""
        data = json.dumps(evidence.to_json(), indent=2, ensure_ascii=False).encode()
        return str(self.keep("evidence", "inconsistency.json", data))

    def keep(self, what: str, suffix: str, data: bytes) -> Path:
        """Write a private file below the folder `what`, named by its content."""
        path = self.folder / what / f"{_digest(data)}.{suffix}"
        with _explained(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, data)
        return path

    def path(self, what: str, name: str, suffix: str) -> Path:
        """Return the file below the folder `what` that belongs to a name of any kind.

        Only the first line of `name` can be recognised in it.
        """
        # The slug is for people; the digest tells names apart.
        slug = _slug(name.partition("\n")[0])
        return self.folder / what / f"{slug}-{_digest(name.encode())}.{suffix}"

    def _path(self, origin: str, vkey: str) -> Path:
        return self.path("checkpoints", f"{origin}\n{vkey}", "checkpoint")

    def _announced(self, origin: str, vkey: str) -> Path:
        return self.path("announcements", f"{origin}\n{vkey}", "json")


def default_folder() -> Path:
    """Return the folder of `FileMemory` in the user's state directory."""
    import platformdirs

    return platformdirs.user_state_path("provlog", appauthor=False)


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read(path: Path, most: int = MAX_NOTE_SIZE) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        return None


def _replace(
    path: Path, expected: bytes | None, data: bytes, most: int = MAX_NOTE_SIZE
) -> bool:
    with _locked(path):
        if _read(path, most) != expected:
            return False
        write_private(path, data)
    return True


def _slug(text: str) -> str:
    return _UNFIT.sub("-", text)[:60].strip("-.") or "log"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{path}: {reason}") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _explained(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            _lock(file)
            # Closing the file gives the lock back, however the process ends.
            yield


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)

else:

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
