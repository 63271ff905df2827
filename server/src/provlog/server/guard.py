"""The guard: a record, outside the database, of the newest head that was released.

A database that comes back older than what was released (a restored backup, a lost
disk) would fork the log. The guard lets a start notice. It is advanced after each
commit and before anything of the new head leaves the server, so nothing above it is
known outside. A guard that lags only detects less; it never refuses wrongly.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from provlog.merkle.encoding import decode_hash, encode_base64
from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError, ForkError

_MAX_RECORD = 4096


@dataclass(frozen=True, slots=True)
class ReleasedHead:
    """Size and root of a head that may leave the server."""

    size: int
    root: bytes


class FileGuard:
    """The guard of one machine: a folder with a file for each log.

    The machine's processes share it under a lock. A file is replaced atomically at each
    release, so killing a process loses nothing; `flush` makes it survive the machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, _Record] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the guard folder {folder} cannot be used: {error.strerror}"
            ) from None

    def path(self, origin: str) -> Path:
        """Return the file of one log."""
        return self._folder / f"{sha256(origin.encode()).hexdigest()[:32]}.json"

    def read(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head, or None where nothing is recorded."""
        return self._record(origin).read()

    def advance(self, origin: str, head: ReleasedHead) -> None:
        """Record `head`, unless another process has recorded a larger one.

        Raises `ForkError` where another root is recorded for the same size.
        """
        self._record(origin).advance(head)

    def flush(self) -> None:
        """Make everything recorded so far survive a crash of the machine."""
        flushed = [record.flush() for record in list(self._records.values())]
        if any(flushed):
            _fsync(self._folder)

    def _record(self, origin: str) -> "_Record":
        record = self._records.get(origin)
        if record is None:
            record = self._records[origin] = _Record(self.path(origin), origin)
        return record


class _Record:
    """The file of one log, and the lock beside it."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._lock: int | None = None
        self._unflushed = False

    def __del__(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def read(self) -> ReleasedHead | None:
        """Return what is recorded, or None where there is no file."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return self._parse(os.read(descriptor, _MAX_RECORD))
        finally:
            os.close(descriptor)

    def advance(self, head: ReleasedHead) -> None:
        """Replace what is recorded, under the lock, if `head` is newer."""
        with self._locked():
            known = self.read()
            if known is None or known.size < head.size:
                self._replace(head)
            elif known.size == head.size and known.root != head.root:
                raise ForkError(
                    f"the guard {self._path} holds another root of this size"
                )

    def flush(self) -> bool:
        """Flush the file if it changed since; tell whether it did."""
        unflushed, self._unflushed = self._unflushed, False
        if unflushed:
            _fsync(self._path)
        return unflushed

    def _parse(self, data: bytes) -> ReleasedHead:
        try:
            record = json.loads(data)
            if record["origin"] != self._origin or not isinstance(record["size"], int):
                raise ValueError("of another log")
            return ReleasedHead(record["size"], decode_hash(record["root"]))
        except (ValueError, KeyError, TypeError, MalformedError):
            raise ConfigurationError(f"the guard {self._path} cannot be read") from None

    def _replace(self, head: ReleasedHead) -> None:
        record = {
            "origin": self._origin,
            "size": head.size,
            "root": encode_base64(head.root),
        }
        staged = f"{self._path}.new"
        # Under the lock, so the staged file is nobody else's.
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, json.dumps(record).encode())
        finally:
            os.close(descriptor)
        os.replace(staged, self._path)  # noqa: PTH105  a hot path
        self._unflushed = True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(f"{self._path}.lock", flags, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
