"""Servers that are killed at random moments under load."""

import asyncio
import signal

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from provlog.server.guard import FileGuard


class Kills(Campaign):
    """SIGKILL of the only server.

    Some are killed while they start, too, and so again before they recovered.
    """

    name = "kill"
    rounds = 200

    async def round(self, rig: Rig) -> None:
        """Kill under load; those that are left go on for a while."""
        chance, crowd = rig.chance, rig.crowd
        if chance.random() < 0.1:
            await self._kill_at_start(rig)
        await rig.start()
        everybody = chance.random() < 0.3
        victims = rig.servers if everybody else [chance.choice(rig.servers)]
        crowd.stubborn = len(victims) < len(rig.servers)
        async with crowd.busy():
            await asyncio.sleep(chance.uniform(0.03, 0.25))
            for victim in victims:
                rig.tally.fault(await rig.kill(victim))
            if crowd.stubborn:
                await asyncio.sleep(chance.uniform(0.05, 0.3))
        await self._note(rig)

    async def _kill_at_start(self, rig: Rig) -> None:
        victim = rig.chance.choice(rig.servers)
        if victim.process is not None:
            await rig.kill(victim)
        victim.spawn()
        await asyncio.sleep(rig.chance.uniform(0.1, 0.5))
        code, _ = await asyncio.to_thread(victim.stop, signal.SIGKILL)
        rig.tally.fault(code == -signal.SIGKILL)

    async def _note(self, rig: Rig) -> None:
        """Count the kills that came where they hurt."""
        rig.tally.notes["rounds with submissions under way"] += bool(rig.crowd.lost)
        if not rig.crowd.stubborn:
            guarded = await FileGuard(rig.server.guard).read(rig.server.origin)
            assert guarded is not None
            ahead = rig.database.committed(rig.server) > guarded.size
            rig.tally.notes["kills between commit and guard"] += ahead


class SharedKills(Kills):
    """SIGKILL of one of three servers of one log, or of all three at once."""

    name = "kill-one-of-three"
    rounds = 30
    servers = 3
