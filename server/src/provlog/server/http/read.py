"""What monitors download: the checkpoint, tiles and entry bundles (C2SP tlog-tiles)."""

import asyncio
from hashlib import sha256

from aiohttp import hdrs, web

from provlog.merkle.errors import MalformedError
from provlog.merkle.tiles import Tile, parse_path
from provlog.server.announcements import announcements
from provlog.server.http.auth import FOLLOWERS, MONITORS, Reader, require_reader
from provlog.server.http.context import POLLS, SERVICE, SETTINGS
from provlog.server.http.crowd import Polls
from provlog.server.http.problems import Problem
from provlog.server.http.requests import read_number, read_query
from provlog.server.http.responses import text_response
from provlog.server.http.served import served_checkpoint
from provlog.server.log import Log
from provlog.server.reader import LogReader
from provlog.server.sharing import Holder

IMMUTABLE = "max-age=31536000, immutable"


async def get_checkpoint(request: web.Request) -> web.Response:
    """Return the checkpoint that is served; `newer_than` waits for a larger one."""
    reader = await require_reader(request, FOLLOWERS)
    log = reader.log
    query = read_query(request, "newer_than", "timeout")
    size = read_number(query, "newer_than")
    seconds = read_number(query, "timeout")
    if size is not None and await _size_of(log) <= size:
        settings = request.app[SETTINGS]
        if seconds is None:
            seconds = settings.poll_default
        seconds = min(seconds, settings.poll_seconds)
        await _wait(request.app[POLLS], reader, size, seconds)
    _, note = await served_checkpoint(log)
    return text_response(note)


async def _size_of(log: Log) -> int:
    """Return the size that is served now; 0 where nothing may be shown yet."""
    if log.published is None:
        return (await log.refresh()).size
    served = await log.published.serve()
    return 0 if served is None else served.head.size


async def get_announcements(request: web.Request) -> web.Response:
    """Return every key that the log announced, and its end, each entry proved."""
    log = (await require_reader(request, FOLLOWERS)).log
    read_query(request)
    head = await log.refresh()
    body = await announcements(log, request.app[SERVICE].storage, head)
    return web.Response(body=body, content_type="application/json")


async def _wait(polls: Polls, reader: Reader, size: int, seconds: int) -> None:
    """Wait for a larger head, but not when too many wait, nor into a shutdown."""
    log = reader.log
    # Whoever reads a public log without a token is one reader, of that log alone.
    who = Holder(log, log if reader.token is None else reader.token.id)
    if not polls.enter(who):
        return
    waits = log.published or log
    waiting = asyncio.ensure_future(waits.wait_beyond(size, seconds))
    stopping = asyncio.ensure_future(polls.stopping.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        stopping.cancel()
        polls.leave(who)


async def get_tile(request: web.Request) -> web.Response:
    """Return a tile or an entry bundle, full or partial."""
    reader = await require_reader(request, MONITORS)
    read_query(request)
    try:
        wanted = parse_path(f"tile/{request.match_info['path']}")
    except MalformedError as error:
        raise Problem("not-found", str(error)) from None
    headers = {
        hdrs.CACHE_CONTROL: f"{_scope(reader)}, {IMMUTABLE}",
        hdrs.ETAG: _etag(reader.log, wanted.path()),
    }
    log_reader = LogReader(reader.log, request.app[SERVICE].storage)
    if isinstance(wanted, Tile):
        data = await log_reader.tile(wanted)
    else:
        data = await log_reader.bundle(wanted)
    if request.headers.get(hdrs.IF_NONE_MATCH) == headers[hdrs.ETAG]:
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=data, headers=headers, content_type="application/octet-stream"
    )


def _scope(reader: Reader) -> str:
    return "public" if reader.log.record.public else "private"


def _etag(log: Log, path: str) -> str:
    # A tile never changes: its place in a log is its version.
    return f'"{sha256(log.record.log_key.encode()).hexdigest()[:16]}/{path}"'
