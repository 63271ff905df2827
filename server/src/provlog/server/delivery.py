"""What providers deliver: records in, durable entries out, and none is lost.

Hooks and pollers have nobody to show a refusal to, so every record becomes an entry,
whatever it is: one that was logged before is found again, another one under a taken id
gets an id of its own, and one that cannot be read is logged as it is.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from provlog.merkle.encoding import JsonValue
from provlog.server.batch import Appended, Erased, Outcome
from provlog.server.intake.connectors import (
    CONNECTORS,
    Connector,
    Hook,
    configured,
    events_of,
)
from provlog.server.intake.draft import EventDraft
from provlog.server.intake.records import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, in_steps
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a delivery's events: new entries, known ones, erased ones."""

    logged: int = 0
    repeated: int = 0
    erased: int = 0


def connector_of(service: Service, log: Log, source: SourceRecord) -> Connector:
    """Return a source's connector, as its settings make it.

    `ConfigurationError` where it has none, or where the settings do not fit.
    """
    return configured(
        source.connector, service.settings.find(log.record.name, source.uri)
    )


def hook_of(source: SourceRecord | None) -> Hook | None:
    """Return how a source's provider delivers by itself, None if nothing can be."""
    if source is None or source.connector not in CONNECTORS:
        return None
    return CONNECTORS[source.connector].hook


async def deliver(
    service: Service,
    log: Log,
    source: SourceRecord,
    records: Sequence[bytes],
    ingest: dict[str, JsonValue],
    sender: str = "",
    count: Callable[[int], None] | None = None,
    connector: Connector | None = None,
) -> Delivered:
    """Return once the events of all records are durable entries.

    `records` are as the source's connector cuts them, `ingest` says how they came,
    `sender` is who shares the queue fairly with others (see `Sequencer.submit`). They
    go in as many submissions as their size asks for, each record whole in one of them;
    `count` is told the events of each before it is made. `connector` reads the records
    where it is another than the source's.
    Raises `UnavailableError` and `StorageError`: some may be entries then, and all of
    them may be delivered again.
    """
    counts: Counter[type[Outcome]] = Counter()
    chosen = connector or connector_of(service, log, source)
    async for group in _groups(service, log, source, records, ingest, sender, chosen):
        if count is not None:
            count(len(group))
        committed = await service.sequencer.submit(log, group, sender)
        counts.update(type(outcome) for outcome in committed.outcomes)
    logged, erased = counts[Appended], counts[Erased]
    return Delivered(logged, counts.total() - logged - erased, erased)


async def _groups(
    service: Service,
    log: Log,
    source: SourceRecord,
    records: Sequence[bytes],
    ingest: dict[str, JsonValue],
    sender: str,
    connector: Connector,
) -> AsyncIterator[list[EventDraft]]:
    """Yield drafts, those of one record together, as many as one submission takes."""
    now = service.clock.now()

    def draft(record: bytes) -> list[list[EventDraft]]:
        with service.metrics.stage("parse"):
            events = events_of(connector, record, source.uri, now)
        with service.metrics.stage("draft"):
            return [[log.drafter.event(each, source.ns, ingest) for each in events]]

    group: list[EventDraft] = []
    cost, begun = 0, time.perf_counter()
    for step in in_steps(records, draft, _events):
        # Making drafts takes time: others have their turn after each step.
        await service.workplace.after(log.id, sender, _events(step), begun)
        for drafts in step:
            size = sum(each.cost for each in drafts)
            full = (
                len(group) + len(drafts) > MAX_BATCH_EVENTS
                or cost + size > MAX_BATCH_BYTES
            )
            if group and full:
                yield group
                group, cost = [], 0
            group += drafts
            cost += size
        begun = time.perf_counter()
    if group:
        yield group


def _events(step: list[list[EventDraft]]) -> int:
    return sum(map(len, step))
