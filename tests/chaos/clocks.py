"""Wall clocks that jump by hours, with libfaketime; steady clocks are left alone."""

import asyncio
import signal

from chaos.campaigns import Campaign
from chaos.postgres import PostgresDatabase
from chaos.rigs import Rig
from chaos.waiting import readiness, require_refusals, require_writing
from support.faked_time import FakedTime

_REFUSAL = "the server's clock cannot be trusted"


class Clocks(Campaign):
    """The clock is set forward or back, while a server runs or while it does not.

    The server refuses to write and says why; right again, or accepted, it goes on.
    """

    name = "clock"
    rounds = 20

    def lacks(self) -> str | None:
        """Return that libfaketime is missing, where it is."""
        return FakedTime.lacks()

    async def round(self, rig: Rig) -> None:
        """Step the clock by hours, have writing refused, and set it right."""
        faked = _faked(rig)
        hours = rig.chance.uniform(1, 12)
        # Only a log that has entries can contradict a clock.
        if rig.crowd.observer.acknowledged and rig.chance.random() < 0.25:
            await self._started_in_the_past(rig, faked, hours)
        else:
            await self._stepped(rig, faked, rig.chance.choice((-1, 1)) * hours)

    async def _stepped(self, rig: Rig, faked: FakedTime, hours: float) -> None:
        await rig.start()
        async with rig.crowd.busy():
            await require_writing(rig)
            faked.step(hours * 3600)
            await _require_distrust(rig, "clock", "moved by")
            faked.step(0)
            await require_writing(rig)
        rig.tally.notes["forward" if hours > 0 else "back"] += 1

    async def _started_in_the_past(
        self, rig: Rig, faked: FakedTime, hours: float
    ) -> None:
        """Have the clock that is trusted at the start contradict the log."""
        if rig.server.process is not None:
            await asyncio.to_thread(rig.server.stop)
        faked.step(-hours * 3600)
        await rig.start()
        async with rig.crowd.busy():
            await _require_distrust(rig, "logs", "ahead of the clock")
            faked.step(0)
            # Right again, it is not what was trusted at the start: somebody has to say
            # that it is right.
            await _require_distrust(rig, "clock", "moved by")
            assert rig.server.process is not None
            rig.server.process.send_signal(signal.SIGUSR1)
            await require_writing(rig)
        rig.tally.notes["started in the past"] += 1


class DatabaseClocks(Campaign):
    """PostgreSQL's clock is set forward or back, while the server's stays right.

    Who is right nobody knows: nothing is written until both agree.
    """

    name = "clock-database"
    engines = frozenset({"postgres"})
    rounds = 20

    def lacks(self) -> str | None:
        """Return that libfaketime is missing, where it is."""
        return FakedTime.lacks()

    async def round(self, rig: Rig) -> None:
        """Step the database's clock by hours, have writing refused, set it right."""
        faked = await _faked_database(rig)
        await rig.start()
        hours = rig.chance.choice((-1, 1)) * rig.chance.uniform(1, 12)
        async with rig.crowd.busy():
            await require_writing(rig)
            faked.step(hours * 3600)
            await _require_distrust(rig, "sequencer", "the database's clock")
            faked.step(0)
            await require_writing(rig)
        rig.tally.notes["forward" if hours > 0 else "back"] += 1


async def _faked_database(rig: Rig) -> FakedTime:
    """Start the cluster anew with a clock that can be set, unless it has one."""
    assert isinstance(rig.database, PostgresDatabase)
    cluster = rig.database.cluster
    # Where PostgreSQL's own user can read it.
    faked = FakedTime(cluster.folder / "clock")
    faked.step(0)
    if not cluster.variables:
        cluster.variables = faked.variables
        await asyncio.to_thread(cluster.restart)
    return faked


def _faked(rig: Rig) -> FakedTime:
    """Give the rig's server a clock that can be set, before it starts first."""
    faked = FakedTime(rig.folder / "clock")
    if not faked.variables.items() <= rig.server.variables.items():
        assert rig.server.process is None
        faked.step(0)
        rig.server.variables = {**rig.server.variables, **faked.variables}
    return faked


async def _require_distrust(rig: Rig, check: str, why: str) -> None:
    """Have every event refused, and the reason said where the operator looks."""
    await require_refusals(rig, _REFUSAL)
    said = await readiness(rig.server)
    checks = said["checks"]
    assert isinstance(checks, dict)
    assert said["ready"] is False, "it takes nothing, and says that it is ready"
    rig.tally.fault(why in checks[check])
