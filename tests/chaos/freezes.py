"""A server that stands still inside a commit, beside one that would go on."""

import asyncio
import signal
from pathlib import Path

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from chaos.waiting import require_writing, until, until_ready
from support.servers import Server

_TRIES = 400
_INSIDE = 0.75
"""How many of the freezes have to come inside a commit; the others come anywhere."""


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
            inside = rig.chance.random() < _INSIDE
            try:
                if inside:
                    rig.tally.fault(await _freeze_inside(rig, frozen))
                else:
                    _freeze(frozen)
                    rig.tally.fault(await _stands_still(frozen))
                    await asyncio.sleep(rig.chance.uniform(0.1, 1))
                if inside and not rig.engine.goes_on:
                    await _require_waiting(rig, other)
                elif inside:
                    await require_writing(rig)
            finally:
                assert frozen.process is not None
                frozen.process.send_signal(signal.SIGCONT)
            await require_writing(rig)
        await until_ready(rig.servers, True)


async def _freeze_inside(rig: Rig, server: Server) -> bool:
    """Stop a server when it holds the lock; return whether it was caught there."""
    assert server.process is not None
    for _ in range(_TRIES):
        _freeze(server)
        await _stands_still(server)
        if await asyncio.to_thread(rig.database.is_writing, server):
            return True
        server.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(rig.chance.uniform(0.0005, 0.01))
    return False


def _freeze(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)


async def _stands_still(server: Server) -> bool:
    """Return when the kernel says that a server was stopped."""
    assert server.process is not None
    stat = Path(f"/proc/{server.process.pid}/stat")
    await until(lambda: stat.read_text().rpartition(") ")[2].startswith("T"))
    return True


async def _require_waiting(rig: Rig, other: Server) -> None:
    """Nothing is committed, and the server that could answer says so."""
    size = rig.database.committed(other)
    await until_ready([other], False)
    assert rig.database.committed(other) == size, "two servers wrote at once"
