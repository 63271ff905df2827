"""The sources that were written to lately, remembered: they never change."""

import asyncio
from collections.abc import Iterable

from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord, StorageError

MAX_REMEMBERED = 100_000


class SourceCache:
    """The registered sources of each log."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[tuple[int, str], SourceRecord] = {}

    async def find(self, log: Log, uri: str) -> SourceRecord | None:
        """Return a source, None if it is not registered; nothing is changed."""
        known = self._known.get((log.id, uri))
        if known is None:
            known = await self._service.storage.source(log.id, uri)
            if known is not None:
                self._remember(log, known)
        return known

    async def label(self, log: Log, uri: str | None) -> str:
        """Return a source's URI if it is registered, else nothing: for the metrics."""
        try:
            source = await self.find(log, uri) if uri else None
        except StorageError:
            return ""
        return "" if source is None else source.uri

    async def register(
        self, log: Log, uris: Iterable[str], by: str
    ) -> dict[str, SourceRecord]:
        """Return several sources by URI; new ones register, in one commit.

        `by` is the id of the token that acts. What somebody else registered in the
        meantime stands.
        """
        found = await asyncio.gather(
            *(self._service.source(log, uri, by) for uri in sorted(set(uris)))
        )
        for source in found:
            self._remember(log, source)
        return {source.uri: source for source in found}

    def _remember(self, log: Log, source: SourceRecord) -> None:
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[log.id, source.uri] = source
