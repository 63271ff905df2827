"""The witnesses of all logs: settings that come and go, and who asks.

Of the processes on one folder one asks for a log, the one that holds its lease; it is
taken over when that process ends. The others serve what the files hold.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from provlog.server.errors import ConfigurationError, describe
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.storage.base import Head, LogRecord, Storage
from provlog.server.witnessing.examining import Examiner
from provlog.server.witnessing.figures import WitnessFigures
from provlog.server.witnessing.folder import Lease
from provlog.server.witnessing.published import Publication, forget_published
from provlog.server.witnessing.rounds import Rounds
from provlog.server.witnessing.settings import WitnessSettings, read_witnesses
from provlog.server.witnessing.showing import StateKeeper, read_state, state_path

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
SETTINGS_SECONDS: Final = 1.0
MOST_AT_ONCE: Final = 16
"""Of how many logs the witnesses are asked for their sizes at a time."""


class _Asking:
    """The rounds of one log in this process, which holds its lease."""

    def __init__(
        self, rounds: Rounds, lease: Lease, task: "asyncio.Task[None]"
    ) -> None:
        self.rounds = rounds
        self.lease = lease
        self.task = task


@dataclass(frozen=True, slots=True)
class WitnessFolders:
    """Where the operator's files are, and what is published and known.

    Neither folder need be there.
    """

    settings: Path
    state: Path


class Witnessing:
    """The witnesses of every log of an instance; without folders no log has any.

    `logs` returns the logs that are open.
    """

    def __init__(
        self,
        storage: Storage,
        keyring: Keyring,
        guard: Guard,
        registry: CollectorRegistry,
        logs: Callable[[], Sequence[Log]],
        folders: WitnessFolders | None = None,
    ) -> None:
        self._storage = storage
        self._guard = guard
        self._examiner = (
            None
            if folders is None
            else Examiner(storage, keyring, guard, folders.state)
        )
        self._logs = logs
        self._folders = folders
        self._figures = WitnessFigures(registry, logs)
        self._known: dict[str, dict[str, int]] = {}
        # Those that have witnesses, by name: there may be thousands that have none.
        self._served: dict[str, Log] = {}
        self._asking: dict[str, _Asking] = {}
        self._stamp: object = None
        self._troubles: dict[str, str] = {}
        # Why settings could not be read, by log: they are tried again each second.
        self._unread: dict[str, str] = {}

    def settings_of(self, log: str, origin: str) -> WitnessSettings | None:
        """Return the settings of a log's witnesses, None where it has none.

        Raises `ConfigurationError` for settings that are not right.
        """
        if self._folders is None:
            return None
        return read_witnesses(self._folders.settings, log, origin)

    async def examine(
        self, records: Sequence[LogRecord], heads: Mapping[int, Head]
    ) -> None:
        """Ask the logs' witnesses for the sizes they know, before the logs sign.

        `heads` are those behind a barrier, by the log's number. Raises `ForkError`
        where a log is behind what was released, and `ConfigurationError`. Where another
        process asks already, the log was examined then, and is judged by that one.
        """
        room = asyncio.Semaphore(MOST_AT_ONCE)

        async def one(record: LogRecord, settings: WitnessSettings) -> None:
            async with room:
                await self._inquire(record, settings, heads[record.id])

        work = []
        for record in records:
            settings = self.settings_of(record.name, record.origin)
            if settings is not None and not self._lease(record.name).is_taken():
                work.append(one(record, settings))
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def examine_again(self, log: Log, head: Head) -> None:
        """Do what `examine` does for a log that is open; another database answers."""
        if log.published is not None:
            await self._inquire(log.record, log.published.settings, head)

    async def _inquire(
        self, record: LogRecord, settings: WitnessSettings, head: Head
    ) -> None:
        if self._examiner is not None:
            known = await self._examiner.examine(record, settings, head)
            self._known[record.name] = dict(known)

    def attach(self, log: Log) -> None:
        """Have a log that was opened served by its settings.

        Raises `ConfigurationError`.
        """
        settings = self.settings_of(log.record.name, log.origin)
        if settings is not None:
            self._publish(log, settings, None)
        elif self._folders is not None:
            self._forget(log.record.name)

    def _publish(
        self, log: Log, settings: WitnessSettings, shown: ReleasedHead | None
    ) -> None:
        log.published = Publication(log, self._folder(), settings, shown)
        self._served[log.record.name] = log

    def _forget(self, name: str) -> None:
        try:
            forget_published(self._folder(), name)
        except OSError as error:
            self._tell(name, error)

    async def follow(self) -> None:
        """Ask, and look what others published; runs until it is cancelled."""
        looked = -SETTINGS_SECONDS
        try:
            while True:
                if time.monotonic() - looked >= SETTINGS_SECONDS:
                    looked = time.monotonic()
                    try:
                        await self._look_at_settings()
                    except OSError as error:
                        self._tell_unread("", error)
                for log in [*self._served.values()]:
                    await self._attend(log)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for name in [*self._asking]:
                await self._end(name)

    async def _attend(self, log: Log) -> None:
        """See that somebody asks for a log; what fails is tried again later."""
        name = log.record.name
        asking = self._asking.get(name)
        if asking is not None and asking.task.done():
            await self._end(name)
            asking = None
        if log.published is None or asking is not None:
            return
        try:
            if log.halted is None and log.retired is None and self._start(log):
                return
            await log.published.look()
        except Exception as error:
            self._tell(name, error)
        else:
            self._troubles.pop(name, None)

    def _start(self, log: Log) -> bool:
        """Begin to ask for a log, unless another process does; tell whether we do."""
        name, publication = log.record.name, log.published
        lease = self._lease(name)
        if publication is None or not lease.take():
            return False
        path = state_path(self._folder(), name)
        kept = read_state(path, log.origin)
        known = self._known.pop(name, None) or ({} if kept is None else kept.sizes())
        storage, guard = self._storage, self._guard
        rounds = Rounds(log, storage, guard, publication, self._figures, known)
        self._figures.asking[name] = rounds.witnesses, lambda: rounds.waiting
        keeper = StateKeeper(path, log.origin, rounds.witnesses)
        task = asyncio.create_task(rounds.run(keeper.keep))
        self._asking[name] = _Asking(rounds, lease, task)
        return True

    async def _end(self, name: str) -> None:
        """Stop asking for a log, and let another process do it."""
        asking = self._asking.pop(name)
        self._figures.asking.pop(name, None)
        asking.task.cancel()
        [error] = await asyncio.gather(asking.task, return_exceptions=True)
        if isinstance(error, Exception):
            self._tell(name, error)
        asking.lease.give_back()

    async def _look_at_settings(self) -> None:
        """Take up settings that were made, changed or removed."""
        stamp = self._stamp_settings()
        changed, self._stamp = stamp != self._stamp, stamp
        self._unread.pop("", None)
        if not changed and not self._unread:
            return
        for log in self._logs():
            if changed or log.record.name in self._unread:
                await self._take_up(log)

    async def _take_up(self, log: Log) -> None:
        name = log.record.name
        try:
            settings = self.settings_of(name, log.origin)
        except (ConfigurationError, OSError) as error:
            # What was read last stays in force: nobody loses their quorum by a typo.
            self._tell_unread(name, error)
            return
        self._unread.pop(name, None)
        if settings == (None if log.published is None else log.published.settings):
            return
        if name in self._asking:
            await self._end(name)
        if settings is None:
            log.published = None
            self._served.pop(name, None)
            self._forget(name)
        elif log.published is None:
            self._publish(log, settings, log.released)
        else:
            log.published.follow(settings)
        how = (
            "no witnesses any more" if settings is None else "new settings of witnesses"
        )
        logger.info("log %s has %s", name, how)

    def _stamp_settings(self) -> object:
        """Return what changes when a file of the settings does."""
        if self._folders is None or not self._folders.settings.is_dir():
            return ()
        found = []
        for path in sorted(self._folders.settings.iterdir()):
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(found)

    def _tell(self, name: str, error: Exception) -> None:
        """Log what fails, unless it failed so before."""
        known = isinstance(error, (ConfigurationError, OSError))
        why = str(error) if known else describe(error)
        if self._troubles.get(name) != why:
            logger.error("witnesses of log %s: %s", name, why)
        self._troubles[name] = why

    def _tell_unread(self, name: str, error: Exception) -> None:
        """Log why settings cannot be read, of one log or of all, unless it was so."""
        if self._unread.get(name) != str(error):
            logger.error("witnesses of log %s: %s", name or "any name", error)
        self._unread[name] = str(error)

    def _lease(self, name: str) -> Lease:
        return Lease(self._folder() / f"{name}.lock")

    def _folder(self) -> Path:
        if self._folders is None:
            raise ConfigurationError("there is no folder for what witnesses cosigned")
        return self._folders.state
