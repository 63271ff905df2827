"""Request ids, and the line that a request leaves in the server's log.

The line has what the server knows of a request and nothing that a client made up: the
route and not the path, the id of a token that is valid, the name of a log that exists.
"""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from provlog.merkle.encoding import JsonValue
from provlog.server.http.unmatched import NOWHERE

logger = logging.getLogger(__name__)

HEADER: Final = "X-Request-Id"
CLIENT: Final = web.RequestKey("client", str)
"""The address it came from, in its canonical form; "" where it has none."""

TOKEN: Final = web.RequestKey("token", str)
"""The public id of the valid token that was presented."""

LOG: Final = web.RequestKey("log", str)
"""The name of the log that the path names, if there is one."""

SUBJECT: Final = web.RequestKey("subject", str)
"""The registered source that a refused request was about, for the metrics."""

WARNINGS_A_SECOND: Final = 10


def new_request_id() -> str:
    """Return an id for a request: one that its client sent is not looked at."""
    return secrets.token_hex(8)


def route_of(request: web.Request) -> str:
    """Return a request's method and route, never its path; `unmatched` without one."""
    resource = request.match_info.route.resource
    # Only paths we know, and methods they take: labels must not be made by clients.
    if resource is None or resource.canonical == NOWHERE:
        return "unmatched"
    return f"{request.method} {resource.canonical}"


@dataclass
class RequestLog:
    """Writes the lines: all if `every`, else those of refusals that are our failure.

    Without `every` a failing server says so at most `WARNINGS_A_SECOND` times a second,
    and then how many lines were left out: it has enough to do. `clock` is in seconds.
    """

    every: bool = False
    clock: Callable[[], float] = time.monotonic
    _second: int = field(default=0, init=False)
    _written: int = field(default=0, init=False)

    def note(
        self, request: web.Request, status: int, seconds: float, problem: str | None
    ) -> None:
        """Write a request's line, if it gets one. `problem`: what it was refused with.

        Call it while the context still has the request's id.
        """
        failed = problem is not None and status >= 500
        if self.every or (failed and self._has_room()):
            level = logging.WARNING if failed else logging.INFO
            _write(request, level, status, seconds, problem)

    def _has_room(self) -> bool:
        second = int(self.clock())
        if second != self._second:
            left_out = self._written - WARNINGS_A_SECOND
            self._second, self._written = second, 0
            if left_out > 0:
                logger.warning("%d refusals more were not written here", left_out)
        self._written += 1
        return self._written <= WARNINGS_A_SECOND


def _write(
    request: web.Request, level: int, status: int, seconds: float, problem: str | None
) -> None:
    route = route_of(request)
    known: dict[str, JsonValue] = {
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "problem": problem,
        "token": request.get(TOKEN),
        "log": request.get(LOG),
        "client": request.get(CLIENT) or None,
    }
    extra = {name: value for name, value in known.items() if value is not None}
    further = " ".join(f"{name}={value}" for name, value in extra.items())
    logger.log(level, "%s", further, extra=extra)
