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

from provlog.merkle.encoding import decode_base64, encode_base64
from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError, ForkError


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
        self._unflushed: set[Path] = set()
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
        path = self.path(origin)
        try:
            record = json.loads(path.read_bytes())
            if record["origin"] != origin or not isinstance(record["size"], int):
                raise ValueError("of another log")
            return ReleasedHead(record["size"], decode_base64(record["root"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, MalformedError):
            raise ConfigurationError(f"the guard {path} cannot be read") from None

    def advance(self, origin: str, head: ReleasedHead) -> None:
        """Record `head`, unless another process has recorded a larger one.

        Raises `ForkError` where another root is recorded for the same size.
        """
        path = self.path(origin)
        with self._locked(path):
            known = self.read(origin)
            if known is not None and known.size >= head.size:
                if known.size == head.size and known.root != head.root:
                    raise ForkError(f"the guard {path} holds another root of this size")
                return
            self._replace(path, origin, head)

    def flush(self) -> None:
        """Make everything recorded so far survive a crash of the machine."""
        paths, self._unflushed = self._unflushed, set()
        for path in (*paths, *([self._folder] if paths else [])):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _replace(self, path: Path, origin: str, head: ReleasedHead) -> None:
        record = {"origin": origin, "size": head.size, "root": encode_base64(head.root)}
        staged = path.with_suffix(".new")
        # Under the lock, so the staged file is nobody else's.
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, json.dumps(record).encode())
        finally:
            os.close(descriptor)
        staged.replace(path)
        self._unflushed.add(path)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path.with_suffix(".lock"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
