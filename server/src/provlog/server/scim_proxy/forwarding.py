"""The way of one request: its records, the SCIM server, its answer.

A request that changes something is recorded before it is passed on and again before
its answer is; one that only reads passes without a record.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
from aiohttp import web

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import UnavailableError
from provlog.server.intake.connectors.scim_exchange import split_path
from provlog.server.scim_proxy.admission import Admission
from provlog.server.scim_proxy.answers import Refusal, error_response
from provlog.server.scim_proxy.bodies import (
    Body,
    coding_of,
    empty_body,
    read_body,
    recorded,
)
from provlog.server.scim_proxy.callers import Callers
from provlog.server.scim_proxy.calls import Call, admit, caller_of, only_reads
from provlog.server.scim_proxy.figures import Figures
from provlog.server.scim_proxy.recording import Recorder
from provlog.server.scim_proxy.records import Passage
from provlog.server.scim_proxy.relaying import relay
from provlog.server.scim_proxy.settings import ProxySettings
from provlog.server.scim_proxy.upstream import (
    Upstream,
    UpstreamError,
    bounded,
    translated,
)

logger = logging.getLogger(__name__)

_WORDS: Final = {
    "unreachable": (502, "the SCIM server cannot be reached; nothing was sent to it"),
    "connection_lost": (502, "the SCIM server gave no answer; it may have acted"),
    "timed_out": (504, "the SCIM server did not answer in time; it may have acted"),
}
_NOT_FOR_READS = (
    "Content-Type",
    "Content-Encoding",
    "If-Match",
    "If-None-Match",
    "Prefer",
    "Accept-Encoding",
)


class Spent:
    """How long a request took in all, and how much of that the SCIM server."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._elsewhere = 0.0

    def elsewhere(self, began: float) -> None:
        """Note that since `began` the SCIM server was waited for."""
        self._elsewhere += time.perf_counter() - began

    def here(self) -> float:
        """Return the seconds that the proxy itself took."""
        return time.perf_counter() - self._began - self._elsewhere


class Proxy:
    """Passes requests on; `now` is the time in Unix milliseconds, `key` for digests."""

    def __init__(
        self,
        settings: ProxySettings,
        upstream: Upstream,
        recorder: Recorder,
        callers: Callers,
        figures: Figures,
        now: Callable[[], int],
        key: bytes,
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._recorder = recorder
        self._callers = callers
        self._figures = figures
        self._now = now
        self._key = key
        self._admission = Admission(
            settings.changes, settings.long_changes, settings.rate
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to a request, whatever it is."""
        spent, reads = Spent(), only_reads(request)
        try:
            call = admit(request, self._settings)
            work = self._pass if reads else self._change
            response = await work(call, spent)
        except Refusal as refusal:
            self._figures.refused(refusal.reason)
            response = refusal.response()
        self._figures.answered(request.method, response.status)
        self._figures.added.labels("read" if reads else "change").observe(spent.here())
        return response

    async def _pass(self, call: Call, spent: Spent) -> web.StreamResponse:
        """Pass on what only reads."""
        body = await self._read(call)
        with self._admission.read(long=_is_long(body)):
            return await self._ask(call, body, spent)

    async def _ask(
        self, call: Call, body: Body | None, spent: Spent
    ) -> web.StreamResponse:
        began = time.perf_counter()
        try:
            async with self._upstream.send(
                call.request.method, call.url, call.fields, body, length=_length(call)
            ) as answer:
                spent.elsewhere(began)
                return await relay(call.request, answer, None)
        except UpstreamError as error:
            spent.elsewhere(began)
            return self._unanswered(error)

    async def _change(self, call: Call, spent: Spent) -> web.StreamResponse:
        """Record and pass on what changes something, if not too much is in hand."""
        body = await self._read(call)
        with self._admission.change(call.ip, long=_is_long(body)):
            passage = await self._passage(call, body)
            await self._attempt(passage)
            async with AsyncExitStack() as stack:
                return await self._forward(stack, call, body, passage, spent)

    async def _attempt(self, passage: Passage) -> None:
        """Return when the request may be passed on, or raise its refusal."""
        attempt = passage.attempt()
        try:
            await self._recorder.attempt(attempt)
        except UnavailableError as error:
            logger.warning("a change was refused: %s", error)
            passage.error = "not_sent"
            self._recorder.refused(attempt, passage.outcome(self._now()))
            raise Refusal(
                503, "not_recorded", "changes cannot be recorded now; none was made"
            ) from None

    async def _forward(
        self,
        stack: AsyncExitStack,
        call: Call,
        body: Body | None,
        passage: Passage,
        spent: Spent,
    ) -> web.StreamResponse:
        """Send a request whose attempt is recorded, record its outcome, answer."""
        began = time.perf_counter()
        failed: UpstreamError | None = None
        sending = self._upstream.send(
            call.request.method, call.url, call.fields, body, length=_length(call)
        )
        # How long a body takes that is passed on in pieces is its caller's doing.
        seconds = None if _is_long(body) else self._settings.upstream_seconds
        try:
            async with bounded(seconds):
                answer = await stack.enter_async_context(sending)
                start = await self._keep(passage, answer)
        except UpstreamError as error:
            failed, passage.error = error, error.kind
        spent.elsewhere(began)
        if body is not None and "request_not_kept" in passage.flags:
            passage.note("request", body)
        await self._recorder.outcome(passage.outcome(self._now()))
        if failed is not None:
            return self._unanswered(failed)
        return await relay(call.request, answer, start)

    async def _keep(self, passage: Passage, answer: aiohttp.ClientResponse) -> Body:
        """Return the beginning of an answer, or all of it, and note what it says."""
        settings, headers = self._settings, answer.headers
        # What has been said holds, also if the connection breaks in what follows.
        passage.status = answer.status
        passage.location = headers.get("Location", "")
        passage.etag = headers.get("ETag", "")
        most = settings.response_bytes
        with translated():
            body = await read_body(
                answer.content, most, self._key, settings.upstream_seconds
            )
        coding = coding_of(headers)
        passage.response = passage.keep(
            "response", body, coding, most, settings.secret_names
        )
        return body

    async def _passage(self, call: Call, body: Body | None) -> Passage:
        """Return what is known of a request before it is passed on."""
        settings, request = self._settings, call.request
        passage = Passage(
            number=call.number,
            began=self._now(),
            method=request.method,
            path=request.rel_url.raw_path,
            query=call.query,
            caller=caller_of(call, settings, self._callers),
            ip=call.ip,
            user_agent=request.headers.get("User-Agent", ""),
            upstream=str(settings.upstream),
        )
        if body is not None:
            coding = coding_of(request.headers)
            passage.request = passage.keep(
                "request", body, coding, settings.request_bytes, settings.secret_names
            )
        if settings.before and request.method != "POST":
            passage.before = await self._before(call)
            if passage.before is None:
                passage.flags.append("before_unknown")
        return passage

    async def _before(self, call: Call) -> JsonValue:
        """Return a resource as it is, asked for in the caller's name; None without."""
        endpoint, resource_id = split_path(call.request.rel_url.raw_path)
        if resource_id is None or endpoint == "Bulk":
            return None
        settings, fields = self._settings, call.fields.copy()
        for name in _NOT_FOR_READS:
            fields.popall(name, None)
        fields["Accept"] = "application/scim+json, application/json"
        most = settings.before_bytes
        asking = self._upstream.send("GET", call.url.with_query(None), fields, None)
        try:
            async with bounded(settings.before_seconds), asking as answer:
                if answer.status != 200:
                    return None
                with translated():
                    body = await read_body(
                        answer.content, most, self._key, settings.before_seconds
                    )
        except UpstreamError:
            return None
        coding, names = coding_of(answer.headers), settings.secret_names
        return recorded(body.start, coding, most, names) if body.whole else None

    async def _read(self, call: Call) -> Body | None:
        """Return the request's body as far as it is kept, None where it has none."""
        request, settings = call.request, self._settings
        if not request.body_exists:
            return None
        try:
            body = await read_body(
                request.content,
                settings.request_bytes,
                self._key,
                settings.body_seconds,
            )
        except TimeoutError:
            raise Refusal(408, "slow", "the body did not arrive in time") from None
        except (web.RequestPayloadError, aiohttp.ClientError, OSError):
            raise Refusal(400, "malformed", "the body is broken off") from None
        return empty_body(self._key) if not body.size and body.whole else body

    def _unanswered(self, error: UpstreamError) -> web.Response:
        self._figures.failed(error.kind)
        return error_response(*_WORDS[error.kind])


def _is_long(body: Body | None) -> bool:
    return body is not None and not body.whole


def _length(call: Call) -> str | None:
    return call.request.headers.get("Content-Length")
