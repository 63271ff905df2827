"""Files that hold secrets: read only where nobody else may read them."""

import os
import stat
from pathlib import Path

from provlog.client.errors import UsageError

MAX_SECRET = 512


def read_private(path: Path, most: int) -> bytes:
    """Return at most `most` bytes of a file that others may not read.

    Raises `UsageError` where there is none, or where its mode is too open.
    """
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            data = file.read(most)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if stat.S_IMODE(mode) & (0o037 if _is_handed(path) else 0o077):
        raise UsageError(f"{path}: others may read it; chmod 600 it")
    return data


def read_secret(path: Path, least: int = 1) -> str:
    """Return the one line of a private file: `least` to 512 printable characters.

    Raises `UsageError` for everything else; no message holds any of the file.
    """
    text = read_private(path, MAX_SECRET + 2).decode("utf-8", "replace")
    line = text.removesuffix("\n").removesuffix("\r")
    if not least <= len(line) <= MAX_SECRET or not line.isprintable():
        raise UsageError(
            f"{path}: not one line of {least} to {MAX_SECRET} printable characters"
        )
    return line


def _is_handed(path: Path) -> bool:
    """Tell whether systemd hands a file to this service alone.

    Where an access list says so, its mode shows the right to read as the group's.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and path.absolute().is_relative_to(folder)
