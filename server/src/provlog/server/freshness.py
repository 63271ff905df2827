"""When the newest event of each source was recorded, so that silence can be seen.

What this process appends is noted as it is released. What stood in the log before, and
what other processes append, is read from the leaves: both in bounds, so that it costs
a second's work little on a log of any size.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from provlog.merkle.encoding import parse_time
from provlog.server.storage.base import Reads

MAX_SOURCES: Final = 1_000
"""How many sources of a log are followed; further ones are not."""

MAX_LEAVES: Final = 1_024
"""How many of the newest leaves are looked through at a time."""

_STRIDE: Final = 128

# Of a leaf only this is needed. Strings in leaves hold no quotation marks, and members
# that could be named like these have no number for a value.
_RECORDED = re.compile(
    rb'"n":\d+,"recorded":"([^"]{24})",(?:"seq":\d+,)?(?:"source":"([^"]+)")?'
)


class Freshness:
    """The newest events of one log by source, in Unix milliseconds.

    `newest` holds registered sources only: others have no entries. `recorded` is the
    time of the newest entry of any kind, 0 before one was seen.
    """

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.recorded = 0
        self._size: int | None = None
        self._unread: int | None = None

    def appended(
        self, before: int, size: int, recorded: int, sources: Iterable[str]
    ) -> None:
        """Note what this process added to a log of `before` entries, now `size`."""
        for source in sources:
            self._note(source, recorded)
        self.recorded = max(self.recorded, recorded)
        if self._size is not None:
            self._reach(before)
            self._size = max(self._size, size)

    async def follow(self, reads: Reads, log: int, size: int) -> None:
        """Look at what is in a log of `size` entries and was not noted.

        The first time these are its newest entries: a source that has none among them
        counts as last heard of when the oldest of them was recorded, because silence
        must not be hidden by a restart. Later it is what other processes added. Of more
        than `MAX_LEAVES` the newest are read.
        """
        if self._size is None:
            await self._begin(reads, log, size)
            return
        self._reach(size)
        if self._unread is None:
            return
        unread, self._unread = self._unread, None
        end = self._size
        try:
            for start in range(max(unread, end - MAX_LEAVES), end, _STRIDE):
                await self._read(reads, log, start, min(start + _STRIDE, end))
        except BaseException:
            self._unread = unread
            raise

    def _reach(self, size: int) -> None:
        """Remember that entries up to `size` exist that somebody else made."""
        if self._size is not None and size > self._size:
            if self._unread is None:
                self._unread = self._size
            self._size = size

    async def _begin(self, reads: Reads, log: int, size: int) -> None:
        sources = [source.uri for source in await reads.sources(log)]
        missing = set(sources[:MAX_SOURCES])
        start = size
        while start > max(0, size - MAX_LEAVES) and (missing or start == size):
            end, start = start, max(0, start - _STRIDE)
            oldest = await self._read(reads, log, start, end)
            missing -= self.newest.keys()
        if start > 0:
            for uri in missing:
                self._note(uri, oldest)
        # What was appended meanwhile is read again at most.
        self._size = size

    async def _read(self, reads: Reads, log: int, start: int, end: int) -> int:
        """Note what leaves say; return when the first of them was recorded.

        Reads do not wait, so others have their turn before this one.
        """
        await asyncio.sleep(0)
        first = 0
        for leaf in await reads.leaves(log, start, end):
            found = _RECORDED.search(leaf)
            if found is None:  # of a version that this code does not know
                continue
            recorded = parse_time(found[1].decode("ascii"))
            first = first or recorded
            self.recorded = max(self.recorded, recorded)
            if found[2] is not None:
                self._note(found[2].decode("ascii"), recorded)
        return first

    def _note(self, source: str, recorded: int) -> None:
        known = self.newest.get(source)
        if known is None and len(self.newest) >= MAX_SOURCES:
            return
        self.newest[source] = max(known or 0, recorded)
