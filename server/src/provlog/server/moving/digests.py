"""Files that a manifest names with their digests."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec

from provlog.server.errors import DamagedError
from provlog.server.moving.folders import CHUNK, Folder, opened


class Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Part of a manifest: read with no other members than it has."""


class FileDigest(Strict, frozen=True):
    """How long a file is, and the SHA-256 of it in hexadecimal."""

    bytes: int
    sha256: str


class Digesting:
    """A file that is written, and digested meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = sha256()
        self._size = 0

    def write(self, data: bytes, /) -> None:
        """Write more."""
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def result(self) -> FileDigest:
        """Return the digest of all that was written."""
        return FileDigest(self._size, self._digest.hexdigest())


@contextmanager
def digesting(
    folder: Folder, name: str, digests: dict[str, FileDigest]
) -> Iterator[Digesting]:
    """Yield a new file of a folder; when it is whole, its digest is in `digests`."""
    with folder.writing(name) as file:
        written = Digesting(file)
        yield written
    digests[name] = written.result()


def digest_of(data: bytes) -> FileDigest:
    """Return the digest of a file that holds this."""
    return FileDigest(len(data), sha256(data).hexdigest())


def digest_file(path: Path) -> FileDigest:
    """Return the digest of a file."""
    digest, size = sha256(), 0
    with opened(path) as file:
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
    return FileDigest(size, digest.hexdigest())


def require_digest(name: str, found: FileDigest, expected: FileDigest) -> None:
    """Raise `DamagedError` unless a file is the one that was written."""
    if found != expected:
        raise DamagedError(f"{name} is not the file that the manifest names")
