"""The service without HTTP: logs, sources and tokens over one database.

The server and the commands use it alike; several processes may do so at once.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Final, Self

from provlog.merkle.encoding import JsonValue
from provlog.server.batch import AlreadyRegistered, Appended, Unlogged
from provlog.server.clock import Clock
from provlog.server.errors import (
    ConfigurationError,
    MissingKeyError,
    ServiceError,
    describe,
)
from provlog.server.gauges import Gauges
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.guard.lineage import Lineage
from provlog.server.guard.opening import open_guard, open_lineage
from provlog.server.health.following import Health
from provlog.server.health.keeping import Keeper
from provlog.server.instance import Instance
from provlog.server.intake.connectors import configured
from provlog.server.intake.draft import AdminDraft
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.open_logs import TURN, OpenLogs
from provlog.server.queueing import QueueLimits
from provlog.server.rates import LogRates, RateLimiter
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.sequencer import Sequencer
from provlog.server.source_settings import SettingsBook, read_settings
from provlog.server.storage.base import (
    Head,
    LogRecord,
    SourceRecord,
    Storage,
    StorageError,
    TokenRecord,
)
from provlog.server.storage.opening import open_storage
from provlog.server.surroundings import Surroundings
from provlog.server.witnessing.following import WitnessFolders, Witnessing
from provlog.server.workplace import Workplace

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.9


class Service:
    """Every log of one database, open for reading and writing.

    Use as an async context manager: entering opens and checks each log (and raises
    `ConfigurationError` where one must not be served), leaving commits what was taken.
    """

    def __init__(
        self,
        storage: Storage,
        keyring: Keyring,
        guard: Guard,
        clock: Clock,
        limits: QueueLimits | None = None,
        lineage: Lineage | None = None,
        settings: SettingsBook | None = None,
        keeper: Keeper | None = None,
        witnesses: WitnessFolders | None = None,
    ) -> None:
        self.storage = storage
        self.settings = settings or SettingsBook()
        self.clock = clock
        self.metrics = Metrics()
        # Which databases the logs may go on in; by default any.
        self.lineage = lineage or Lineage(None)
        self.sequencer = Sequencer(
            storage, clock, self.metrics, limits, self.lineage.admit
        )
        self.rates = RateLimiter(time.monotonic)
        self.guard = guard
        self.log_rates = LogRates()
        # Which of several processes on one address this is.
        self.worker = 0
        self.workplace = Workplace()
        # Who cosigns the logs' checkpoints; asked where somebody follows it.
        self.witnessing = Witnessing(
            storage, keyring, guard, self.metrics.registry, self.open_logs, witnesses
        )
        self.sequencer.trust.examine = self.witnessing.examine_again
        self.logs = OpenLogs(storage, keyring, guard, self.lineage, self.witnessing)
        # How the sources of each log are; in the background where somebody follows.
        self.health = Health(storage, keeper)
        self.metrics.registry.register(Gauges(self))
        # When `tend` last was at work, on the monotonic clock; None before.
        self.tended: float | None = None
        # What re-reads the database meanwhile, where it was asked for.
        self.selfcheck: SelfCheck | None = None
        # What looks at disks, database and pollers, where somebody does.
        self.surroundings: Surroundings | None = None

    @classmethod
    def of(cls, instance: Instance, limits: QueueLimits | None = None) -> Self:
        """Return the service of an initialised folder."""
        return cls(
            open_storage(instance),
            Keyring(instance.keys),
            open_guard(instance),
            Clock(),
            limits,
            open_lineage(instance),
            read_settings(instance.connect),
            Keeper(instance.health),
            WitnessFolders(instance.witnesses, instance.witnessed),
        )

    async def __aenter__(self) -> Self:
        try:
            await self.storage.open()
            await self.guard.prepare()
            await self.logs.open_all()
            await self._check_settings()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.sequencer.close()
            await self.guard.flush()
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            await self.guard.close()
        finally:
            await self.storage.close()

    async def _check_settings(self) -> None:
        """Raise `ConfigurationError` for settings that do not fit their source."""
        for (name, uri), settings in self.settings.sources.items():
            log = await self.log(name)
            source = None if log is None else await self.storage.source(log.id, uri)
            if source is not None and source.connector is not None:
                configured(source.connector, settings)

    async def log(self, name: str) -> Log | None:
        """Return a log by name; one that another process made is opened."""
        return await self.logs.find(name)

    def open_logs(self) -> Sequence[Log]:
        """Return the logs that are open, by name."""
        return self.logs.all()

    async def create_log(self, name: str, origin: str, *, public: bool) -> Log:
        """Create a log and open it; `ConfigurationError` where that cannot be.

        Its first entry is dated like any other: `ClockError` without a usable clock.
        """
        now = self.clock.date(0)
        return await self.logs.create(name, origin, public=public, now=now)

    async def source(self, log: Log, uri: str, by: str) -> SourceRecord:
        """Return a source, registering it on its first use with its own name as `ns`.

        `by` names the token or command that acts, for the entry that records it.
        """
        known = await self.storage.source(log.id, uri)
        if known is not None:
            return known
        await self.register_source(log, SourceRecord(uri, uri, None), by)
        registered = await self.storage.source(log.id, uri)
        if registered is None:
            raise StorageError("a source that was registered is not there")
        return registered

    async def register_source(self, log: Log, source: SourceRecord, by: str) -> bool:
        """Register a source with an admin entry; False where it is registered."""
        members: dict[str, JsonValue] = {
            "by": {"id": by},
            "source": {
                "uri": source.uri,
                "ns": source.ns,
                "connector": source.connector,
            },
        }
        draft = log.drafter.admin("source.create", members)
        committed = await self.sequencer.submit(
            log, [replace(draft, sources=(source,))], by
        )
        return not isinstance(committed.outcomes[0], AlreadyRegistered)

    async def store_token(
        self, log: Log, token: TokenRecord, by: str, also: Sequence[Log] = ()
    ) -> int:
        """Store a token with an admin entry in `log`; return the entry's index.

        `also` are further logs the token reaches; each gets its entry before the token
        can be used.
        """
        members: dict[str, JsonValue] = {
            "by": {"id": by},
            "token": {
                "id": token.id,
                "roles": [*sorted(token.roles)],
                "sources": [*token.sources],
                "note": token.note,
                "rate": token.rate,
                "expires": token.expires,
            },
        }
        log, *others = _going_on_first((log, *also))
        for other in others:
            # One that has ended takes no entries, and is read for ever all the same.
            if other.announced.frozen is None:
                made = other.drafter.admin("token.create", members)
                await self._record(other, made, by)
        draft = log.drafter.admin("token.create", members)
        return await self._append(log, replace(draft, tokens=(token,)), by)

    async def revoke_token(
        self, log: Log, token_id: str, by: str, also: Sequence[Log] = ()
    ) -> int | None:
        """Revoke a token with an admin entry in `log`; return the entry's index.

        The revocation comes first; `also`, the further logs it reached, note it after.
        Logs that have ended note nothing: where it reached no other, there is no entry.
        """
        members: dict[str, JsonValue] = {"by": {"id": by}, "token": {"id": token_id}}
        log, *others = _going_on_first((log, *also))
        draft = log.drafter.admin("token.revoke", members)
        revoked = {token_id: self.clock.now()}
        index = await self._record(log, replace(draft, revoked_tokens=revoked), by)
        for other in others:
            if other.announced.frozen is None:
                made = other.drafter.admin("token.revoke", members)
                await self._record(other, made, by)
        return index

    async def tend(self) -> None:
        """Once a second: flush the guard, and release what others left unreleased.

        A process that died between its commit and the guard leaves a durable head that
        nobody has seen; behind a barrier of our own it is released. Runs until it is
        cancelled; what fails for one log is logged, and the others go on.
        """
        while True:
            await asyncio.sleep(1)
            try:
                await self._tend_logs()
            except Exception as error:
                logger.error("the logs cannot be looked at: %s", _why(error))

    async def _tend_logs(self) -> None:
        """Open what another process made, and catch up with what it committed."""
        await self._tend_guard()
        logs = self.open_logs()
        heads = await self.storage.heads()
        for place, log in enumerate(logs):
            if place % TURN == 0:
                await asyncio.sleep(0)
            await self._one(log, self._look_after(log, heads.get(log.id)))
            await self._tend_guard()
        if not self.logs.holds(heads.keys()):
            for record in await self.storage.logs():
                await self._one(record, self.log(record.name))

    async def _tend_guard(self) -> None:
        """Flush the guard, also between two logs: of thousands a round takes longer.

        Nothing happens where it was done within this second.
        """
        now = time.monotonic()
        if self.tended is not None and now - self.tended < FLUSH_SECONDS:
            return
        self.tended = now
        try:
            await self.guard.flush()
        except Exception as error:
            logger.error("the guard cannot be flushed: %s", _why(error))

    async def _one(
        self, log: Log | LogRecord, work: Coroutine[None, None, object]
    ) -> None:
        """Do what concerns one log; if it fails, the others go on."""
        try:
            await work
        except Exception as error:
            logger.error("log %s: %s", log.origin, _why(error))

    async def _look_after(self, log: Log, head: Head | None) -> None:
        if head is None:
            raise StorageError("the log has no head row; run provlog-server fsck")
        log.signer.look()
        await self._catch_up(log, head)
        with contextlib.suppress(MissingKeyError):  # which is written down once
            log.signer.require(log.announced, log.released.size)
        await log.freshness.follow(self.storage, log.id, log.released.size)

    async def _catch_up(self, log: Log, head: Head) -> None:
        if log.halted is not None:
            return
        await self.sequencer.trust.ensure(log)
        if self.guard.shared and head.size <= log.released.size:
            # A call for each idle log in each second would be many: whoever asks for a
            # checkpoint looks at the guard.
            return
        released = await log.refresh()
        if head.size <= released.size:
            return
        # Most often a commit of ours that is about to be released: the lock waits for
        # its turn behind it.
        async with self.storage.transaction() as transaction:
            head = await self.sequencer.trust.lock(log, transaction)
            incarnation = transaction.incarnation
            edge = await log.edge_at(head, transaction)
            await transaction.mark(log.id)
            await transaction.commit()
        await log.release(ReleasedHead(head.size, head.root), incarnation)
        log.edge = edge

    async def _record(self, log: Log, draft: AdminDraft, by: str) -> int | None:
        """Make an admin entry; None where the log has ended and the change was made."""
        committed = await self.sequencer.submit(log, [draft], by)
        outcome = committed.outcomes[0]
        if isinstance(outcome, Unlogged):
            return None
        if not isinstance(outcome, Appended):
            raise ConfigurationError("the change was made already")
        return outcome.index

    async def _append(self, log: Log, draft: AdminDraft, by: str) -> int:
        index = await self._record(log, draft, by)
        if index is None:
            raise ConfigurationError("the log has ended")
        return index


def _going_on_first(logs: Sequence[Log]) -> list[Log]:
    """Return logs, those that have ended last, otherwise in their order."""
    return sorted(logs, key=lambda log: log.announced.frozen is not None)


def _why(error: Exception) -> str:
    known = isinstance(error, (ServiceError, StorageError, OSError))
    return str(error) if known else describe(error)
