"""A poller of a fake Graph on a real log, asked to wait for nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.delivery import Delivered, deliver
from provlog.server.log import Log
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.entra import EntraFeed, EntraPoll
from provlog.server.polling.poller import Poller, Settings, Taken
from provlog.server.polling.stopping import Stop
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from support.entra import SOURCE
from support.fake_graph import CLIENT, DAY, SECRET, TENANT, FakeGraph
from support.polling import INTERVAL, MINUTE, Impatient, originals_of

RECORD = SourceRecord(SOURCE, "acme", "entra")


@dataclass
class Polled:
    """A log and the Graph it is filled from. `secret` is what the poller presents."""

    service: Service
    log: Log
    graph: FakeGraph
    secret: str = SECRET
    seconds: float = 5.0
    keeps_days: int = 30
    taken: list[Taken] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def poll(
        self,
        *,
        rounds: int = 0,
        between: Callable[[int], None] = lambda _: None,
        first: int | None = None,
        overlap: int = 10 * MINUTE,
        stop: Stop | None = None,
    ) -> list[Taken]:
        """Poll once as a new process, or for some rounds; return what was told."""
        feed = EntraFeed(self._settings(), lambda: self.secret, self.seconds, self.now)
        chosen = stop or Impatient(rounds, between)
        taken: list[Taken] = []
        begin = self.now() - 7 * DAY if first is None else first
        poller = Poller(
            feed,
            self._deliver,
            self._cursor(),
            Settings(begin, INTERVAL, overlap, once=not rounds),
            self.now,
            chosen,
            taken.append,
        )
        try:
            await poller.run()
        finally:
            await feed.close()
            self.waits = chosen.waits if isinstance(chosen, Impatient) else []
            self.taken += taken
        return taken

    def now(self) -> int:
        """Return our own clock."""
        return self.service.clock.now()

    def _settings(self) -> EntraPoll:
        url = self.graph.url
        return EntraPoll(
            TENANT,
            CLIENT,
            "any",
            login_url=url,
            graph_url=url,
            keeps_days=self.keeps_days,
        )

    async def _deliver(self, records: Sequence[bytes]) -> Delivered:
        ingest: dict[str, JsonValue] = {"poller": "entra", "authentication": "poll"}
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
        """Every record of Graph's has one entry, byte for byte; nothing else has."""
        assert sorted(await self.originals()) == sorted(self.graph.records)


def write_settings(folder: Path, graph: FakeGraph, **replaced: Any) -> Path:  # noqa: ANN401
    """Write the settings of a source and its secret's file; return the former."""
    secret = folder / "entra.secret"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    table = {
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret_file": secret.name,
        "login_url": graph.url,
        "graph_url": graph.url,
        **replaced,
    }
    lines = [f"{name} = {value!r}" for name, value in table.items()]
    path = folder / "entra.toml"
    path.write_text("\n".join([f"source = {SOURCE!r}", "[poll]", *lines]))
    return path
