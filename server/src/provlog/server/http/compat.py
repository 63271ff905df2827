"""POST /logs/{log}/add: for load generators that were written for other logs.

They send bytes, and expect the index at which these stand. Here the bytes become the
`original` of an event, whose leaf is not these bytes: whoever checks a leaf against
what was sent needs a receipt, and `/events`. The route is there with `--compat-add`
alone.
"""

from base64 import b64encode
from hashlib import sha256

from aiohttp import web

from provlog.merkle.encoding import format_time
from provlog.merkle.tiles import MAX_ENTRY_SIZE
from provlog.server.http.access import SUBJECT
from provlog.server.http.auth import SUBMITTER, require_any_rate, require_caller
from provlog.server.http.context import CROWD, SERVICE, HttpSettings
from provlog.server.http.problems import Problem
from provlog.server.http.requests import read_body, read_query
from provlog.server.http.responses import text_response
from provlog.server.http.submission import Intake, Options
from provlog.server.intake.event import Event

TYPE = "other.raw"
_MEDIA_TYPE = "application/octet-stream"


def compat_routes(settings: HttpSettings) -> list[web.RouteDef]:
    """Return the routes that are there only where they were asked for."""
    if settings.compat_add is None:
        return []
    return [web.post("/logs/{log}/add", Adding(settings.compat_add).post)]


class Adding:
    """Takes bytes as events of one source."""

    def __init__(self, source: str) -> None:
        self._options = Options(receipts=False, source=source)

    async def post(self, request: web.Request) -> web.Response:
        """Take bytes; answer 200 and the index of their entry, in decimal.

        The same bytes have one entry, however often they are sent.
        """
        caller = await require_caller(request, SUBMITTER)
        read_query(request)
        service, source = request.app[SERVICE], self._options.source
        request[SUBJECT] = source
        intake = Intake(request.app, caller, self._options)
        await intake.require_source()
        require_any_rate(service, caller)
        length, crowd = request.content_length, request.app[CROWD]
        with crowd.place(caller.log, caller.token.id, length, MAX_ENTRY_SIZE):
            body = await read_body(request, MAX_ENTRY_SIZE)
            if not body:
                raise Problem("malformed", "the body is empty")
            index = await intake.index(raw_event(body, source, service.clock.now()))
        return text_response(f"{index}\n")


def raw_event(body: bytes, source: str, now_ms: int) -> Event:
    """Return the event that bytes without any meaning stand for; their hash is its id.

    `now_ms` is the time of receipt in Unix milliseconds, for none was sent.
    """
    return Event(
        id=f"sha256:{sha256(body).hexdigest()}",
        source=source,
        type=TYPE,
        time=format_time(now_ms),
        flags=("time_missing",),
        original={"media_type": _MEDIA_TYPE, "body_base64": b64encode(body).decode()},
    )
