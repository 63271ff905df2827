"""A campaign: one kind of fault, many rounds, on one engine."""

import asyncio
import os
import random
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

from chaos.engines import Engine
from chaos.rigs import Rig, rig_of
from chaos.tallies import Tally

ROUND_SECONDS = 300
"""In a round nothing waits longer: what hangs is a failure, and not a hanging run."""

_FAILURES = 3
_MEMORY = Path("/dev/shm")


class Campaign(ABC):
    """What is broken, and how; one object for each run.

    `name` stands in reports, `engines` says where it makes sense, `rounds` is how many
    a long run has, `rotation` after how many a new log is begun, and `servers` how many
    serve it.
    """

    name: ClassVar[str]
    engines: ClassVar[frozenset[str]] = frozenset({"sqlite", "postgres"})
    rounds: ClassVar[int]
    rotation: ClassVar[int] = 25
    servers: ClassVar[int] = 1

    def lacks(self) -> str | None:
        """Return what this machine has not got, None where it can run."""
        return None

    def surroundings(self, folder: Path) -> AbstractContextManager[object]:
        """Prepare the folder of an instance before there is one."""
        return nullcontext()

    def is_over(self) -> bool:
        """Tell whether there is nothing left to be broken."""
        return False

    @abstractmethod
    async def round(self, rig: Rig) -> None:
        """Break something once, under load, and count it in the rig's tally.

        Servers may be left running or dead, but not stopped or wrapped. Raises
        `AssertionError` where a server did what it must not do meanwhile.
        """


async def run(
    campaign: Campaign,
    engine: Engine,
    rounds: int,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Run so many rounds, judging after each, and return what was counted.

    Goes on with a new log after a failure, and gives up after the third.
    """
    tally = Tally(campaign.name, engine.name, seed, skipped=campaign.lacks())
    chance = random.Random(f"{seed} {campaign.name} {engine.name}")
    begun = time.monotonic()
    while not tally.skipped and tally.rounds < rounds and not campaign.is_over():
        folder = _new_folder(campaign.name)
        failures = len(tally.failures)
        with campaign.surroundings(folder):
            async with rig_of(engine, folder, campaign.servers, chance, tally) as rig:
                last = min(tally.rounds + campaign.rotation, rounds)
                await _rounds(campaign, rig, last, say)
        if len(tally.failures) == failures:
            shutil.rmtree(folder)
        elif len(tally.failures) >= _FAILURES:
            break
    tally.seconds = time.monotonic() - begun
    return tally


def _new_folder(name: str) -> Path:
    """Return a new folder, in memory if it can be.

    What a killed process wrote is there either way; flushing to a disk that others use
    only makes rounds fewer.
    """
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=f"provlog-chaos-{name}-", dir=where))


async def _rounds(
    campaign: Campaign, rig: Rig, last: int, say: Callable[[str], None]
) -> None:
    tally = rig.tally
    while tally.rounds < last and not campaign.is_over():
        tally.rounds += 1
        async with asyncio.timeout(ROUND_SECONDS):
            await campaign.round(rig)
            ends = tally.rounds == last or campaign.is_over()
            await rig.judge(settle=True if ends else None)
        say(f"{tally.campaign} {tally.engine}: {tally.rounds}, {tally.fired} fired")
    await rig.finish()
