"""A primary and its standby, and what becomes of the two."""

import asyncio
from types import TracebackType
from typing import Self

from support.postgres import Cluster, dsn
from support.standby import Standby


class Pair:
    """A primary that runs, and a standby that follows it; removed at the end.

    If `synchronous`, what the primary acknowledges is on the standby.
    """

    def __init__(self, *, synchronous: bool) -> None:
        self.primary = Cluster.create().start()
        try:
            self.standby = Standby.of(self.primary, synchronous=synchronous)
        except BaseException:
            self.primary.remove()
            raise

    @property
    def url(self) -> str:
        """Where both are, the first primary first."""
        return dsn([self.primary, self.standby])

    async def fail_over(self) -> None:
        """Kill the primary at once and promote the standby."""
        await asyncio.to_thread(self.primary.kill)
        await asyncio.to_thread(self.standby.promote)

    async def lose_track(self) -> None:
        """Let the standby follow as far as it goes now, and no further."""
        await asyncio.to_thread(self.standby.wait_caught_up)
        await asyncio.to_thread(self.standby.cut_off)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.standby.remove()
        self.primary.remove()
