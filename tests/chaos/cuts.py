"""Connections that are cut, between submitters and the server."""

import asyncio

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from support.relays import relay


class Cuts(Campaign):
    """All connections of the submitters are reset, several times in each round.

    What was on its way to them is lost, so they send it again.
    """

    name = "cut"
    rounds = 50

    async def round(self, rig: Rig) -> None:
        """Put a relay between the load and the server, and cut it."""
        await rig.start()
        server, crowd = rig.server, rig.crowd
        direct, crowd.stubborn = server.url, True
        async with relay(server.address) as between:
            server.url = f"http://127.0.0.1:{between.port}"
            try:
                async with crowd.busy():
                    for _ in range(3):
                        await asyncio.sleep(rig.chance.uniform(0.03, 0.2))
                        rig.tally.fault(between.cut() > 0)
                    rig.tally.notes["submissions without an answer"] += len(crowd.lost)
            finally:
                server.url = direct
