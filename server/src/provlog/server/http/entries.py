"""One entry with its receipt, opened as far as the caller may see it."""

from aiohttp import web

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import encode_base64, parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.server.http.answers import Proved, check
from provlog.server.http.auth import MONITORS, require_reader
from provlog.server.http.context import SERVICE
from provlog.server.http.lookup import find_index
from provlog.server.http.problems import Problem
from provlog.server.http.requests import read_query
from provlog.server.http.responses import json_response
from provlog.server.http.served import covering_checkpoint
from provlog.server.log import Log
from provlog.server.reader import LogReader


async def get_entry(request: web.Request) -> web.Response:
    """Return the entry at an index; an auditor gets disclosures and openings."""
    caller = await require_reader(request, MONITORS)
    read_query(request)
    try:
        index = parse_decimal(request.match_info["index"], "index")
    except MalformedError as error:
        raise Problem("not-found", str(error)) from None
    opened = caller.has("auditor")
    return await _receipt(request, caller.log, index, disclosed=opened, opened=opened)


async def find_entry(request: web.Request) -> web.Response:
    """Return the entry of a source and an id.

    An auditor gets disclosures and openings, a submitter the disclosures of what the
    same token submitted: a token that may write must not read what others wrote.
    """
    query = read_query(request, "source", "id")
    caller, index = await find_index(request, query)
    opened = "auditor" in caller.token.roles
    disclosed = opened or await _submitted(request, caller.log, index, caller.token.id)
    return await _receipt(
        request, caller.log, index, disclosed=disclosed, opened=opened
    )


async def _submitted(request: web.Request, log: Log, index: int, token_id: str) -> bool:
    """Tell whether a token submitted an entry, by what the entry says of its intake."""
    entry = await LogReader(log, request.app[SERVICE].storage).entry(index)
    for text in entry.disclosures or ():
        disclosure = parse_disclosure(text)
        if disclosure.name == "ingest" and isinstance(disclosure.value, dict):
            return disclosure.value.get("token") == token_id
    return False


async def _receipt(
    request: web.Request, log: Log, index: int, *, disclosed: bool, opened: bool
) -> web.Response:
    reader = LogReader(log, request.app[SERVICE].storage)
    head, note = await covering_checkpoint(log, index + 1)
    hashes = await reader.inclusion(index, head.size)
    entry = await reader.entry(index)
    proved = Proved(
        200,
        index,
        entry.leaf,
        (entry.disclosures or ()) if disclosed else (),
        entry.openings if opened else None,
        [encode_base64(each) for each in hashes],
    )
    check(proved, head)
    return json_response(proved.receipt(log.origin, note))
