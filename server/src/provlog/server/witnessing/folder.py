"""Files of DIR/witnessed: replaced as a whole, and the lock of who asks for a log."""

import fcntl
import os
from pathlib import Path

from provlog.server.files import flush_path

MODE = 0o600


def replace(path: Path, data: bytes, *, durable: bool) -> None:
    """Write a file of mode 0600 whole, in the place of the one that is there.

    Only who holds the log's lease may do so. With `durable` it is on disk, and so is
    its name, when this returns: before that nobody is shown what is in it. If we crash
    in between, the former file stands there still, or the new one. Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(descriptor)
    fresh.replace(path)
    if durable:
        flush_path(path.parent)


class Lease:
    """The lock of the one process that asks witnesses for a log.

    It ends with the process that holds it, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Tell whether it is ours from now on; it is not waited for.

        Raises `OSError`.
        """
        if self._descriptor is None:
            self._descriptor = self._lock(fcntl.LOCK_EX)
        return self._descriptor is not None

    def is_taken(self) -> bool:
        """Tell whether another process asks, now. Raises `OSError`."""
        if self._descriptor is not None or not self._path.exists():
            return False
        # Shared: two that look at a time must not take each other for one that asks.
        descriptor = self._lock(fcntl.LOCK_SH)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None

    def give_back(self) -> None:
        """Let another process ask."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, kind: int) -> int | None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, MODE)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
