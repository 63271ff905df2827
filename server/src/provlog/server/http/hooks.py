"""/logs/{log}/hooks/{source}: a provider's own deliveries.

Answered with 200 only when everything delivered is durable, whether new, known or
erased since; a provider that gets an answer has no reason to send again. What does not
come to an end within the provider's patience is answered 503, and found to be known
when it is delivered again.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from provlog.server.delivery import connector_of, hook_of
from provlog.server.errors import ConfigurationError
from provlog.server.http.access import SUBJECT
from provlog.server.http.auth import Caller, require_hook
from provlog.server.http.context import SERVICE, SETTINGS, SOURCES
from provlog.server.http.deliveries import log_records, received
from provlog.server.http.problems import Problem, problem_of, unavailable
from provlog.server.http.requests import read_query
from provlog.server.http.responses import json_response
from provlog.server.http.set_push import set_answers, take_sets
from provlog.server.http.signed_hooks import require_signed_hook, signed_settings
from provlog.server.intake.connectors import Hook, secevent
from provlog.server.intake.problems import EventError
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord

logger = logging.getLogger(__name__)


async def get_hook(request: web.Request) -> web.Response:
    """Answer a provider that asks whether the address is its customer's."""
    with _counted(request):
        _, _, hook = await _hook(request)
        answer = hook.verification(request.headers)
        if answer is None:
            raise Problem(
                "malformed", "this is no verification request of the provider's"
            )
        return json_response(answer)


async def post_hook(request: web.Request) -> web.Response:
    """Take a delivery; say what became of it once it is durable."""
    with _counted(request), set_answers(request):
        caller, source, hook = await _hook(request)
        try:
            async with asyncio.timeout(request.app[SETTINGS].hook_seconds):
                if source.connector == secevent.NAME:
                    return await take_sets(request, caller, source)
                return await _take(request, caller, source, hook)
        except ConfigurationError as error:
            # The operator's to mend, not the provider's, who delivers again.
            logger.error("a delivery was not taken: %s", error)
            raise unavailable("the settings of the source do not fit") from None
        except TimeoutError:
            raise unavailable(
                "not durable within the time there is; send again"
            ) from None


@contextmanager
def _counted(request: web.Request) -> Iterator[None]:
    """Count what is refused: a provider has nobody to show the answer to."""
    try:
        yield
    except Exception as error:
        problem = problem_of(error)
        slug = "internal" if problem is None else problem.slug
        source = request.get(SUBJECT, "")
        request.app[SERVICE].metrics.hook_refused(slug, source)
        raise


async def _hook(request: web.Request) -> tuple[Caller, SourceRecord, Hook]:
    """Return who delivers, for which source, and how its provider does it."""
    if signed_settings(request) is None:
        caller = await require_hook(request)
    else:
        caller = await require_signed_hook(request)
    read_query(request)
    source = await request.app[SOURCES].find(caller.log, request.match_info["source"])
    hook = hook_of(source)
    if source is None or hook is None:
        raise Problem("not-found", "the source has no connector that takes deliveries")
    request[SUBJECT] = source.uri
    return caller, source, hook


async def _take(
    request: web.Request, caller: Caller, source: SourceRecord, hook: Hook
) -> web.Response:
    service, limit = request.app[SERVICE], request.app[SETTINGS].batch_bytes
    async with received(request, caller, limit) as body:
        # How a body is cut may be a matter of the source's settings.
        hook = connector_of(service, caller.log, source).hook or hook
        records = await _cut(service, caller, hook, body)
        delivered = await log_records(request, caller, source, records)
    return json_response(
        {
            "logged": delivered.logged,
            "repeated": delivered.repeated,
            "erased": delivered.erased,
        }
    )


async def _cut(
    service: Service, caller: Caller, hook: Hook, body: bytes
) -> list[bytes]:
    """Return the records of a delivery; one that cannot be read is a record itself."""
    records: list[bytes] = []
    after, begun = service.workplace.after, time.perf_counter()
    try:
        for step in hook.cut(body):
            records += step
            await after(caller.log.id, caller.token.id, len(step), begun)
            begun = time.perf_counter()
    except EventError:
        return [body]
    return records
