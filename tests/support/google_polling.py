"""A poller of a fake Google on a real log, asked to wait for nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.delivery import Delivered, deliver
from provlog.server.log import Log
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.google import KIND
from provlog.server.polling.kinds import make_feed
from provlog.server.polling.poller import Poller, Settings, Taken
from provlog.server.service import Service
from provlog.server.source_settings import read_source
from provlog.server.storage.base import SourceRecord
from support.fake_google import FakeGoogle, write_settings
from support.google import SOURCE
from support.polling import INTERVAL, MINUTE, Impatient, originals_of

HOUR = 60 * MINUTE
RECORD = SourceRecord(SOURCE, "acme", "google")


@dataclass
class Polled:
    """A log and the Google it is filled from; `table` replaces settings of it."""

    service: Service
    log: Log
    google: FakeGoogle
    folder: Path
    table: dict[str, object] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def poll(
        self,
        *,
        rounds: int = 0,
        between: Callable[[int], None] = lambda _: None,
        overlap: int = 10 * MINUTE,
        first: int = 20 * HOUR,
    ) -> list[Taken]:
        """Poll once as a new process, or for some rounds; return what was told.

        Without a cursor it begins `first` milliseconds ago.
        """
        path = write_settings(self.folder, self.google, **self.table)
        feed = make_feed(KIND, read_source(path))
        stop = Impatient(rounds, between)
        taken: list[Taken] = []
        poller = Poller(
            feed,
            self._deliver,
            self._cursor(),
            Settings(
                self.service.clock.now() - first, INTERVAL, overlap, once=not rounds
            ),
            self.service.clock.now,
            stop,
            taken.append,
        )
        try:
            await poller.run()
        finally:
            await feed.close()
            self.waits = stop.waits
            self.taken += taken
        return taken

    async def _deliver(self, records: Sequence[bytes]) -> Delivered:
        ingest: dict[str, JsonValue] = {"poller": "google", "authentication": "poll"}
        return await deliver(self.service, self.log, RECORD, records, ingest)

    def _cursor(self) -> SourceCursor:
        storage, clock = self.service.storage, self.service.clock
        return SourceCursor(storage, self.log.id, SOURCE, clock, replace=False)

    async def cursor(self) -> int | None:
        """Return where the cursor stands."""
        stored = await self.service.storage.cursor(self.log.id, SOURCE)
        return None if stored is None else parse_time(stored.position)

    async def originals(self) -> list[bytes]:
        """Return every record that stands in the log, in order."""
        return await originals_of(self.service, self.log)

    async def require_all(self) -> None:
        """Every activity of Google's has one entry, byte for byte; nothing else has."""
        assert sorted(await self.originals()) == sorted(self.google.records)
