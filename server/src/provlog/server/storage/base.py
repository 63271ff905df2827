"""The storage interface: what an engine promises, and the rows that cross it.

Records that are made for every event are msgspec structs, which cost a third of a
frozen dataclass to make.

Durability: when `Transaction.commit` returns, everything written in the transaction
has been flushed to disk. Consistency: a transaction that locked a log sees and extends
its newest committed head; two transactions never hold the lock of one log at the same
time, in whatever process they run. Concurrency: one task at a time may use a
transaction; reads may run beside it and see committed rows only. Retries: a
`StorageBusyError` or a `StorageError` before `commit` leaves no trace and may be tried
again; after `CommitUnknownError` nobody may trust a head before a `barrier` of their
own has returned.

::

    StorageError               the engine failed; nothing was written
    ├── StorageBusyError       somebody else holds the lock; try again
    ├── InterruptedStorageError  the connection or the transaction ended; try again
    ├── CommitUnknownError     a commit may or may not have been made durable
    ├── SchemaError            the database is not of the version this code reads
    ├── DamagedCursorError     a cursor is not what was written
    └── AlreadyExistsError     a name, origin or row that has to be new is taken
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

import msgspec

from provlog.merkle.edge import FullTile
from provlog.merkle.receipts import Openings


class StorageError(Exception):
    """The engine failed, and nothing of the transaction was written."""


class StorageBusyError(StorageError):
    """Another writer holds the lock; the same call may succeed later."""


class InterruptedStorageError(StorageError):
    """The database ended the connection or the transaction before its commit.

    It restarted or failed over, cut off a server that stood still, or chose this
    transaction where two were in each other's way. Nothing was written, and the same
    work may be tried again at once, on a new connection.
    """


class CommitUnknownError(StorageError):
    """A commit failed in a way that leaves open whether it was made durable."""


class SchemaError(StorageError):
    """The database has another schema version than this program reads."""


class DamagedCursorError(StorageError):
    """A cursor does not have the digest that was stored with it."""


class AlreadyExistsError(StorageError):
    """A log, source or token of that name exists."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest state of a log: `size` leaves under `root`, `events` of them events.

    `recorded` is the newest entry's time in Unix milliseconds (0 for an empty log).
    """

    size: int
    root: bytes
    events: int
    epoch: int
    recorded: int


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Which running database answers: another one after a restart or a failover.

    `system` is the number a database cluster got when it was made, `timeline` counts
    the promotions and restorations it went through, and `started` tells two starts of
    one cluster apart.
    """

    system: int
    timeline: int
    started: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a database is, as far as it knows and tells; None for the rest.

    `size` is in bytes, `clock` its own clock in Unix milliseconds. `standbys` are
    connected to it, and the slowest of them has yet to replay `lag_bytes`, or reported
    to be `lag_seconds` behind.
    """

    size: int | None = None
    clock: int | None = None
    standbys: int | None = None
    lag_bytes: int | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log as it is registered."""

    id: int
    name: str
    origin: str
    log_key: str
    public: bool
    created: str


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A registered source: its namespace and, where it has one, its connector."""

    uri: str
    ns: str
    connector: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has been polled.

    `updated`, in Unix milliseconds, is when it was moved, or a round came to its end.
    `position` is 1 to 1024 characters that only the source's poller understands.
    """

    source: str
    position: str
    updated: int

    def digest(self, log: int) -> bytes:
        """Return what is stored beside the cursor, so that damage to it shows."""
        row = ["provlog cursor", log, self.source, self.position, self.updated]
        return sha256(json.dumps(row).encode()).digest()


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A bearer token without its secret. `logs` is None where it belongs to all."""

    id: str
    digest: bytes
    logs: frozenset[int] | None
    roles: frozenset[str]
    sources: tuple[str, ...]
    note: str
    rate: float | None
    created: int
    expires: int | None
    revoked: int | None


class Private(msgspec.Struct, frozen=True):
    """The erasable side of an entry."""

    disclosures: tuple[str, ...]
    compare_key: bytes | None = None
    compare_digest: bytes | None = None


class NewEntry(msgspec.Struct, frozen=True):
    """One entry to insert. `key` is the blinded id where the kind has one."""

    index: int
    leaf: bytes
    key: bytes | None
    private: Private | None
    openings: Openings | None


class StoredKey(msgspec.Struct, frozen=True):
    """Where a blinded id stands, and how to recognise the event that stands there.

    `private` is None once the entry's private side has been erased.
    """

    index: int
    private: Private | None


@dataclass(frozen=True, slots=True)
class Extension:
    """All that one commit adds to one log.

    `tiles` are (tile, hashes, subtree root), `sources` (index of the admin entry that
    registers it, source), `revoked_tokens` the moment of revocation by token id.
    """

    log: int
    head: Head
    entries: Sequence[NewEntry]
    tiles: Sequence[FullTile]
    sources: Sequence[tuple[int, SourceRecord]] = field(default=())
    tokens: Sequence[TokenRecord] = field(default=())
    revoked_tokens: Mapping[str, int] = field(default_factory=dict)


class Reads(Protocol):
    """Committed rows. Each call is one short read."""

    async def logs(self) -> list[LogRecord]:
        """Return every log, by name."""

    async def log(self, name: str) -> LogRecord | None:
        """Return the log of that name."""

    async def head(self, log: int) -> Head:
        """Return a log's newest committed head."""

    async def heads(self) -> dict[int, Head]:
        """Return every log's newest committed head, by the log's number."""

    async def leaves(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the leaves at [start, end); `StorageError` if one is missing."""

    async def leaf_hashes(self, log: int, start: int, end: int) -> list[bytes]:
        """Return the RFC 9162 hashes of the leaves at [start, end).

        `StorageError` if one is missing.
        """

    async def tiles(self, log: int, level: int, start: int, end: int) -> list[bytes]:
        """Return the hashes of the full tiles [start, end) of a level, 8192 bytes each.

        `StorageError` if one is missing.
        """

    async def tile_roots(
        self, log: int, level: int, start: int, end: int
    ) -> list[bytes]:
        """Return the subtree roots of the full tiles [start, end) of a level."""

    async def find_keys(
        self, log: int, keys: Sequence[bytes]
    ) -> dict[bytes, StoredKey]:
        """Return those of the blinded ids that are taken."""

    async def private(self, log: int, index: int) -> Private | None:
        """Return an entry's private side, or None where it has none or was erased."""

    async def openings(self, log: int, index: int) -> Openings | None:
        """Return an entry's openings, or None where it has none."""

    async def private_rows(self, log: int, start: int, end: int) -> dict[int, Private]:
        """Return the private sides of the entries [start, end), by index.

        Entries that have none, or whose was erased, are left out.
        """

    async def opening_rows(self, log: int, start: int, end: int) -> dict[int, Openings]:
        """Return the openings of the entries [start, end), by index."""

    async def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a registered source."""

    async def registrations(self, log: int) -> list[tuple[int, SourceRecord]]:
        """Return a log's sources by URI, each after the index that registered it."""

    async def sources(self, log: int) -> list[SourceRecord]:
        """Return a log's sources, by URI."""

    async def cursor(self, log: int, source: str) -> Cursor | None:
        """Return how far a source has been polled, None where it never was.

        `DamagedCursorError` where the row is not what was written.
        """

    async def polled(self, most: int) -> list[tuple[int, str, int]]:
        """Return log, source, and when its cursor was written, of `most` at most."""

    async def token(self, token_id: str) -> TokenRecord | None:
        """Return a token by its public id, revoked ones included."""

    async def tokens(self, log: int | None) -> list[TokenRecord]:
        """Return the tokens that reach a log (None: all tokens), by id."""


class Transaction(Reads, Protocol):
    """One write transaction. Reads inside it see its own writes."""

    @property
    def incarnation(self) -> Incarnation | None:
        """Which database this transaction runs in; None for an embedded one."""

    async def lock(self, log: int) -> Head:
        """Lock a log's row until the transaction ends and return its newest head."""

    def clock_offset_ms(self) -> int | None:
        """Return how far the database's clock was ahead of ours at the last lock.

        At least: what may be the time the answer took does not count. In milliseconds;
        None where the database has no clock of its own.
        """

    async def mark(self, log: int) -> None:
        """Write a barrier's mark into a log's head row, so that a commit flushes."""

    async def create_log(self, record: LogRecord) -> int:
        """Register a log with an empty head and return its number."""

    async def extend(self, extension: Extension) -> None:
        """Insert what the extension holds and move the log's head."""

    async def load(self, extension: Extension) -> None:
        """Do what `extend` does, the way that is quickest for thousands of entries.

        For a log that was created in this very transaction.
        """

    async def set_cursor(self, log: int, cursor: Cursor) -> None:
        """Write a source's cursor in the place of the one before.

        `StorageError` where the source is not registered.
        """

    async def commit(self) -> None:
        """Make everything durable; `CommitUnknownError` where that is not known."""


class Storage(Reads, Protocol):
    """An open database."""

    async def open(self) -> None:
        """Make sure that the database can be used; called once, before all else.

        Raises `SchemaError` if its version is another, `StorageError` where it cannot
        be reached, `ConfigurationError` where it would not keep what it is told.
        """

    async def advice(self) -> list[str]:
        """Return what the operator of the servers should do better, in sentences."""

    def incarnation(self) -> Incarnation | None:
        """Return the database that answered last; None for an embedded one.

        One that was left for another is never returned to, so reads between two calls
        that return the same were answered by no other.
        """

    def lane(self, log: int) -> int:
        """Return which commit queue a log belongs to.

        Logs of one lane share their transactions; those of different lanes commit
        independently.
        """

    async def vitals(self) -> Vitals:
        """Return how the database is; cheap enough to ask every few seconds."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a write transaction; leaving it without `commit` rolls it back."""

    def snapshot(self) -> AbstractAsyncContextManager[Reads]:
        """Begin reads that all see the rows as they were at one moment.

        For long reads: writers go on meanwhile. Nothing is known to be durable of what
        it shows until a `barrier` that is passed after it began.
        """

    async def barrier(self, log: int) -> Head:
        """Durably commit a mark in the head row and return the head behind it.

        When it returns, that head and everything below it is on disk.
        """

    async def barriers(self, logs: Sequence[int]) -> dict[int, Head]:
        """Pass a barrier of several logs with as few commits as the engine can.

        Return the heads behind it, by the log's number.
        """

    async def close(self) -> None:
        """Finish what runs and close the database."""
