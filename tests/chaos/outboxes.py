"""Outboxes that are killed, and their log with them."""

import asyncio
from pathlib import Path

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from support.outbox_lives import Lives

_JUDGED = 2


class OutboxKills(Campaign):
    """SIGKILL of a process that puts and sends, and half of the time of the server.

    Now and then what is left is sent: then each event that was put is in the log once,
    and its verified receipt in the outbox.
    """

    name = "outbox"
    rounds = 60
    rotation = 20

    def __init__(self) -> None:
        self._lives: dict[Path, Lives] = {}
        self._known = 0

    async def round(self, rig: Rig) -> None:
        """Kill an outbox under load, and perhaps the server before it."""
        await rig.start()
        lives = self._lives.get(rig.folder)
        if lives is None:
            lives = Lives(rig.server, rig.folder, rig.chance)
            self._lives, self._known = {rig.folder: lives}, 0
            rig.stack.callback(lives.kill)
        async with rig.crowd.busy():
            await asyncio.to_thread(lives.begin)
            if rig.chance.random() < 0.5:
                rig.tally.fault(await rig.kill(rig.server))
                await asyncio.sleep(rig.chance.uniform(0, 0.1))
            rig.tally.fault(await asyncio.to_thread(lives.kill))
        if lives.count % _JUDGED == 0:
            await rig.start()
            await asyncio.to_thread(lives.drain)
            known = await asyncio.to_thread(lives.require_each_once)
            rig.tally.notes["events of outboxes, each found once"] += (
                known - self._known
            )
            self._known = known
