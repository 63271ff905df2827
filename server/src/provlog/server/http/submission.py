"""The events of one request: drafted, submitted and answered.

Each event of many has its own answer, and a bad one costs no other. They are read and
drafted in steps, between which other requests have their turn.
"""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web

from provlog.merkle.disclosures import OversizedValueError
from provlog.merkle.encoding import JsonValue
from provlog.server.errors import OversizedError
from provlog.server.http.answers import Answer, AnyRelease, Prover, acknowledge
from provlog.server.http.auth import Caller, charge_rate, require_rate
from provlog.server.http.context import POLLS, SERVICE, SETTINGS, SOURCES
from provlog.server.http.problems import Problem, event_problem
from provlog.server.http.responses import json_response
from provlog.server.http.served import is_there, witnessed_release
from provlog.server.intake.cloudevents import Submission
from provlog.server.intake.draft import EventDraft
from provlog.server.intake.event import Event, EventError
from provlog.server.intake.members import sent_as
from provlog.server.intake.problems import fail
from provlog.server.reader import LogReader
from provlog.server.storage.base import SourceRecord, TokenRecord
from provlog.server.tokens import may_write
from provlog.server.units import Committed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the query asks for. `format` and `source` come together or not at all.

    With `witnessed` the answer waits for a cosigned checkpoint.
    """

    receipts: bool = True
    format: str | None = None
    source: str = ""
    witnessed: bool = False


def _require_source(token: TokenRecord, source: str) -> None:
    if not may_write(token, source):
        raise Problem(
            "forbidden", "the token may not write this source", pointer="/source"
        )


@dataclass(slots=True)
class _Drafts:
    """The drafts of one request, and its events of sources that are not registered.

    `subjects` has, for each event that was read, the source it is counted under.
    """

    drafts: list[EventDraft] = field(default_factory=list)
    cost: int = 0
    unregistered: list[tuple[int, Event]] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)


class Intake:
    """Drafts, submits and answers the events of one request."""

    def __init__(self, app: web.Application, caller: Caller, options: Options) -> None:
        self._service = app[SERVICE]
        self._sources = app[SOURCES]
        self._stopping = app[POLLS].stopping
        self._most = app[SETTINGS].drafted_bytes
        self._metrics = self._service.metrics
        self._caller = caller
        self._log = caller.log
        self._token = caller.token
        self._options = options
        self._ingest: dict[str, JsonValue] = {
            "token": caller.token.id,
            "authentication": "bearer",
        }

    async def require_source(self) -> None:
        """Raise the problem of a source in the query that cannot be written so."""
        uri = self._options.source
        _require_source(self._token, uri)
        source = await self._sources.find(self._log, uri)
        if source is not None:
            self._require_format(source)

    async def single(self, event: Event) -> web.Response:
        """Answer one event with its receipt, or raise its problem."""
        require_rate(self._service, self._caller, 1)
        taken = _Drafts()
        await self._take(event, taken)
        committed = await self._submit(taken)
        release = await self._release(committed)
        [answer] = await self._answers(committed, release)
        if isinstance(answer, Problem):
            raise answer
        with self._metrics.stage("encode"):
            receipt = answer.receipt(self._log.origin, release.note)
            return json_response(receipt, answer.status)

    async def index(self, event: Event) -> int:
        """Return where one event stands, new or repeated, or raise its problem."""
        require_rate(self._service, self._caller, 1)
        taken = _Drafts()
        await self._take(event, taken)
        committed = await self._submit(taken)
        answer = acknowledge(committed.outcomes[0])
        if isinstance(answer, Problem):
            raise answer
        return answer.index

    async def batch(self, submission: Submission) -> web.Response:
        """Answer many events, in order and each for itself.

        The events that can be taken are one submission: admitted whole or refused
        whole.
        """
        taken, refused = await self._read(submission)
        committed = await self._submit(taken) if taken.drafts else None
        release = await self._release(committed) if committed else None
        answers: Iterator[Answer | Problem] = iter(())
        if committed and release:
            answers = iter(await self._answers(committed, release))
        results = [each or next(answers) for each in refused]
        succeeded = any(not isinstance(each, Problem) for each in results)
        note = release.note if release and succeeded else None
        with self._metrics.stage("encode"):
            body = {
                "checkpoint": note,
                "origin": self._log.origin,
                "results": [
                    self._result(each, subject)
                    for each, subject in zip(results, taken.subjects, strict=True)
                ],
            }
            return json_response(body)

    async def _read(
        self, submission: Submission
    ) -> tuple[_Drafts, list[Problem | None]]:
        """Return the drafts of many events, and for each its problem or None."""
        records: list[bytes] = []
        async for cut in self._by_turns(submission.cut):
            records += cut
        require_rate(self._service, self._caller, len(records))
        taken = _Drafts()
        refused: list[Problem | None] = []
        async for events in self._by_turns(submission.decode(records)):
            refused += [await self._refusal(event, taken) for event in events]
        charge_rate(self._service, self._caller, len(refused) - len(records))
        return taken, refused

    async def _by_turns(self, steps: Iterator[list[T]]) -> AsyncIterator[list[T]]:
        """Yield what each step makes, and let others work before the next."""
        after = self._service.workplace.after
        while True:
            begun = time.perf_counter()
            with self._metrics.stage("parse"):
                made = next(steps, None)
            if made is None:
                return
            yield made
            await after(self._log.id, self._token.id, len(made), begun)

    async def _refusal(
        self, event: Event | EventError, taken: _Drafts
    ) -> Problem | None:
        """Take one event of many, or return why it is not taken."""
        try:
            if isinstance(event, EventError):
                raise event
            await self._take(event, taken)
        except (EventError, Problem) as error:
            subject = await self._sources.label(self._log, event.source)
            taken.subjects.append(subject)
            return event_problem(error) if isinstance(error, EventError) else error
        # Registered by the time that it is answered.
        taken.subjects.append(event.source)
        return None

    async def _take(self, event: Event, taken: _Drafts) -> None:
        """Draft one event; nothing is changed yet, and memory is bounded."""
        _require_source(self._token, event.source)
        source = await self._sources.find(self._log, event.source)
        if source is None:
            taken.unregistered.append((len(taken.drafts), event))
        else:
            self._require_format(source)
        # A new source is registered with its own name, unless somebody is quicker.
        draft = self._draft(event, event.source if source is None else source.ns)
        taken.drafts.append(draft)
        taken.cost += draft.cost
        if taken.cost > self._most:
            raise OversizedError(
                "the events of this request come to more than the queue has room for,"
                " even when it is empty; send fewer at a time"
            )

    def _draft(self, event: Event, ns: str) -> EventDraft:
        with self._metrics.stage("draft"):
            try:
                return self._log.drafter.event(event, ns, self._ingest)
            except OversizedValueError as error:
                fail(
                    sent_as(error.name),
                    "too long once its numbers are written out: send them as strings",
                )

    def _require_format(self, source: SourceRecord) -> None:
        if source.connector not in (None, self._options.format):
            fail("/source", f"this source is sent with format={source.connector}")

    async def _submit(self, taken: _Drafts) -> Committed:
        """Submit drafts, once nothing but a full queue can refuse them."""
        if taken.unregistered:
            # A submission that is refused must not leave its sources registered.
            self._service.sequencer.require_room(
                self._log, taken.drafts, self._token.id
            )
            uris = {event.source for _, event in taken.unregistered}
            registered = await self._sources.register(self._log, uris, self._token.id)
            for place, event in taken.unregistered:
                source = registered[event.source]
                self._require_format(source)
                if source.ns != event.source:
                    taken.drafts[place] = self._draft(event, source.ns)
        return await self._service.sequencer.submit(
            self._log, taken.drafts, self._token.id
        )

    async def _release(self, committed: Committed) -> AnyRelease:
        """Return the head that the answer leads to: a cosigned one, if that is asked.

        One that is published covers the entries of several submitters that wait.
        """
        if not self._options.witnessed or not any(map(is_there, committed.outcomes)):
            return committed.release
        reader = LogReader(self._log, self._service.storage)
        return await witnessed_release(
            self._log, reader, committed.outcomes, self._stopping
        )

    async def _answers(
        self, committed: Committed, release: AnyRelease
    ) -> Sequence[Answer | Problem]:
        if not self._options.receipts:
            return [acknowledge(outcome) for outcome in committed.outcomes]
        prover = Prover(
            self._log,
            LogReader(self._log, self._service.storage),
            self._metrics,
            release,
            opened="auditor" in self._token.roles,
        )
        return await prover.prove(committed.outcomes)

    def _result(self, answer: Answer | Problem, subject: str) -> dict[str, JsonValue]:
        if isinstance(answer, Problem):
            self._metrics.refused(answer.slug, subject)
            return {"status": answer.status, "problem": answer.to_json()}
        return answer.result()
