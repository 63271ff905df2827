"""POST /logs/{log}/events: one event, many, or a provider's own records.

A request is refused as a whole where the token, the form of the body, the token's rate
or the queue stands in the way. Otherwise each event has its own answer, and a bad one
costs no other.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web

from provlog.merkle.encoding import JsonValue
from provlog.server.http.answers import Answer, Prover, acknowledge
from provlog.server.http.auth import SUBMITTER, Caller, require_caller, require_rate
from provlog.server.http.context import SERVICE, SETTINGS, SOURCES
from provlog.server.http.problems import Problem, event_problem
from provlog.server.http.requests import read_body, read_choice, read_query
from provlog.server.http.responses import json_response
from provlog.server.intake.cloudevents import (
    BATCH,
    NDJSON,
    Submission,
    decode_submission,
)
from provlog.server.intake.connectors import CONNECTORS, decode_records
from provlog.server.intake.draft import EventDraft
from provlog.server.intake.event import Event, EventError, is_event_name
from provlog.server.reader import LogReader
from provlog.server.sequencer import Committed
from provlog.server.storage.base import TokenRecord
from provlog.server.tokens import may_write

CHUNK = 32
"""How many events are drafted before other requests have their turn."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the query asks for. `format` and `source` come together or not at all."""

    receipts: bool = True
    format: str | None = None
    source: str = ""


_PLAIN = Options()


async def post_events(request: web.Request) -> web.Response:
    """Take events; answer with receipts."""
    caller = await require_caller(request, SUBMITTER)
    options = _read_options(request)
    if options.format is not None:
        _require_source(caller.token, options.source)
    submission = await _read_submission(request, options)
    require_rate(request.app[SERVICE], caller.token, len(submission.events))
    intake = _Intake(request.app, caller, options)
    if submission.batch:
        return await intake.batch(submission.events)
    [event] = submission.events
    if not isinstance(event, Event):
        raise event
    return await intake.single(event)


def _read_options(request: web.Request) -> Options:
    query = read_query(request, "receipts", "format", "source", "wait")
    if not query:
        return _PLAIN
    if read_choice(query, "wait", "witnessed") is not None:
        raise Problem(
            "not-witnessed",
            "wait=witnessed: this log has no witnesses configured; nothing was taken",
        )
    receipts = read_choice(query, "receipts", "none") is None
    name = read_choice(query, "format", *sorted(CONNECTORS))
    source = query.get("source", "")
    if (name is not None) != ("source" in query):
        raise Problem(
            "malformed", "query parameters format and source are given together"
        )
    if name is not None and not is_event_name(source):
        raise Problem("malformed", "query parameter source is not a source's URI")
    return Options(receipts, name, source)


async def _read_submission(request: web.Request, options: Options) -> Submission:
    settings, service = request.app[SETTINGS], request.app[SERVICE]
    content_type = request.headers.get(hdrs.CONTENT_TYPE)
    media_type = (content_type or "").partition(";")[0].strip().lower()
    many = options.format is not None or media_type in (BATCH, NDJSON)
    limit = settings.batch_bytes if many else settings.event_bytes
    body = await read_body(request, limit)
    now = service.clock.now()
    with service.metrics.stage("parse"):
        if options.format is None:
            return decode_submission(content_type, request.headers, body, now)
        connector = CONNECTORS[options.format]
        return decode_records(connector, body, options.source, now)


def _require_source(token: TokenRecord, source: str) -> None:
    if not may_write(token, source):
        raise _foreign_source()


def _foreign_source() -> Problem:
    return Problem(
        "forbidden", "the token may not write this source", pointer="/source"
    )


class _Intake:
    """Drafts, submits and answers the events of one request."""

    def __init__(self, app: web.Application, caller: Caller, options: Options) -> None:
        self._service = app[SERVICE]
        self._sources = app[SOURCES]
        self._metrics = self._service.metrics
        self._log = caller.log
        self._token = caller.token
        self._receipts = options.receipts
        self._ingest: dict[str, JsonValue] = {
            "token": caller.token.id,
            "authentication": "bearer",
        }

    async def single(self, event: Event) -> web.Response:
        """Answer one event with its receipt, or raise its problem."""
        _require_source(self._token, event.source)
        ns = await self._sources.namespace(self._log, event.source, self._token.id)
        with self._metrics.stage("draft"):
            draft = self._log.drafter.event(event, ns, self._ingest)
        committed = await self._service.sequencer.submit(self._log, [draft])
        [answer] = await self._answers(committed)
        if isinstance(answer, Problem):
            raise answer
        with self._metrics.stage("encode"):
            receipt = answer.receipt(self._log.origin, committed.release.note)
            return json_response(receipt, answer.status)

    async def batch(self, events: Sequence[Event | EventError]) -> web.Response:
        """Answer many events, in order and each for itself.

        The events that can be taken are one submission: admitted whole or refused
        whole.
        """
        answers: list[Answer | Problem | None] = []
        good: list[Event] = []
        for event in events:
            if isinstance(event, EventError):
                answers.append(event_problem(event))
            elif not may_write(self._token, event.source):
                answers.append(_foreign_source())
            else:
                answers.append(None)
                good.append(event)
        committed = await self._submit(good) if good else None
        taken = iter(await self._answers(committed) if committed else ())
        results = [each or next(taken) for each in answers]
        succeeded = any(not isinstance(each, Problem) for each in results)
        note = committed.release.note if committed and succeeded else None
        with self._metrics.stage("encode"):
            body = {
                "checkpoint": note,
                "origin": self._log.origin,
                "results": [self._result(each) for each in results],
            }
            return json_response(body)

    async def _submit(self, events: Sequence[Event]) -> Committed:
        spaces = await self._sources.namespaces(
            self._log, {event.source for event in events}, self._token.id
        )
        drafts: list[EventDraft] = []
        for start in range(0, len(events), CHUNK):
            if start:
                await asyncio.sleep(0)
            with self._metrics.stage("draft"):
                drafts += [
                    self._log.drafter.event(event, spaces[event.source], self._ingest)
                    for event in events[start : start + CHUNK]
                ]
        return await self._service.sequencer.submit(self._log, drafts)

    async def _answers(self, committed: Committed) -> Sequence[Answer | Problem]:
        if not self._receipts:
            return [acknowledge(outcome) for outcome in committed.outcomes]
        prover = Prover(
            self._log,
            LogReader(self._log, self._service.storage),
            self._metrics,
            committed.release,
            opened="auditor" in self._token.roles,
        )
        return await prover.prove(committed.outcomes)

    def _result(self, answer: Answer | Problem) -> dict[str, JsonValue]:
        if isinstance(answer, Problem):
            self._metrics.refusals.labels(answer.slug).inc()
            return {"status": answer.status, "problem": answer.to_json()}
        return answer.result()
