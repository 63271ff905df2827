"""A disk that is full, and has room again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from chaos.waiting import require_refusals, require_writing
from support.disks import SmallDisk, may_mount, small_disk

_ROOM = "96m"


class Disks(Campaign):
    """The database's disk is full; half of the servers are killed in that state.

    One that was not killed goes on by itself when there is room.
    """

    name = "disk"
    engines = frozenset({"sqlite"})
    rounds = 10
    rotation = 5

    def __init__(self) -> None:
        self._disk: SmallDisk | None = None

    def lacks(self) -> str | None:
        """Return that nobody may mount a disk here."""
        return None if may_mount() else "program: mount may not be used here"

    @contextmanager
    def surroundings(self, folder: Path) -> Iterator[None]:
        """Mount the disk where the instance will be."""
        with small_disk(folder / "data", _ROOM) as self._disk:
            yield

    async def round(self, rig: Rig) -> None:
        """Fill the disk under load, and see that nothing is taken any more."""
        disk, crowd = self._disk, rig.crowd
        assert disk is not None
        await rig.start()
        async with crowd.busy():
            await require_writing(rig)
            await asyncio.to_thread(disk.fill)
            # SQLite's journal may begin anew in the room that it has: a few get in.
            await require_refusals(rig, "database", wholly=False)
            rig.tally.fault(True)
            if rig.chance.random() < 0.5:
                assert await rig.kill(rig.server), "it was dead before it was killed"
                rig.tally.notes["killed with a full disk"] += 1
                disk.empty()
            else:
                disk.empty()
                await require_writing(rig)
                rig.tally.notes["went on by itself"] += 1
