"""A server that stands still inside a commit, beside one that would go on."""

import asyncio
import signal
from pathlib import Path

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from chaos.waiting import require_writing, until_ready
from support.servers import Server

_TRIES = 400


class Freezes(Campaign):
    """SIGSTOP while the log's lock is held, and SIGCONT when the others had to notice.

    SQLite's log waits, and every server says that it is not ready; PostgreSQL's cuts
    the frozen server off, and the others go on.
    """

    name = "freeze"
    rounds = 20
    servers = 2

    async def round(self, rig: Rig) -> None:
        """Freeze one server under load, see what the other does, and thaw it."""
        await rig.start()
        frozen, other = rig.chance.sample(rig.servers, 2)
        async with rig.crowd.busy():
            await asyncio.sleep(rig.chance.uniform(0.05, 0.25))
            try:
                rig.tally.fault(await _freeze_inside(rig, frozen))
                if rig.engine.goes_on:
                    await require_writing(rig)
                else:
                    await _require_waiting(rig, other)
            finally:
                assert frozen.process is not None
                frozen.process.send_signal(signal.SIGCONT)
            await require_writing(rig)
        await until_ready(rig.servers, True)


async def _freeze_inside(rig: Rig, server: Server) -> bool:
    """Stop a server when it holds the lock; return whether it was caught there."""
    assert server.process is not None
    for _ in range(_TRIES):
        server.process.send_signal(signal.SIGSTOP)
        while _state(server.process.pid) != "T":  # noqa: ASYNC110
            await asyncio.sleep(0)
        if await asyncio.to_thread(rig.database.is_writing, server):
            return True
        server.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(rig.chance.uniform(0.0005, 0.01))
    return False


def _state(process: int) -> str:
    stat = Path(f"/proc/{process}/stat").read_text()
    return stat.rpartition(") ")[2][0]


async def _require_waiting(rig: Rig, other: Server) -> None:
    """Nothing is committed, and the server that could answer says so."""
    size = rig.database.committed(other)
    await until_ready([other], False)
    assert rig.database.committed(other) == size, "two servers wrote at once"
