"""Connections that are cut: the submitters' to the server, the server's to PostgreSQL.

Half of the cuts come a moment after answers were held back, so that a commit was made
of which nobody heard.
"""

import asyncio
from collections import Counter

from chaos.campaigns import Campaign
from chaos.postgres import PostgresDatabase
from chaos.rigs import Rig
from chaos.waiting import require_writing, until
from support.relays import Relay, relay

_CUTS = 3


class Cuts(Campaign):
    """All connections of the submitters are reset, several times in each round.

    What was on its way to them is lost, so they send it again.
    """

    name = "cut"
    rounds = 30

    async def round(self, rig: Rig) -> None:
        """Put a relay between the load and the server, and cut it."""
        await rig.start()
        server, crowd = rig.server, rig.crowd
        direct, crowd.stubborn = server.url, True
        async with relay(server.address) as between:
            server.url = f"http://127.0.0.1:{between.port}"
            try:
                async with crowd.busy():
                    for _ in range(_CUTS):
                        await _cut(rig, between)
                    rig.tally.notes["submissions without an answer"] += len(crowd.lost)
            finally:
                server.url = direct


class DatabaseCuts(Campaign):
    """All connections to PostgreSQL are reset, or ended by an administrator.

    The server goes on by itself. What it answers is true, also where it cannot know at
    first whether its commit was made.
    """

    name = "cut-database"
    engines = frozenset({"postgres"})
    rounds = 50

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._known: Counter[str] = Counter()

    async def round(self, rig: Rig) -> None:
        """Cut under load, and see that events are taken again."""
        database, server = rig.database, rig.server
        assert isinstance(database, PostgresDatabase)
        if server.process is None:
            port = database.cluster.port
            self._relay = await rig.stack.enter_async_context(
                relay(("127.0.0.1", port))
            )
            url = database.url(self._relay.port)
            server.variables = {**server.variables, "PROVLOG_DATABASE": url}
            self._known.clear()
        await rig.start()
        assert self._relay is not None
        async with rig.crowd.busy():
            for _ in range(_CUTS):
                if rig.chance.random() < 0.25:
                    await asyncio.sleep(rig.chance.uniform(0.03, 0.2))
                    ended = await asyncio.to_thread(database.end_sessions)
                    rig.tally.fault(ended > 0)
                else:
                    await _cut(rig, self._relay)
            await require_writing(rig)
        await self._note(rig)

    async def _note(self, rig: Rig) -> None:
        """Count what became of the commits since the last round."""
        found = await asyncio.to_thread(rig.server.metrics)
        for outcome in ("unknown", "interrupted"):
            count = int(found[f'provlog_commits_total{{result="{outcome}"}}'])
            rig.tally.notes[f"commits: {outcome}"] += count - self._known[outcome]
            self._known[outcome] = count


async def _cut(rig: Rig, between: Relay) -> None:
    await asyncio.sleep(rig.chance.uniform(0.03, 0.2))
    # It may be about to connect again after the last one.
    await until(between.is_used)
    if rig.chance.random() < 0.5:
        between.hold_answers()
        await asyncio.sleep(rig.chance.uniform(0.002, 0.05))
    rig.tally.fault(between.cut() > 0)
