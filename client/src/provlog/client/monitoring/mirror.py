"""A copy of a log that others can follow: tiles, bundles and a checkpoint, as files.

What was downloaded lies in a folder of its own until the whole tree has been verified.
Then each file is moved to its place, and the checkpoint last: a reader finds all that
it stands for. If we crash in between, the checkpoint is the older one, whose files are
all there still: nothing it needs is taken away before the newer one is written.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from provlog.client.auditing_parts import Part
from provlog.client.errors import UsageError
from provlog.client.outbox.files import sync_folder
from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.edge import edge_shape
from provlog.merkle.errors import MalformedError
from provlog.merkle.notes import MAX_NOTE_SIZE, parse_note_unverified
from provlog.merkle.tiles import TILE_HEIGHT, TILE_WIDTH, Bundle, Tile
from provlog.merkle.trust import SignedCheckpoint

CHECKPOINT: Final = "checkpoint"
ANNOUNCEMENTS: Final = "announcements"


class Mirror:
    """The copy of one log below ``FOLDER/logs/NAME``; a web server hands out FOLDER.

    Files are readable for everybody. Raises `UsageError` where they cannot be written,
    and where the folder holds another log. One writer at a time.
    """

    def __init__(self, folder: Path, name: str, origin: str) -> None:
        self.path = folder / "logs" / name
        self._origin = origin
        self._staging = folder / f".{name}.unverified"

    def published(self) -> Checkpoint | None:
        """Return what the copy's checkpoint says, None where there is none yet.

        Nothing is verified: it is a file that this program wrote.
        """
        try:
            with (self.path / CHECKPOINT).open("rb") as file:
                data = file.read(MAX_NOTE_SIZE + 1)
            found = parse_checkpoint_text(parse_note_unverified(data).text)
        except FileNotFoundError:
            return None
        except (OSError, MalformedError):
            raise UsageError(f"{self.path}: its checkpoint cannot be read") from None
        if found.origin != self._origin:
            raise UsageError(f"{self.path}: mirrors another log; give another folder")
        return found

    def begin(self) -> None:
        """Forget what was not verified, and prepare for more."""
        with _explained(self._staging):
            shutil.rmtree(self._staging, ignore_errors=True)
            self.resume()

    def resume(self) -> None:
        """Prepare to go on with what was not verified yet.

        Partial parts are left out: those of another tree would never be vouched for.
        """
        with _explained(self._staging):
            self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in list(_files(self._staging)):
                if path.parent.suffix == ".p":
                    path.unlink()

    def stage(self, part: Part, data: bytes) -> None:
        """Keep a part that was served, out of sight; it is on disk then."""
        path = self._staging / part.path()
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            path.chmod(0o644)

    def publish(self, signed: SignedCheckpoint, before: int) -> None:
        """Show the tree of `signed`, whose parts were staged and verified.

        `before` is the size that was shown. A checkpoint of that size, with newer
        cosignatures, needs no parts.
        """
        size = signed.checkpoint.size
        with _explained(self.path):
            _make(self.path)
            self._move()
            # If we crash here, more is there than the old checkpoint stands for.
            self._write(CHECKPOINT, signed.note)
            # If we crash here, parts stay that nobody needs, and do no harm.
            self._clear_partial(before, size)
            shutil.rmtree(self._staging, ignore_errors=True)

    def announce(self, document: bytes) -> None:
        """Show the announcements of the log's keys, which were verified."""
        path = self.path / ANNOUNCEMENTS
        with _explained(path):
            if not path.exists() or path.read_bytes() != document:
                _make(self.path)
                self._write(ANNOUNCEMENTS, document)

    def _move(self) -> None:
        folders: set[Path] = set()
        for source in sorted(_files(self._staging)):
            target = self.path / source.relative_to(self._staging)
            _make(target.parent)
            source.replace(target)
            folders.update((target.parent, *self._above(target.parent)))
        for folder in folders:
            sync_folder(folder)

    def _above(self, folder: Path) -> Iterator[Path]:
        while folder != self.path:
            folder = folder.parent
            yield folder

    def _write(self, name: str, data: bytes) -> None:
        made = self.path / f".{name}.new"
        with made.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        made.chmod(0o644)
        made.replace(self.path / name)
        sync_folder(self.path)

    def _clear_partial(self, before: int, size: int) -> None:
        """Take away partial forms that became full; clients ask for those then.

        Of what is not full yet the smaller forms stay: older checkpoints need them.
        """
        edge: list[Part] = [
            Tile(level, before >> TILE_HEIGHT * (level + 1), width)
            for level, width in enumerate(edge_shape(before))
            if width
        ]
        if before % TILE_WIDTH:
            edge.append(Bundle(before // TILE_WIDTH))
        for part in edge:
            level = part.level if isinstance(part, Tile) else 0
            if part.index < size >> (TILE_HEIGHT * (level + 1)):
                full = replace(part, width=TILE_WIDTH)
                shutil.rmtree(self.path / f"{full.path()}.p", ignore_errors=True)


def _make(folder: Path) -> None:
    """Make a folder that others may look into, whatever this process's mask is."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            yield Path(root) / name


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say which file is the trouble."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"mirror: {path}: {reason}") from None
