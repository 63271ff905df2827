"""Files that are the owner's alone, and durable."""

import os
import stat
from pathlib import Path

from provlog.server.errors import ConfigurationError


def write_private(path: Path, text: str) -> None:
    """Write a new file of mode 0600, flushed; `FileExistsError` if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def read_private(path: Path, most: int = 4096) -> str:
    """Return the text of a secret's file, without outer blanks.

    Raises `ConfigurationError` where it cannot be read or others may read it, and
    `ValueError` where it is not ASCII or longer than `most` bytes.
    """
    require_regular(path)
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"{path} is open to others: chmod 600 it")
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise ValueError("too long for a secret")
    return data.decode("ascii").strip()


def require_regular(path: Path) -> None:
    """Raise `ConfigurationError` unless a path is a file: pipes are waited for."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{path} is no regular file")


def flush_path(path: Path) -> None:
    """Make what a file holds, or a folder's list of files, survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
