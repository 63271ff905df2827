"""The ways out, none of which forks a log.

*Accepting a database* records the one that answers, after every log was found to go on
from what was released. *A successor* is another log, with keys of its own, whose entry
0 names the old one and its newest released head; the old one is never signed again.
"""

from dataclasses import dataclass

from provlog.merkle.entries import parse_entry
from provlog.server.errors import ConfigurationError, TooManyLogsError
from provlog.server.guard import ReleasedHead
from provlog.server.open_logs import MAX_LOGS
from provlog.server.recovery.diagnosis import Diagnosis, Examiner, Verdict
from provlog.server.registry import (
    Previous,
    create_log,
    require_log_name,
    require_origin,
    require_unreleased,
)
from provlog.server.storage.base import LogRecord

_ACCEPTABLE = (Verdict.SOUND, Verdict.UNACCEPTED, Verdict.RETIRED)
_SUCCEEDED = (Verdict.LOST, Verdict.UNACCEPTED, Verdict.RETIRED)


async def accept_database(examiner: Examiner) -> list[str]:
    """Record the database that answers for every log; return the logs' names.

    Refused with `ConfigurationError`, and nothing changed, where one of them does not
    go on from what was released or where that cannot be told.
    """
    if examiner.records is None:
        raise ConfigurationError(
            "the guard is shared by all servers and decides by itself: there is no"
            " database to accept"
        )
    diagnoses = await examiner.every()
    for found in diagnoses:
        if found.verdict not in _ACCEPTABLE:
            raise ConfigurationError(
                f"log {found.record.name}: {found.reason}; nothing was changed"
            )
    accepted = [each for each in diagnoses if each.verdict is not Verdict.RETIRED]
    for each in accepted:
        # If we crash in between, the next start still refuses the logs that are left.
        examiner.records.settle(each.record.origin, examiner.found())
    return [each.record.name for each in accepted]


@dataclass(frozen=True, slots=True)
class Succession:
    """A log that goes on in the place of another one."""

    old: LogRecord
    new: LogRecord
    previous: ReleasedHead
    sources: int


class Successor:
    """Makes the log `name` with `origin` the successor of a log.

    Done in three steps, each durable before the next: the old log is retired in the
    guard, the new one is made, the old keys are marked. If we crash after the first,
    the old log is not served, and not signed, by any server that shares the guard; the
    same call goes on from there. If we crash after the second, that is so too, and the
    new log is served.
    """

    def __init__(self, examiner: Examiner, name: str, origin: str) -> None:
        self._examiner = examiner
        self._storage = examiner.storage
        self._name = name
        self._origin = origin

    async def make(self, old: LogRecord, now: int) -> Succession:
        """Make it, or finish making it; `ConfigurationError` where that cannot be.

        Everything that can be in the way is looked for before anything is changed.
        """
        found = await self._examiner.one(old)
        released = self._require_succeeded(found)
        made = await self._storage.log(self._name)
        if made is None:
            await self._require_makeable(old)
        else:
            await self._require_made_for(made, Previous(old.origin, released))
        guard = self._examiner.guard
        if not await guard.retire(old.origin, released, self._name):
            raise ConfigurationError(
                "the guard has changed meanwhile: is a server running? Look again"
            )
        sources = await self._storage.sources(old.id)
        if made is None:
            made = await create_log(
                self._storage,
                self._examiner.keyring,
                guard,
                name=self._name,
                origin=self._origin,
                public=old.public,
                now=now,
                sources=tuple(sources),
                previous=Previous(old.origin, released),
            )
        self._examiner.keyring.retire(old.name, self._name)
        return Succession(old, made, released, len(sources))

    def _require_succeeded(self, found: Diagnosis) -> ReleasedHead:
        """Return the old log's newest released head; refuse what needs no successor."""
        name = found.record.name
        if found.verdict not in _SUCCEEDED:
            raise ConfigurationError(f"log {name}: {found.reason}; nothing was changed")
        if found.released is None:
            raise ConfigurationError(
                f"log {name}: the guard that knew its newest released head is gone"
            )
        marked = self._examiner.keyring.retired(name)
        successor = found.released.successor or marked
        if successor not in (None, self._name):
            raise ConfigurationError(
                f"log {name} is retired already; its successor is the log {successor}"
            )
        return found.released.head

    async def _require_makeable(self, old: LogRecord) -> None:
        """Refuse names that cannot be, before the old log is retired for them."""
        require_log_name(self._name)
        require_origin(self._origin)
        if self._origin == old.origin:
            raise ConfigurationError(
                "a successor needs an origin of its own: under the old one it would"
                " contradict what was released"
            )
        logs = await self._storage.logs()
        if self._origin in {log.origin for log in logs}:
            raise ConfigurationError(f"there is a log of origin {self._origin}")
        if len(logs) >= MAX_LOGS:
            raise TooManyLogsError(f"an instance holds {MAX_LOGS} logs at most")
        await require_unreleased(self._examiner.guard, self._origin)
        self._examiner.keyring.require_free(self._name, self._origin)

    async def _require_made_for(self, made: LogRecord, previous: Previous) -> None:
        """Refuse a log of that name that was not made as this successor."""
        [leaf] = await self._storage.leaves(made.id, 0, 1)
        named = parse_entry(leaf).body.get("previous")
        if made.origin != self._origin or named != previous.json():
            raise ConfigurationError(
                f"there is a log {self._name} already, and it succeeds another one, or"
                " none"
            )
