"""The logs that are open in this process, and who may know of them."""

import asyncio
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from provlog.server.errors import TooManyLogsError
from provlog.server.guard import Guard, GuardRecord
from provlog.server.guard.lineage import Lineage
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.log_opening import open_log
from provlog.server.registry import create_log
from provlog.server.signing import KeyFiles
from provlog.server.storage.base import LogRecord, Storage, TokenRecord
from provlog.server.tokens import reaches
from provlog.server.tree import TileCache
from provlog.server.witnessing.following import Witnessing

logger = logging.getLogger(__name__)

MAX_LOGS: Final = 5_000
"""How many logs an instance holds: a list of all of them is one answer."""
TURN: Final = 32
"""How many logs are looked at before other work has its turn."""


class OpenLogs:
    """The open logs; `ConfigurationError` is raised where one cannot be opened."""

    def __init__(
        self,
        storage: Storage,
        keyring: Keyring,
        guard: Guard,
        lineage: Lineage,
        witnessing: Witnessing,
    ) -> None:
        self._storage = storage
        self._keyring = keyring
        self._guard = guard
        self._lineage = lineage
        self._witnessing = witnessing
        self._cache = TileCache()
        self._logs: dict[str, Log] = {}
        self._retired: dict[str, tuple[LogRecord, str]] = {}
        self._numbers: set[int] = set()
        self._opening = asyncio.Lock()

    async def open_all(self) -> None:
        """Open every log of the database."""
        await self._open(await self._storage.logs())

    def all(self) -> Sequence[Log]:
        """Return the logs that are open, by name."""
        return [self._logs[name] for name in sorted(self._logs)]

    def holds(self, numbers: Collection[int]) -> bool:
        """Tell whether all logs of these numbers are open."""
        return self._numbers.issuperset(numbers)

    async def find(self, name: str) -> Log | None:
        """Return a log by name; one that another process made is opened."""
        log = self._logs.get(name)
        if log is not None:
            return log
        async with self._opening:
            if name in self._logs:
                return self._logs[name]
            record = await self._storage.log(name)
            if record is not None:
                await self._open([record])
            return self._logs.get(name)

    def public(self, name: str) -> Log | None:
        """Return an open log that anybody may read; nothing is read for the others.

        One that another process made is open within a second.
        """
        log = self._logs.get(name)
        return log if log is not None and log.record.public else None

    async def reached(self, name: str, token: TokenRecord) -> Log | None:
        """Return the log of a name if a token reaches it.

        A log that the token does not reach takes the same steps as one that does not
        exist: neither is opened, nor read, unless the token reaches a log that another
        process has just made.
        """
        log = self._logs.get(name)
        if log is None and (token.logs is None or not self.holds(token.logs)):
            record = await self._storage.log(name)
            if record is not None and reaches(token, record.id):
                log = await self.find(name)
        return log if log is not None and reaches(token, log.id) else None

    def successor(self, name: str, token: TokenRecord | None) -> str | None:
        """Return which log goes on in place of a retired one, None for all others.

        And to whoever may not read the retired one.
        """
        if name in self._retired:
            record, successor = self._retired[name]
        elif name in self._logs and self._logs[name].retired is not None:
            record, successor = self._logs[name].record, self._logs[name].retired or ""
        else:
            return None
        may_know = record.public or (token is not None and reaches(token, record.id))
        return successor if may_know else None

    async def create(self, name: str, origin: str, *, public: bool, now: int) -> Log:
        """Create a log and open it; `TooManyLogsError` beyond `MAX_LOGS`."""
        async with self._opening:
            if len(self._logs) >= MAX_LOGS:
                raise TooManyLogsError(f"an instance holds {MAX_LOGS} logs at most")
            record = await create_log(
                self._storage,
                self._keyring,
                self._guard,
                name=name,
                origin=origin,
                public=public,
                now=now,
            )
            await self._open([record])
            return self._logs[name]

    async def _open(self, records: Sequence[LogRecord]) -> None:
        """Open logs, behind one barrier for all of them; not those that are retired."""
        # The guard first: another process may release more until the barrier.
        guarded = {each.id: await self._guard.inspect(each.origin) for each in records}
        records = [each for each in records if not self._is_retired(each, guarded)]
        if not records:
            return
        # Before the barrier: if another database passed it, that will be noticed.
        incarnation = self._storage.incarnation()
        heads = await self._storage.barriers([each.id for each in records])
        origins = [each.origin for each in records]
        await self._lineage.examine(self._storage.incarnation(), origins)
        # A log that is behind what its witnesses have seen signs nothing, not even what
        # its guard would take.
        await self._witnessing.examine(records, heads)
        for record in records:
            known = guarded[record.id]
            if known is None:
                logger.warning(
                    "log %s: no guard at %s; making one",
                    record.name,
                    self._guard.describe(record.origin),
                )
            log = await open_log(
                self._storage,
                record,
                self._key_files(record.name),
                self._guard,
                self._cache,
                os.urandom,
                None if known is None else known.head,
                heads[record.id],
                incarnation,
            )
            self._witnessing.attach(log)
            self._logs[record.name] = log
            self._numbers.add(record.id)
        # Recorded once every head was found to go on from what was released: a database
        # that lost some must not take the place of the one that has them.
        await self._lineage.open(self._storage.incarnation(), origins)

    def _key_files(self, name: str) -> KeyFiles:
        return KeyFiles(self._keyring.files(name), lambda: self._keyring.load(name))

    def _is_retired(
        self, record: LogRecord, guarded: Mapping[int, GuardRecord | None]
    ) -> bool:
        """Tell whether a log is retired, by the guard or by its keys; note which is.

        The keys of this machine are marked where only the guard says so: if it is lost
        one day, they still sign nothing.
        """
        known, marked = guarded[record.id], self._keyring.retired(record.name)
        successor = marked or (None if known is None else known.successor)
        if successor is None:
            return False
        if marked is None:
            try:
                self._keyring.retire(record.name, successor)
            except OSError as error:
                why = error.strerror
                logger.warning("log %s: the keys stay unmarked: %s", record.name, why)
        logger.info("log %s is retired for the log %s", record.name, successor)
        self._retired[record.name] = record, successor
        self._numbers.add(record.id)
        return True
