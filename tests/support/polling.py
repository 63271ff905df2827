"""A poller on a real log, asked to wait for nothing; and what stands in the log."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.delivery import Delivered, deliver
from provlog.server.log import Log
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.okta import OktaFeed
from provlog.server.polling.poller import Poller, Settings, Taken
from provlog.server.polling.stopping import Stop
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from support.fake_okta import DAY, TOKEN, FakeOkta

SOURCE = SourceRecord("urn:okta:acme", "acme", "okta")
MINUTE = 60_000
INTERVAL = 77.0


class Impatient(Stop):
    """Waits no time, and notes how long it was to be. `rounds` end in a stop."""

    def __init__(self, rounds: int, between: Callable[[int], None]) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._rounds = rounds
        self._between = between

    async def wait(self, seconds: float) -> None:
        if seconds != INTERVAL:
            self.waits.append(seconds)
            return
        self._rounds -= 1
        if self._rounds <= 0:
            self.request()
        else:
            self._between(self._rounds)


@dataclass
class Polled:
    """A log and the Okta it is filled from. `token` is what the poller presents."""

    service: Service
    log: Log
    okta: FakeOkta
    token: str = TOKEN
    taken: list[Taken] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    seconds: float = 5.0

    async def poll(
        self,
        *,
        rounds: int = 0,
        between: Callable[[int], None] = lambda _: None,
        first: int | None = None,
        replace: bool = False,
        overlap: int = 10 * MINUTE,
        stop: Stop | None = None,
    ) -> list[Taken]:
        """Poll once as a new process, or for some rounds; return what was told."""
        feed = OktaFeed(self.okta.url, lambda: self.token, self.seconds)
        chosen = stop or Impatient(rounds, between)
        taken: list[Taken] = []
        settings = Settings(
            self.now() - 7 * DAY if first is None else first,
            INTERVAL,
            overlap,
            once=not rounds,
        )
        poller = Poller(
            feed,
            self._deliver,
            self.cursor_of(replace=replace),
            settings,
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

    async def _deliver(self, records: Sequence[bytes]) -> Delivered:
        ingest: dict[str, JsonValue] = {"poller": "okta", "authentication": "poll"}
        return await deliver(self.service, self.log, SOURCE, records, ingest)

    def cursor_of(self, *, replace: bool = False) -> SourceCursor:
        """Return the source's cursor."""
        return SourceCursor(
            self.service.storage,
            self.log.id,
            SOURCE.uri,
            self.service.clock,
            replace=replace,
        )

    async def cursor(self) -> int | None:
        """Return where the cursor stands."""
        stored = await self.service.storage.cursor(self.log.id, SOURCE.uri)
        return None if stored is None else parse_time(stored.position)

    async def originals(self) -> list[bytes]:
        """Return every record that stands in the log, in order."""
        return await originals_of(self.service, self.log)

    async def require_all(self, *more: bytes) -> None:
        """Every record of Okta's has one entry, byte for byte, and nothing else has."""
        assert sorted(await self.originals()) == sorted([*self.okta.records, *more])


async def originals_of(service: Service, log: Log) -> list[bytes]:
    """Return every record that stands in a log, in order."""
    found = []
    head = await service.storage.head(log.id)
    for index in range(head.size):
        private = await service.storage.private(log.id, index)
        for text in private.disclosures if private is not None else ():
            disclosure = parse_disclosure(text)
            if disclosure.name == "original":
                found.append(_bytes(disclosure.value))
    return found


def _bytes(value: object) -> bytes:
    assert isinstance(value, dict)
    if "body" in value:
        return str(value["body"]).encode()
    return base64.b64decode(value["body_base64"])
