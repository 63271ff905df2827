"""What the service depends on and does not make: disks, the database, pollers.

All of it is looked up now and then and remembered, so that a scrape waits for none of
it: a disk that hangs or a database that is gone must not keep the metrics from showing
the rest. What cannot be found out is forgotten rather than shown as it was.
"""

import asyncio
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provlog.server.clock import Clock
from provlog.server.errors import describe
from provlog.server.storage.base import Storage, StorageError, Vitals

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 10.0
MAX_POLLED: Final = 1_000
"""How many polled sources are shown; further ones are not."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system below a folder, in bytes: what it holds, what is left for us."""

    size: int
    free: int


@dataclass
class Surroundings:
    """What was last seen. `folders` are the places to look at, by name.

    `clock_offset` is how many seconds the database's clock is ahead of ours, None where
    it has none. `polled` holds when the cursor of each polled source was last written,
    in Unix milliseconds, by the log's number and the source.
    """

    storage: Storage
    clock: Clock
    folders: Mapping[str, Path]
    disks: dict[str, Disk] = field(default_factory=dict)
    vitals: Vitals = field(default_factory=Vitals)
    clock_offset: float | None = None
    polled: dict[tuple[int, str], int] = field(default_factory=dict)

    async def watch(self) -> None:
        """Look every `INTERVAL_SECONDS`, until it is cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                logger.error("the surroundings cannot be seen: %s", describe(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> None:
        """Look at everything once."""
        self.disks = await asyncio.to_thread(self._look_at_disks)
        try:
            await self._look_at_database()
            self.polled = {
                (log, source): updated
                for log, source, updated in await self.storage.polled(MAX_POLLED)
            }
        except StorageError:
            # Logged by those who need the database; here nothing is known of it.
            self.vitals, self.clock_offset, self.polled = Vitals(), None, {}

    def _look_at_disks(self) -> dict[str, Disk]:
        found = {}
        for name, folder in self.folders.items():
            try:
                usage = shutil.disk_usage(folder)
            except OSError:
                continue
            found[name] = Disk(usage.total, usage.free)
        return found

    async def _look_at_database(self) -> None:
        begun = self.clock.now()
        self.vitals = await self.storage.vitals()
        read, ended = self.vitals.clock, self.clock.now()
        # It was read somewhere between the two: from the middle, the error is smallest.
        self.clock_offset = (
            None if read is None else (read - (begun + ended) / 2) / 1000
        )
