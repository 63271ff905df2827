"""PostgreSQL itself, killed and started again under load."""

import asyncio

from chaos.campaigns import Campaign
from chaos.postgres import PostgresDatabase
from chaos.rigs import Rig
from chaos.waiting import require_writing


class DatabaseKills(Campaign):
    """SIGKILL of all of PostgreSQL's processes at once; then it recovers.

    The server goes on by itself, except where it was killed in the same moment.
    """

    name = "kill-database"
    engines = frozenset({"postgres"})
    rounds = 50

    async def round(self, rig: Rig) -> None:
        """Kill the database under load, start it again, and see the log go on."""
        database, chance = rig.database, rig.chance
        assert isinstance(database, PostgresDatabase)
        cluster = database.cluster
        await rig.start()
        rig.crowd.stubborn = True
        async with rig.crowd.busy():
            await asyncio.sleep(chance.uniform(0.03, 0.3))
            alive = cluster.process is not None and cluster.process.poll() is None
            await asyncio.to_thread(cluster.kill)
            rig.tally.fault(alive)
            if chance.random() < 0.2:
                rig.tally.fault(await rig.kill(rig.server))
            await asyncio.sleep(chance.uniform(0, 1))
            await asyncio.to_thread(cluster.start)
            await rig.start()
            await require_writing(rig)
