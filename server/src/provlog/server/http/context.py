"""What the handlers share: the settings, and the application's typed keys."""

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from provlog.server.http.addresses import Network
from provlog.server.http.crowd import Crowd, Polls
from provlog.server.http.roster import ConnectionSettings
from provlog.server.http.shared import Shared
from provlog.server.http.sources import SourceCache
from provlog.server.intake.event import MAX_EVENT_BYTES
from provlog.server.intake.records import MAX_BATCH_BYTES
from provlog.server.queueing import QueueLimits
from provlog.server.service import Service
from provlog.server.set_verifier import SetVerifiers


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Bounds of what a request may send and how long it may take.

    Sizes are in bytes, times in seconds. `body_seconds` bounds the arrival of a body,
    `hook_seconds` is how long a provider's delivery may take until it is durable. At
    most `requests` that send something are in hand at a time, with bodies of
    `body_bytes` in all; logs and tokens share both. `drafted_bytes` is what the events
    of one request may come to once they are drafted;
    `poll_seconds` is the longest a long-poll waits, `poll_default` how long it waits
    unless told otherwise, and at most `polls` wait at a time. `log_requests`: each
    request leaves a line in the server's log.

    `trusted_proxies` are believed whose requests they bring; with `proxies_only` nobody
    else may ask, but for this machine. `public_url` is where others reach the service.
    `compat_add` is the source under which `POST /add` takes bytes; without it there is
    no such route.
    """

    event_bytes: int = MAX_EVENT_BYTES
    batch_bytes: int = MAX_BATCH_BYTES
    management_bytes: int = 64 * 1024
    requests: int = 4096
    body_bytes: int = 256 * 1024 * 1024
    drafted_bytes: int = QueueLimits().queued_bytes
    body_seconds: float = 30.0
    hook_seconds: float = 2.5
    poll_seconds: int = 60
    poll_default: int = 30
    polls: int = 1000
    log_requests: bool = False
    connections: ConnectionSettings = field(default_factory=ConnectionSettings)
    trusted_proxies: tuple[Network, ...] = ()
    proxies_only: bool = False
    public_url: str | None = None
    compat_add: str | None = None


CROWD: Final = web.AppKey("crowd", Crowd)
READINESS: Final = web.AppKey("readiness", Shared[dict[str, str]])
SERVICE: Final = web.AppKey("service", Service)
SETTINGS: Final = web.AppKey("settings", HttpSettings)
SOURCES: Final = web.AppKey("sources", SourceCache)
VERIFIERS: Final = web.AppKey("verifiers", SetVerifiers)
POLLS: Final = web.AppKey("polls", Polls)
