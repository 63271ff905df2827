"""Files and folders that are written whole, durably, and read no further than allowed.

A file appears under its name once it is whole and flushed, so whoever reads a folder
while it is written (a web server, say) sees no half of one.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path

_STAGED: Final = ".new"
CHUNK: Final = 1 << 20


class Folder:
    """A folder that is written to; files and folders get the modes it was made with.

    What was written is durable once `flush` has returned.
    """

    def __init__(self, path: Path, *, private: bool) -> None:
        self.path = path
        self._private = private
        self._file_mode = 0o600 if private else 0o644
        self._folder_mode = 0o700 if private else 0o755
        self._unflushed: set[Path] = set()

    def make(self) -> None:
        """Make the folder and those above it where they are missing.

        One that is there gets its mode: whoever else may write to it could put
        something in the place of what is written. Raises `PermissionError` where it is
        not ours.
        """
        self._make(self.path)
        if self._private:
            self.path.chmod(self._folder_mode)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of a path below the folder in the place of the one there was."""
        with self.writing(name) as file:
            file.write(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a file that takes its name when it is closed: whole, and flushed.

        If the process dies before, a file with the ending `.new` is left, which the
        next writer of that name takes away.
        """
        with self._staged(name) as (_, descriptor), os.fdopen(descriptor, "wb") as file:
            yield file

    @contextmanager
    def placing(self, name: str) -> Iterator[Path]:
        """Yield the path of an empty file, for others to write; otherwise the same."""
        with self._staged(name) as (staged, descriptor):
            os.close(descriptor)
            yield staged

    @contextmanager
    def _staged(self, name: str) -> Iterator[tuple[Path, int]]:
        """Yield a new file under another name, open; whoever is given it closes it."""
        path = self.path / name
        self._make(path.parent)
        staged = path.with_name(path.name + _STAGED)
        staged.unlink(missing_ok=True)
        # A new one: not what a link leads to, nor a file that somebody else owns.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(staged, flags, self._file_mode)
        # Whatever the umask says: a mirror is there to be read, a backup is not.
        os.fchmod(descriptor, self._file_mode)
        yield staged, descriptor
        flush_path(staged)
        staged.replace(path)
        self._unflushed.add(path.parent)

    def flush(self) -> None:
        """Make the names of all that was written survive a crash."""
        while self._unflushed:
            flush_path(self._unflushed.pop())

    def _make(self, path: Path) -> None:
        if path.is_dir():
            return
        self._make(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(self._folder_mode)
        self._unflushed.add(path.parent)


def require_empty(path: Path) -> None:
    """Refuse to write into a folder that holds anything (`ConfigurationError`)."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigurationError(
            f"{path} is not empty; nothing was changed (what an interrupted run left"
            " may be removed)"
        )


def read_bounded(path: Path, most: int) -> bytes:
    """Return what a file holds; `ConfigurationError` where it is no file or longer."""
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ConfigurationError(f"{path} is longer than {most} bytes")
    return data


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Yield a regular file for reading; anything else is a `ConfigurationError`.

    A link is followed by nobody: what somebody else put into a folder must not lead out
    of it.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(f"{path} is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file
