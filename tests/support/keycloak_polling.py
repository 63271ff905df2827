"""A poller of a fake Keycloak on a real log, asked to wait for nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.delivery import Delivered, deliver
from provlog.server.log import Log
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.keycloak import KIND
from provlog.server.polling.kinds import make_feed
from provlog.server.polling.poller import Poller, Settings, Taken
from provlog.server.service import Service
from provlog.server.source_settings import SourceSettings
from provlog.server.storage.base import SourceRecord
from support.fake_keycloak import CLIENT_ID, CLIENT_SECRET, DAY, REALM, FakeKeycloak
from support.keycloak import SOURCE
from support.polling import INTERVAL, MINUTE, Impatient

RECORD = SourceRecord(SOURCE, "acme", "keycloak")


@dataclass
class Polled:
    """A log and the Keycloak it is filled from; `poll_table` replaces settings."""

    service: Service
    log: Log
    keycloak: FakeKeycloak
    folder: Path
    poll_table: dict[str, JsonValue] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def settings(self, secret: str = CLIENT_SECRET) -> SourceSettings:
        """Return the source's settings, and write the secret's file."""
        path = self.folder / "client.secret"
        path.touch(0o600)
        path.write_text(secret)
        table: dict[str, JsonValue] = {
            "url": self.keycloak.url,
            "realm": REALM,
            "client_id": CLIENT_ID,
            "client_secret_file": path.name,
            **self.poll_table,
        }
        return SourceSettings(self.folder / "keycloak.toml", SOURCE, poll=table)

    async def poll(
        self,
        *,
        rounds: int = 0,
        between: Callable[[int], None] = lambda _: None,
        overlap: int = 10 * MINUTE,
        secret: str = CLIENT_SECRET,
    ) -> list[Taken]:
        """Poll once as a new process, or for some rounds; return what was told."""
        feed = make_feed(KIND, self.settings(secret))
        stop = Impatient(rounds, between)
        taken: list[Taken] = []
        first = self.service.clock.now() - 7 * DAY
        poller = Poller(
            feed,
            self._deliver,
            self.cursor_of(),
            Settings(first, INTERVAL, overlap, once=not rounds),
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
        ingest: dict[str, JsonValue] = {"poller": "keycloak", "authentication": "poll"}
        return await deliver(self.service, self.log, RECORD, records, ingest)

    def cursor_of(self) -> SourceCursor:
        """Return the source's cursor."""
        storage, clock = self.service.storage, self.service.clock
        return SourceCursor(storage, self.log.id, SOURCE, clock, replace=False)

    async def cursor(self) -> int | None:
        """Return where the cursor stands."""
        stored = await self.service.storage.cursor(self.log.id, SOURCE)
        return None if stored is None else parse_time(stored.position)

    async def originals(self) -> list[bytes]:
        """Return every record that stands in the log, in order."""
        head = await self.service.storage.head(self.log.id)
        found = []
        for index in range(head.size):
            private = await self.service.storage.private(self.log.id, index)
            for text in private.disclosures if private is not None else ():
                disclosure = parse_disclosure(text)
                if disclosure.name == "original":
                    assert isinstance(disclosure.value, dict)
                    found.append(str(disclosure.value["body"]).encode())
        return found

    async def require_all(self, *more: bytes) -> None:
        """Every event of Keycloak's has one entry, byte for byte; nothing else has."""
        expected = sorted([*self.keycloak.records, *more])
        assert sorted(await self.originals()) == expected
