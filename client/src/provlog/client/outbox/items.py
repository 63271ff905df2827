"""What an outbox holds: events and records on their way, and what became of them."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from provlog.client.errors import RefusedError, UsageError, printable
from provlog.client.events import MAX_BATCH_BYTES, prepare
from provlog.client.records import cut_records
from provlog.merkle.encoding import JsonValue, format_time

MAX_BODY = MAX_BATCH_BYTES - 2
"""The longest event in bytes: no body that a log takes has room for a longer one."""

MAX_NAME = 256

_FINAL = frozenset({400, 403, 409, 410, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Item:
    """An event, or one body of a provider's records (`format` is then its connector).

    `number` tells items of one file apart and gives their order; 0 before it has one.
    `failure` says why the log refused it, None while it waits. `is_countable` tells of
    an event that is about to be put that it may be given a `sequence`: it has none, and
    is put once and never again, since its id was made now.
    """

    source: str
    id: str | None
    format: str | None
    body: bytes
    number: int = 0
    queued: int = 0
    failure: "Failure | None" = None
    is_countable: bool = False

    def counted(self, sequence: int) -> "Item":
        """Return the event with a `sequence`."""
        body = self.body[:-1] + b',"sequence":"%d"}' % sequence
        return replace(self, body=body, is_countable=False)

    def digest(self) -> bytes:
        """Return what is stored beside the item, so that a flipped bit is noticed."""
        parts = (self.source, self.id or "", self.format or "")
        hashed = hashlib.sha256()
        for part in (*(each.encode() for each in parts), self.body):
            hashed.update(len(part).to_bytes(8, "big") + part)
        return hashed.digest()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item is not in the log: the server's words, or why it cannot be sent.

    `status` is the HTTP status, 0 where nothing was sent. `index` is the entry that
    stands in the way (409 and 410).
    """

    status: int
    detail: str
    kind: str | None = None
    pointer: str | None = None
    index: int | None = None

    @classmethod
    def of(cls, error: RefusedError) -> "Failure":
        """Return the failure that a refusal stands for."""
        detail = printable(str(error))
        return cls(error.status, detail, error.kind, error.pointer, error.index)

    @property
    def is_final(self) -> bool:
        """Whether the same would be refused again: then nothing waits for it."""
        return self.status == 0 or self.status in _FINAL

    def to_json(self) -> dict[str, JsonValue]:
        """Return the failure as JSON, without what is not known."""
        value: dict[str, JsonValue] = {
            "status": self.status,
            "detail": self.detail,
            "kind": self.kind,
            "pointer": self.pointer,
            "index": self.index,
        }
        return {name: each for name, each in value.items() if each is not None}

    def encoded(self) -> str:
        """Return the failure as it stands in the file."""
        return json.dumps(self.to_json())

    @classmethod
    def decoded(cls, text: str) -> "Failure":
        """Return the failure that stands in the file."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A verified receipt as it is kept: `data` is what `provlog verify` takes."""

    index: int
    source: str
    id: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one item: its receipts, and a failure if it is not all in."""

    number: int
    receipts: tuple[StoredReceipt, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is in an outbox's file.

    `bytes` is what the bodies of the waiting and failed items come to, `oldest` when
    the oldest waiting one was put (Unix milliseconds; None if none waits). `sent` and
    `refused` count since the file was made. `trouble` is why the last attempt to send
    failed, None if it did not. `sending` tells whether some process sends.
    """

    waiting: int
    failed: int
    receipts: int
    bytes: int
    oldest: int | None
    sent: int
    refused: int
    dropped: int
    trouble: str | None
    sending: bool
    origin: str | None


def event_item(event: Mapping[str, JsonValue]) -> Item:
    """Return an event ready to be put, with an id (UUID 4) if it had none.

    An event without an id gets the present time as well, unless it has one: the log may
    see it days later. With an id of its own it stays as it is, so that the same event
    put again is the same.

    Raises `UsageError` for what no log takes: not JSON, without source or type, or too
    long to be sent. Everything else is the log's to judge.
    """
    if event.get("id") is None and event.get("time") is None:
        event = {**event, "time": format_time(time.time_ns() // 1_000_000)}
    submission = prepare(event)
    names = {}
    for name in ("id", "source", "type"):
        value = submission.event.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
            raise UsageError(f"not an event: {name} is not a text of 1 to {MAX_NAME}")
        names[name] = value
    if len(submission.body) > MAX_BODY:
        raise UsageError(f"the event is larger than {MAX_BODY} bytes")
    countable = submission.minted and "sequence" not in submission.event
    name, source = names["id"], names["source"]
    return Item(source, name, None, submission.body, is_countable=countable)


def record_items(raw: bytes, format_: str, source: str) -> Iterator[Item]:
    """Yield a provider's records ready to be put, in bodies that a log takes.

    `raw` is a JSON array, lines, or one JSON object. Raises `UsageError` for anything
    else, and for a record that is too long to be sent.
    """
    for name, value in (("format", format_), ("source", source)):
        if not 1 <= len(value) <= MAX_NAME or not value.isprintable():
            raise UsageError(f"{name} is not a text of 1 to {MAX_NAME} characters")
    for records in cut_records(raw).batches():
        body = records.body
        if len(body) > MAX_BATCH_BYTES:
            raise UsageError(f"a record is larger than {MAX_BATCH_BYTES} bytes")
        yield Item(source, None, format_, body)
