"""Who may send: a lock on a file that ends with its process, however that ends."""

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

from provlog.client.errors import UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Lease:
    """A lock beside an outbox's file; one holder at a time on a machine.

    The file is empty, of mode 0600, and stays. It has to be on a file system with
    working locks, as the outbox itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._file is not None

    def acquire(self) -> bool:
        """Take it if nobody has it; tell whether it is held now, and do not wait."""
        if self._file is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}") from None
        file = os.fdopen(descriptor, "r+b")
        if _lock(file):
            self._file = file
            return True
        file.close()
        return False

    def release(self) -> None:
        """Give it back, if it is held."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def is_free(self) -> bool:
        """Tell whether nobody holds it at this moment."""
        if self._file is not None:
            return False
        with contextlib.suppress(UsageError):
            if not self._path.exists():
                return True
            taken = self.acquire()
            self.release()
            return taken
        return False


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
