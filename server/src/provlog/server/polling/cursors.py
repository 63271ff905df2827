"""The cursor of one polled source: a time up to which everything is in the log."""

from provlog.merkle.encoding import format_time, parse_time
from provlog.merkle.errors import MalformedError
from provlog.server.clock import Clock
from provlog.server.storage.base import (
    Cursor,
    DamagedCursorError,
    Reads,
    Storage,
    Transaction,
)


class SourceCursor:
    """Reads and moves one source's cursor, which never goes back.

    With `replace`, a cursor that is damaged counts as none and is written over.
    """

    def __init__(
        self, storage: Storage, log: int, source: str, clock: Clock, *, replace: bool
    ) -> None:
        self._storage = storage
        self._log = log
        self._source = source
        self._clock = clock
        self._replace = replace

    async def read(self) -> int | None:
        """Return the time, in Unix milliseconds; None where nothing was polled yet.

        Raises `DamagedCursorError`.
        """
        return await self._time(self._storage)

    async def advance(self, time: int) -> int:
        """Durably move the cursor to a time unless it is there or beyond; return it.

        Two pollers may do so at once: each reads under the lock it writes under.
        """
        known = await self.read()
        if known is not None and known >= time:
            return known
        async with self._storage.transaction() as transaction:
            await transaction.lock(self._log)
            known = await self._time(transaction)
            if known is not None and known >= time:
                return known
            await self._write(transaction, time)
        return time

    async def finish(self, time: int | None) -> int | None:
        """Durably note the end of a round; return where the cursor stands then.

        It moves to `time` as `advance` would. Where it stays it is written all the
        same: a round that found nothing, with a provider that is quiet, would else look
        like a poller that is gone. Without a cursor and a time nothing is written.
        """
        async with self._storage.transaction() as transaction:
            await transaction.lock(self._log)
            known = await self._time(transaction)
            times = [each for each in (known, time) if each is not None]
            if times:
                await self._write(transaction, max(times))
        return max(times, default=None)

    async def _write(self, transaction: Transaction, time: int) -> None:
        cursor = Cursor(self._source, format_time(time), self._clock.now())
        await transaction.set_cursor(self._log, cursor)
        await transaction.commit()

    async def _time(self, reads: Reads) -> int | None:
        try:
            cursor = await reads.cursor(self._log, self._source)
            return None if cursor is None else parse_time(cursor.position)
        except (DamagedCursorError, MalformedError):
            if self._replace:
                return None
            raise DamagedCursorError(
                f"the cursor of {self._source} is damaged: run fsck, then say with"
                " --since from where to read again"
            ) from None
