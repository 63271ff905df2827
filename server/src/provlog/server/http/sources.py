"""The namespaces of sources, remembered: they never change."""

import asyncio
from collections.abc import Iterable

from provlog.server.log import Log
from provlog.server.service import Service

MAX_REMEMBERED = 100_000


class SourceCache:
    """The namespace of each source that was written to lately, by log."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[tuple[int, str], str] = {}

    async def namespace(self, log: Log, uri: str, by: str) -> str:
        """Return a source's namespace, registering the source on its first use.

        `by` is the id of the token that acts.
        """
        key = (log.id, uri)
        ns = self._known.get(key)
        if ns is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            ns = (await self._service.source(log, uri, by)).ns
            self._known[key] = ns
        return ns

    async def namespaces(
        self, log: Log, uris: Iterable[str], by: str
    ) -> dict[str, str]:
        """Return the namespaces of several sources; new ones register together."""
        distinct = sorted(set(uris))
        found = await asyncio.gather(
            *(self.namespace(log, uri, by) for uri in distinct)
        )
        return dict(zip(distinct, found, strict=True))
