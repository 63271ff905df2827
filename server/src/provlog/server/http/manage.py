"""Management: logs, their tokens, their sources. It reads no disclosures."""

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import web

from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.delivery import hook_of
from provlog.server.errors import ConfigurationError, RetiredError, TooManyLogsError
from provlog.server.http.auth import (
    ADMIN,
    ANYBODY,
    Caller,
    require_caller,
    require_reader,
    require_role,
    require_token,
)
from provlog.server.http.context import SERVICE
from provlog.server.http.gate import logger
from provlog.server.http.problems import Problem
from provlog.server.http.requests import (
    invalid,
    read_object,
    read_query,
    read_text,
    read_texts,
    require_known,
)
from provlog.server.http.responses import json_response
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.data_members import is_namespace
from provlog.server.intake.event import is_event_name
from provlog.server.intake.times import normalise_time
from provlog.server.open_logs import TURN
from provlog.server.registry import MAX_ORIGIN, require_log_name, require_origin
from provlog.server.representations import log_json, source_json, token_json
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord, TokenRecord
from provlog.server.tokens import (
    ANY_SOURCE,
    MAX_NOTE,
    MintedToken,
    is_note,
    mint_token,
    reaches,
)

MAX_SOURCES = 100
MAX_ROLES = 6
MAX_RATE = 1_000_000


async def list_logs(request: web.Request) -> web.Response:
    """Return the logs that an admin's token reaches."""
    token = await require_token(request)
    require_role(token, ADMIN)
    read_query(request)
    service = request.app[SERVICE]
    logs: list[JsonValue] = []
    for place, record in enumerate(await service.storage.logs()):
        if place % TURN == 0:
            await asyncio.sleep(0)
        log = await service.logs.reached(record.name, token)
        if log is not None:
            # One that was retired a moment ago is left out.
            with contextlib.suppress(RetiredError):
                await log.refresh()
                logs.append(log_json(log))
    return json_response({"logs": logs})


async def create_log(request: web.Request) -> web.Response:
    """Create a log with keys of its own."""
    token = await require_token(request)
    require_role(token, ADMIN)
    if token.logs is not None:
        raise Problem("forbidden", "this needs a token that reaches all logs")
    read_query(request)
    body = await read_object(request)
    require_known(body, "name", "origin", "public")
    service = request.app[SERVICE]
    name = _required(body, "name", 64)
    _configured("/name", require_log_name, name)
    origin = read_text(body, "origin", MAX_ORIGIN) or await _origin(service, name)
    _configured("/origin", require_origin, origin)
    public = body.get("public", False)
    if not isinstance(public, bool):
        raise invalid("/public", "must be true or false")
    try:
        log = await service.create_log(name, origin, public=public)
    except TooManyLogsError as error:
        raise Problem("conflict", str(error)) from None
    except ConfigurationError as error:
        # Its text names folders of this machine.
        logger.warning("log %s was not created: %s", name, error)
        raise Problem(
            "conflict", "the name or the origin is taken, or was used before"
        ) from None
    return json_response(log_json(log), 201)


async def get_log(request: web.Request) -> web.Response:
    """Return what a log is called, and the key that verifies it."""
    log = (await require_reader(request, ANYBODY)).log
    read_query(request)
    await log.refresh()
    return json_response(log_json(log))


async def list_tokens(request: web.Request) -> web.Response:
    """Return the tokens that reach a log, without their secrets."""
    caller = await require_caller(request, ADMIN)
    read_query(request)
    tokens = await request.app[SERVICE].storage.tokens(caller.log.id)
    return json_response({"tokens": [token_json(token) for token in tokens]})


async def create_token(request: web.Request) -> web.Response:
    """Make a token for a log; its text is in this answer and nowhere else."""
    caller = await require_caller(request, ADMIN)
    read_query(request)
    body = await read_object(request)
    require_known(body, "roles", "sources", "note", "rate", "expires")
    service = request.app[SERVICE]
    minted = _mint(caller, body, service.clock.now())
    if "hook" in minted.record.roles:
        source = await service.storage.source(caller.log.id, *minted.record.sources)
        if hook_of(source) is None:
            raise invalid("/sources/0", "has no connector that takes deliveries")
    index = await service.store_token(caller.log, minted.record, caller.token.id)
    answer = {"token": minted.text, **token_json(minted.record), "index": index}
    return json_response(answer, 201)


async def revoke_token(request: web.Request) -> web.Response:
    """Revoke a token, for every log it reaches."""
    caller = await require_caller(request, ADMIN)
    read_query(request)
    service, log = request.app[SERVICE], caller.log
    token = await service.storage.token(request.match_info["id"])
    if token is None or not reaches(token, log.id):
        raise Problem("not-found", "there is no token of that id that reaches the log")
    if not _covers(caller.token, token):
        raise Problem("forbidden", "the token reaches logs that yours does not reach")
    if token.revoked is None:
        others = [
            other
            for other in service.open_logs()
            if other.id != log.id and reaches(token, other.id)
        ]
        await service.revoke_token(log, token.id, caller.token.id, others)
    revoked = await service.storage.token(token.id)
    return json_response(token_json(revoked or token))


async def list_sources(request: web.Request) -> web.Response:
    """Return a log's sources."""
    caller = await require_caller(request, ADMIN)
    read_query(request)
    sources = await request.app[SERVICE].storage.sources(caller.log.id)
    return json_response({"sources": [source_json(source) for source in sources]})


async def create_source(request: web.Request) -> web.Response:
    """Register a source. To register it again is no error; to change it is."""
    caller = await require_caller(request, ADMIN)
    read_query(request)
    body = await read_object(request)
    require_known(body, "uri", "ns", "connector")
    source = _source(body)
    service, log = request.app[SERVICE], caller.log
    if await service.register_source(log, source, caller.token.id):
        return json_response(source_json(source), 201)
    if await service.storage.source(log.id, source.uri) != source:
        raise Problem(
            "conflict", "the source is registered otherwise, and that never changes"
        )
    return json_response(source_json(source))


def _mint(caller: Caller, body: dict[str, JsonValue], now: int) -> MintedToken:
    sources = read_texts(body, "sources", MAX_SOURCES)
    for place, uri in enumerate(sources):
        if uri != ANY_SOURCE and not is_event_name(uri):
            raise invalid(f"/sources/{place}", f"must be a URI, or {ANY_SOURCE}")
    note = read_text(body, "note", MAX_NOTE) or ""
    if not is_note(note):
        raise invalid("/note", "must not hold control characters")
    try:
        return mint_token(
            logs=[caller.log.id],
            roles=read_texts(body, "roles", MAX_ROLES),
            now=now,
            sources=sources,
            note=note,
            rate=_rate(body.get("rate")),
            expires=_expires(read_text(body, "expires", 64), now),
        )
    except ValueError as error:
        # What is left concerns the roles, alone or with the sources.
        raise invalid("/roles", str(error)) from None


def _rate(value: JsonValue) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("/rate", "must be a number of events per second")
    if not 0 < value <= MAX_RATE:
        raise invalid("/rate", f"must be above 0 and at most {MAX_RATE}")
    return float(value)


def _expires(text: str | None, now: int) -> int | None:
    if text is None:
        return None
    try:
        moment = parse_time(normalise_time(text))
    except ValueError as error:
        raise invalid("/expires", str(error)) from None
    if moment <= now:
        raise invalid("/expires", "must be in the future")
    return moment


def _source(body: dict[str, JsonValue]) -> SourceRecord:
    uri = _required(body, "uri", 256)
    ns = read_text(body, "ns", 256) or uri
    for member, text, fits in (("uri", uri, is_event_name), ("ns", ns, is_namespace)):
        if not fits(text):
            raise invalid(
                f"/{member}", 'must be printable ASCII characters without " and \\'
            )
    connector = read_text(body, "connector", 64)
    if connector is not None and connector not in CONNECTORS:
        raise invalid("/connector", f"must be one of {', '.join(sorted(CONNECTORS))}")
    return SourceRecord(uri, ns, connector)


def _required(body: dict[str, JsonValue], name: str, most: int) -> str:
    value = read_text(body, name, most)
    if value is None:
        raise invalid(f"/{name}", "is required")
    return value


def _configured(member: str, require: Callable[[str], None], value: str) -> None:
    try:
        require(value)
    except ConfigurationError as error:
        raise invalid(member, str(error)) from None


async def _origin(service: Service, name: str) -> str:
    """Return an origin beside those of the other logs: their host, and the name."""
    for log in await service.storage.logs():
        host, slash, last = log.origin.rpartition("/")
        if slash and last == log.name:
            return f"{host}/{name}"
    raise invalid("/origin", "is required: no other log's origin ends with its name")


def _covers(caller: TokenRecord, token: TokenRecord) -> bool:
    if caller.logs is None:
        return True
    return token.logs is not None and token.logs <= caller.logs
