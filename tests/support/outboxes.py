"""Outboxes for tests: of a log on loopback, quick to try again, and looked into."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provlog.client import Outbox, VolatileMemory
from provlog.client.outbox.items import Item, event_item
from provlog.merkle.encoding import JsonValue
from support.lying_log import Json, LyingLog, Served

SOURCE = "urn:hr:acme"


def small(number: int | str, **changes: JsonValue) -> Json:
    """Return a small event with an id."""
    whole: Json = {"id": f"s{number}", "source": SOURCE, "type": "account.lock"}
    return {**whole, **changes}


def item(number: int | str, **changes: JsonValue) -> Item:
    """Return a small event as it is put into a spool."""
    return event_item(small(number, **changes))


@contextmanager
def sending(path: Path, served: Served, log: LyingLog, **more: Any) -> Iterator[Outbox]:  # noqa: ANN401
    """Yield an outbox that sends; how its sending ended is not looked at."""
    outbox = Outbox(path, served.url, log.trust, memory=VolatileMemory(), **more)
    outbox.start()
    try:
        yield outbox
    finally:
        outbox.__exit__(Exception, Exception(), None)


def logged_ids(log: LyingLog) -> list[str]:
    """Return the ids of the log's events in the order of their entries."""
    ordered = sorted((index, name) for (_, name), (index, _) in log.ids.items())
    return [name for _, name in ordered]


def sent_ids(log: LyingLog) -> list[list[str]]:
    """Return the ids in each batch that was sent, whatever became of it."""
    bodies = [json.loads(body) for body in log.bodies if body.startswith(b"[")]
    return [[event.get("id", "") for event in body] for body in bodies]


def until(happened: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once something happened, or fail."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def meddle(path: Path, statement: str, *values: object) -> None:
    """Change a spool's file behind its back."""
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()
