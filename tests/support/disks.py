"""A small disk in memory, to be filled up."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


class SmallDisk:
    """A mounted disk; `folder` is where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def resize(self, size: str) -> None:
        """Make it larger, or smaller, while it is in use."""
        done = _mount(f"remount,size={size}", self.folder)
        assert not done.returncode, done.stderr

    def fill(self) -> None:
        """Leave no room at all."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Give back the room that `fill` took."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk | None]:
    """Mount a disk of a size such as "3m"; None where nobody may mount."""
    folder.mkdir(exist_ok=True)
    if _mount(f"size={size},mode=700", folder).returncode:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def may_mount() -> bool:
    """Tell whether a disk can be mounted here."""
    with TemporaryDirectory() as folder, small_disk(Path(folder), "1m") as disk:
        return disk is not None


def _mount(options: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "provlog-test", str(folder)],
        capture_output=True,
        check=False,
        timeout=10,
    )
