"""One log under attack: its servers, the load, who watches, and the judgement.

The rig knows no fault. A campaign breaks something in a round; then `judge` asks what
has to hold whatever was broken.
"""

import asyncio
import json
import random
import secrets
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from chaos.engines import Database, Engine
from chaos.tallies import Tally
from chaos.watchmen import Watchman
from support.crowds import SOURCE, TIMEOUT, Crowd
from support.observers import ForkError, LostError
from support.servers import Server, run_server_command

_BELOW_EPHEMERAL = (15_000, 32_000)
_STEPS_PROVED = 5
_OLD_CONFIRMED = 100
_RELIEVED = 0.25


class Rig:
    """An instance that is attacked, with every receipt it ever gave.

    `servers` are the processes that serve it, on ports that stay theirs over all
    restarts; a campaign may end, freeze and start them as it likes.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        database: Database,
        engine: Engine,
        chance: random.Random,
        tally: Tally,
    ) -> None:
        self.servers = list(servers)
        self.database = database
        self.engine = engine
        self.chance = chance
        self.tally = tally
        self.folder = servers[0].folder.parent
        # What a campaign sets up for as long as this rig lives.
        self.stack = AsyncExitStack()
        self.crowd = Crowd(*servers)
        self._confirmed: set[str] = set()
        self._watchman: Watchman | None = None

    @property
    def server(self) -> Server:
        """The first server, where one is enough."""
        return self.servers[0]

    async def start(self) -> None:
        """Start those servers that do not run; watch from the first start on."""
        for server in self.servers:
            if server.process is None:
                server.wrapper = ()
                await asyncio.to_thread(server.start)
        if self._watchman is None:
            self._watchman = Watchman(self.server, self.folder / "monitor")

    async def kill(self, server: Server) -> bool:
        """Kill a server; return whether it was alive until then."""
        code, _ = await asyncio.to_thread(server.stop, signal.SIGKILL)
        return code == -signal.SIGKILL

    async def judge(self, *, settle: bool | None = None) -> None:
        """Raise where anything is lost, forked or damaged; all servers run afterwards.

        Settling sends again what nobody acknowledged, and then each event that was ever
        sent has to be in the log once. By default chance decides: much of what was lost
        is to be sent again under load, or never.
        """
        crowd, observer = self.crowd, self.crowd.observer
        crowd.judge()
        before = max(observer.checkpoints, default=0)
        await asyncio.to_thread(self._fsck)
        await self.start()
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            for server in self.servers:
                await observer.follow(session, server)
            await observer.require_chain(session, self.chance, _STEPS_PROVED, before)
            await self._confirm(session)
            if self.chance.random() < 0.3 if settle is None else settle:
                self.tally.notes["logged without an answer"] += await crowd.settle(
                    session
                )
                await observer.follow(session)
                self._require_each_once()
        if self._watchman is not None:
            self._watchman.require_calm()
            # One that found nobody for long looks ever less often.
            if self.chance.random() < _RELIEVED:
                await asyncio.to_thread(self._watchman.relieve)

    async def finish(self) -> None:
        """Download everything again after the last judgement, and stop in order."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            await self.crowd.observer.download_again(session)
        if self._watchman is not None:
            watchman, self._watchman = self._watchman, None
            seen = await asyncio.to_thread(watchman.dismiss)
            self.tally.notes["growths the monitor saw"] += seen
        for server in self.servers:
            code, _ = await asyncio.to_thread(server.stop)
            assert code == 0, f"stopped with {code}"
        await asyncio.to_thread(self._fsck)

    async def _confirm(self, session: aiohttp.ClientSession) -> None:
        acknowledged = self.crowd.observer.acknowledged
        fresh = [each for each in acknowledged if each not in self._confirmed]
        old = min(_OLD_CONFIRMED, len(self._confirmed))
        again = self.chance.sample(sorted(self._confirmed), old)
        await self.crowd.confirm(session, fresh + again)
        self._confirmed.update(fresh)

    def _require_each_once(self) -> None:
        observer = self.crowd.observer
        events = sum(
            entry.kind == "event" and entry.body["source"] == SOURCE
            for entry in observer.entries
        )
        assert events == len(self.crowd.sent) == len(observer.acknowledged), (
            f"{events} events in the log, {len(self.crowd.sent)} sent, "
            f"{len(observer.acknowledged)} acknowledged"
        )

    def _fsck(self) -> None:
        arguments = ("fsck", "--dir", str(self.server.folder), "--json")
        done = run_server_command(*arguments, variables=self.database.variables)
        assert done.returncode == 0, f"fsck: {done.stdout[-1500:]}{done.stderr}"
        assert json.loads(done.stdout)["clean"], done.stdout

    def close(self) -> None:
        """End whatever still runs, and count what the crowd had."""
        for server in self.servers:
            if server.process is not None:
                server.process.send_signal(signal.SIGCONT)
            server.end()
        if self._watchman is not None:
            self._watchman.kill()
        self.tally.acknowledged += len(self.crowd.observer.acknowledged)
        self.tally.resent += self.crowd.resent


@asynccontextmanager
async def rig_of(
    engine: Engine, folder: Path, count: int, chance: random.Random, tally: Tally
) -> AsyncIterator[Rig]:
    """Yield a rig of a new instance with so many servers.

    What goes wrong inside is counted, not raised; the folder's place stands in the
    failure.
    """
    async with AsyncExitStack() as stack:
        # In threads: other campaigns go on meanwhile, and have their time-outs.
        made = engine.database(folder)
        database = await asyncio.to_thread(stack.enter_context, made)
        options = ("--dev", "--source", "*", *database.options)
        first = await asyncio.to_thread(
            Server.init, folder, *options, variables=database.variables
        )
        servers = [first, *(first.another() for _ in range(count - 1))]
        for server in servers:
            server.listen = f"127.0.0.1:{_free_port()}"
        rig = Rig(servers, database, engine, chance, tally)
        await stack.enter_async_context(rig.stack)
        try:
            yield rig
        except LostError as error:
            tally.lost += len(error.ids)
            tally.failures.append(f"{error} ({folder})")
        except ForkError as error:
            tally.forks += 1
            tally.failures.append(f"{error} ({folder})")
        except Exception as error:
            text = f"{type(error).__name__}: {error} {_where(error)}"
            tally.failures.append(f"round {tally.rounds}: {text} ({folder})")
        finally:
            rig.close()


def _where(error: Exception) -> str:
    """Return the functions that an error came through."""
    return " > ".join(each.name for each in traceback.extract_tb(error.__traceback__))


def _free_port() -> int:
    """Return a port that nobody gets by asking for any."""
    while True:
        port = secrets.SystemRandom().randrange(*_BELOW_EPHEMERAL)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
