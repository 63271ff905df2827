"""Files that are the owner's alone, and durable."""

import os
import stat
from pathlib import Path

from provlog.server.errors import ConfigurationError


def write_private(path: Path, text: str) -> None:
    """Write a new file of mode 0600, flushed; `FileExistsError` if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
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
            if is_open_to_others(path, os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(f"{path} is open to others: chmod 600 it")
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise ValueError("too long for a secret")
    return data.decode("ascii").strip()


def is_open_to_others(path: Path, mode: int) -> bool:
    """Tell whether others than its owner may do something with a secret's file.

    A credential that systemd hands to the service is the service's alone. Where an
    access list says so, the file's mode shows the right to read as the group's.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    handed = folder is not None and path.absolute().is_relative_to(folder)
    return bool(stat.S_IMODE(mode) & (0o037 if handed else 0o077))


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
