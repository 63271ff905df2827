"""Files that are the owner's alone, and durable."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a new file of mode 0600, flushed; `FileExistsError` if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def flush_path(path: Path) -> None:
    """Make what a file holds, or a folder's list of files, survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
