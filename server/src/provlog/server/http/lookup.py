"""Finding entries by what submitters know: source and id."""

from aiohttp import web

from provlog.server.http.auth import AUDITOR, SUBMITTER, Caller, require_caller
from provlog.server.http.context import SERVICE
from provlog.server.http.problems import Problem
from provlog.server.intake.event import is_event_name
from provlog.server.reader import LogReader
from provlog.server.tokens import may_write


async def find_index(request: web.Request, query: dict[str, str]) -> tuple[Caller, int]:
    """Return who asks, and where the event of a source and an id stands.

    Open to auditors and to the source's submitters, of a public log as well: whether an
    id is known tells of a person.
    """
    caller = await require_caller(request, AUDITOR | SUBMITTER)
    source, event_id = query.get("source", ""), query.get("id", "")
    if not is_event_name(source) or not is_event_name(event_id):
        raise Problem("malformed", "give source and id of an event")
    if "auditor" not in caller.token.roles and not may_write(caller.token, source):
        raise Problem("forbidden", "the token is not for this source")
    reader = LogReader(caller.log, request.app[SERVICE].storage)
    index = await reader.find(source, event_id)
    if index is None:
        raise Problem("not-found", "there is no event of that source and id")
    return caller, index
