"""A static mirror: the public part of a log, for any web server to hand out.

Files stand under the paths that the server itself serves them under, so a client's URL
is that of the folder. A run adds what the log has grown by. Each file appears whole,
and the checkpoint last: whoever reads it finds all that it stands for, and a run that
is interrupted leaves the mirror as it was.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from provlog.merkle.errors import MerkleError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.tiles import TILE_HEIGHT, TILE_WIDTH, Bundle, Tile
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.announcements import NAME, announcements
from provlog.server.errors import ConfigurationError, ForkError, UnavailableError
from provlog.server.guard import ReleasedHead
from provlog.server.log import Log
from provlog.server.moving.folders import Folder, read_bounded
from provlog.server.moving.tree_files import (
    CHECKPOINT,
    OnProgress,
    partial_tiles,
    write_tree,
)
from provlog.server.storage.base import Reads


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How far a mirror reached before a run, and how far it does now."""

    before: int
    size: int


def mirror_path(to: Path, log: Log) -> Path:
    """Return where below a web server's root a log's mirror stands."""
    return to / "logs" / log.record.name


async def update_mirror(
    log: Log, reads: Reads, to: Path, on_progress: OnProgress
) -> Mirrored:
    """Bring a mirror up to the head that is served; make one where there is none.

    Raises `ConfigurationError` where the log is private or something else stands in the
    folder, `ForkError` where the mirror is of another history.
    """
    if not log.record.public:
        raise ConfigurationError(
            f"log {log.record.name} is private: only one that was made with --public"
            " has a public mirror"
        )
    folder = Folder(mirror_path(to, log), private=False)
    before = await _mirrored(log, folder.path)
    head = await log.refresh()
    if before > head.size:
        raise ForkError(
            f"{folder.path} mirrors {before} entries, and the log has {head.size}: it"
            " is older than what others have seen"
        )
    head, note = await _to_mirror(log, head)
    if before < head.size:
        folder.make()
        await write_tree(folder, reads, log.id, before, head.size, on_progress)
        # If we crash here, the mirror is as before; the next run writes the same again.
        folder.flush()
        # Before the checkpoint: whoever reads that finds what it takes to believe it.
        folder.write(NAME, await announcements(log, reads, head))
        folder.write(CHECKPOINT, note)
        folder.flush()
        _clear_partial(folder.path, before, head.size)
    elif before == head.size and note != (folder.path / CHECKPOINT).read_bytes():
        # Cosigned anew, which readers look at to see how old a head is.
        folder.write(CHECKPOINT, note)
        folder.flush()
    return Mirrored(before, max(before, head.size))


async def _to_mirror(log: Log, head: ReleasedHead) -> tuple[ReleasedHead, bytes]:
    """Return the head to mirror, and its note: with witnesses what is published.

    Raises `UnavailableError` where nothing is published yet.
    """
    if log.published is None:
        return head, log.note(head).encode()
    served = await log.published.serve()
    if served is None:
        raise UnavailableError(
            f"witnesses have not cosigned log {log.record.name} yet: nothing can be"
            " mirrored; is it served? See provlog-server witnesses show"
        )
    return served.head, served.note.encode()


async def _mirrored(log: Log, path: Path) -> int:
    """Return how many entries of this log a folder mirrors already."""
    if not (path / CHECKPOINT).exists():
        return 0
    keys = tuple(VerifierKey.parse(each.vkey) for each in log.announced.keys)
    trust = Trust(keys, log.origin)
    try:
        note = read_bounded(path / CHECKPOINT, MAX_NOTE_SIZE)
        checkpoint = verify_checkpoint(note, trust).checkpoint
    except MerkleError as error:
        raise ConfigurationError(
            f"{path} mirrors another log, or is damaged: {error}"
        ) from None
    found = ReleasedHead(checkpoint.size, checkpoint.root)
    released = log.released
    if found.size <= released.size and found.root != await log.tree.root(found.size):
        raise ForkError(f"{path} mirrors another history of the log")
    return found.size


def _clear_partial(path: Path, before: int, size: int) -> None:
    """Take away the partial forms of tiles and bundles that became full.

    Clients ask for the full form then (C2SP tlog-tiles). Of those that are not full yet
    the smaller forms stay, for clients of older checkpoints. If we crash here some stay
    for good, and do no harm.
    """
    edge: list[Tile | Bundle] = [*partial_tiles(before)]
    if before % TILE_WIDTH:
        edge.append(Bundle(before // TILE_WIDTH))
    for part in edge:
        level = part.level if isinstance(part, Tile) else 0
        if part.index < size >> (TILE_HEIGHT * (level + 1)):
            full = replace(part, width=TILE_WIDTH)
            shutil.rmtree(path / f"{full.path()}.p", ignore_errors=True)
