"""How a source is: what its leaves tell, for those who may read them."""

from aiohttp import web

from provlog.server.health.judging import health_json, silence_of
from provlog.server.http.auth import ADMIN, MONITORS, SUBMITTER, Reader, require_reader
from provlog.server.http.context import SERVICE
from provlog.server.http.problems import Problem
from provlog.server.http.requests import read_query
from provlog.server.http.responses import json_response
from provlog.server.intake.event import is_event_name
from provlog.server.tokens import may_write

_ANYTHING = MONITORS | ADMIN


async def get_source_health(request: web.Request) -> web.Response:
    """Return what the leaves of a source tell of its silence, lateness and numbers.

    Whoever may read the leaves could find it out; so may the source's own submitters
    and admins. That a source without events is registered is told to these alone.
    """
    reader = await require_reader(request, _ANYTHING | SUBMITTER)
    read_query(request)
    uri, log, service = request.match_info["source"], reader.log, request.app[SERVICE]
    if not is_event_name(uri):
        raise Problem("not-found", "that is no name of a source")
    _require_own(reader, uri)
    fold = await service.health.current(log)
    if uri not in fold.reports:
        registered = await service.storage.source(log.id, uri)
        if registered is None or not _may_know(reader, uri):
            raise Problem("not-found", "the log has no event of that source")
    settings = service.settings.find(log.record.name, uri)
    silence = silence_of(log, uri, fold, settings, service.clock.now())
    return json_response(health_json(uri, fold, silence))


def _require_own(reader: Reader, uri: str) -> None:
    """Refuse a submitter another source; what anybody may read it may read, too."""
    token = reader.token
    if token is None or reader.log.record.public:
        return
    if token.roles.isdisjoint(_ANYTHING) and not may_write(token, uri):
        raise Problem("forbidden", "the token is not for this source")


def _may_know(reader: Reader, uri: str) -> bool:
    if reader.has("admin"):
        return True
    token = reader.token
    return reader.has("submitter") and token is not None and may_write(token, uri)
