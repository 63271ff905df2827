"""What the handlers share: the settings, and the application's typed keys."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from provlog.server.http.addresses import Network
from provlog.server.http.roster import ConnectionSettings
from provlog.server.http.sources import SourceCache
from provlog.server.intake.event import MAX_EVENT_BYTES
from provlog.server.intake.records import MAX_BATCH_BYTES
from provlog.server.sequencer import QueueLimits
from provlog.server.service import Service


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Bounds of what a request may send and how long it may take.

    Sizes are in bytes, times in seconds. `body_seconds` bounds the arrival of a body;
    `drafted_bytes` is what the events of one request may come to once they are drafted;
    `poll_seconds` is the longest a long-poll waits, `poll_default` how long it waits
    unless told otherwise, and at most `polls` wait at a time.

    `trusted_proxies` are believed whose requests they bring; with `proxies_only` nobody
    else may ask, but for this machine. `public_url` is where others reach the service.
    """

    event_bytes: int = MAX_EVENT_BYTES
    batch_bytes: int = MAX_BATCH_BYTES
    management_bytes: int = 64 * 1024
    drafted_bytes: int = QueueLimits().queued_bytes
    body_seconds: float = 30.0
    poll_seconds: int = 60
    poll_default: int = 30
    polls: int = 1000
    connections: ConnectionSettings = field(default_factory=ConnectionSettings)
    trusted_proxies: tuple[Network, ...] = ()
    proxies_only: bool = False
    public_url: str | None = None


class Polls:
    """How many long-polls wait, and what ends them all."""

    def __init__(self, most: int) -> None:
        self.stopping = asyncio.Event()
        self._room = most

    def enter(self) -> bool:
        """Begin to wait, if there is room for one more."""
        if self._room == 0 or self.stopping.is_set():
            return False
        self._room -= 1
        return True

    def leave(self) -> None:
        """Stop waiting."""
        self._room += 1


CLIENT: Final = web.RequestKey("client", str)
"""The address a request came from, in its canonical form; "" where it has none."""

SERVICE: Final = web.AppKey("service", Service)
SETTINGS: Final = web.AppKey("settings", HttpSettings)
SOURCES: Final = web.AppKey("sources", SourceCache)
POLLS: Final = web.AppKey("polls", Polls)
