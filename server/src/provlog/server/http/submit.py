"""POST /logs/{log}/events: one event, many, or a provider's own records.

A request is refused as a whole where the token, the form of the body, the rate or the
room stands in the way; what becomes of its events stands in `submission`.
"""

from aiohttp import hdrs, web

from provlog.server.errors import ConfigurationError
from provlog.server.http.access import SUBJECT
from provlog.server.http.auth import (
    SUBMITTER,
    Caller,
    require_any_rate,
    require_caller,
)
from provlog.server.http.context import CROWD, SERVICE, SETTINGS, SOURCES
from provlog.server.http.problems import Problem
from provlog.server.http.requests import read_body, read_choice, read_query
from provlog.server.http.served import not_witnessed
from provlog.server.http.submission import Intake, Options
from provlog.server.intake.cloudevents import (
    BATCH,
    NDJSON,
    Submission,
    decode_submission,
)
from provlog.server.intake.connectors import CONNECTORS, configured, decode_records
from provlog.server.intake.event import Event, EventError, is_event_name

_PLAIN = Options()


async def post_events(request: web.Request) -> web.Response:
    """Take events; answer with receipts."""
    caller = await require_caller(request, SUBMITTER)
    options = _read_options(request)
    if options.witnessed and caller.log.published is None:
        raise not_witnessed()
    intake = Intake(request.app, caller, options)
    concerned: str | None = options.source
    try:
        if options.format is not None:
            await intake.require_source()
        require_any_rate(request.app[SERVICE], caller)
        limit = _body_limit(request, options)
        length, crowd = request.content_length, request.app[CROWD]
        with crowd.place(caller.log, caller.token.id, length, limit):
            body = await read_body(request, limit)
            sent = _parse(request, caller, options, body)
            if isinstance(sent, Submission):
                return await intake.batch(sent)
            concerned = sent.source
            return await intake.single(sent)
    except Exception as error:
        if isinstance(error, EventError):
            concerned = error.source or concerned
        sources = request.app[SOURCES]
        request[SUBJECT] = await sources.label(caller.log, concerned)
        raise


def _read_options(request: web.Request) -> Options:
    query = read_query(request, "receipts", "format", "source", "wait")
    if not query:
        return _PLAIN
    witnessed = read_choice(query, "wait", "witnessed") is not None
    receipts = read_choice(query, "receipts", "none") is None
    name = read_choice(query, "format", *sorted(CONNECTORS))
    source = query.get("source", "")
    if (name is not None) != ("source" in query):
        raise Problem(
            "malformed", "query parameters format and source are given together"
        )
    if name is not None and not is_event_name(source):
        raise Problem("malformed", "query parameter source is not a source's URI")
    return Options(receipts, name, source, witnessed)


def _body_limit(request: web.Request, options: Options) -> int:
    """Return how long the body may be: of one event, or of many."""
    settings = request.app[SETTINGS]
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    media_type = content_type.partition(";")[0].strip().lower()
    many = options.format is not None or media_type in (BATCH, NDJSON)
    return settings.batch_bytes if many else settings.event_bytes


def _parse(
    request: web.Request, caller: Caller, options: Options, body: bytes
) -> Event | Submission:
    service = request.app[SERVICE]
    content_type = request.headers.get(hdrs.CONTENT_TYPE)
    now = service.clock.now()
    with service.metrics.stage("parse"):
        if options.format is None:
            return decode_submission(content_type, request.headers, body, now)
        name = caller.log.record.name
        settings = service.settings.find(name, options.source)
        try:
            connector = configured(options.format, settings)
        except ConfigurationError:
            raise Problem(
                "malformed", "this format needs settings that the source does not have"
            ) from None
        return decode_records(connector, body, options.source, now)
