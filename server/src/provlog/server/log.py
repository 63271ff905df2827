"""One log that is open in this process: its keys, its edge, and what is released."""

import asyncio
import logging
import time
from typing import NoReturn

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.edge import RightEdge
from provlog.merkle.encoding import encode_base64url
from provlog.merkle.entries import parse_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.labels import epoch_key_commitment, id_key_commitment
from provlog.merkle.notes import sign_note
from provlog.server.errors import (
    ConfigurationError,
    ForkError,
    GuardBusyError,
    HaltedError,
    UnavailableError,
)
from provlog.server.freshness import Freshness
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.intake.draft import Drafter, Entropy
from provlog.server.keyring import LogKeys
from provlog.server.storage.base import Head, Incarnation, LogRecord, Reads
from provlog.server.tree import TileCache, Tree

logger = logging.getLogger(__name__)

_CATCH_UP = 4096
_GUARD_SECONDS = 5.0


class Log:
    """An open log.

    `released` is the newest head that this server knows may leave it: only heads that
    are committed here, and guarded, ever get there. `edge` is this process's copy of
    the right edge, right for the head it was computed for and replaced when another
    process has moved the head on. A log with a `halted` reason takes no entries.
    `freshness` knows the newest events of its sources once it has been followed.
    """

    def __init__(
        self,
        record: LogRecord,
        keys: LogKeys,
        reads: Reads,
        tree: Tree,
        guard: Guard,
        edge: RightEdge,
        drafter: Drafter,
    ) -> None:
        self.record = record
        self.id = record.id
        self.origin = record.origin
        self.tree = tree
        self.drafter = drafter
        self.edge = edge
        self.released = ReleasedHead(edge.size, edge.root())
        self.halted: str | None = None
        # The database in which the log was last found to be whole; see `trust`.
        self.incarnation: Incarnation | None = None
        self.freshness = Freshness()
        self._keys = keys
        self._reads = reads
        self._guard = guard
        self._note: tuple[ReleasedHead, str] | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    async def release(self, head: ReleasedHead) -> str:
        """Let a committed head leave the server; return its signed checkpoint.

        The guard is advanced first: from here on a start on an older database is
        refused, so it does not matter whether the process dies before it answers.
        Raises `HaltedError` where the guard holds a head that is not of this log's
        history: somebody releases another one under its name.
        """
        deadline = time.monotonic() + _GUARD_SECONDS
        known = await self._guard.recall(self.origin)
        if known is not None and known.size >= head.size:
            known = await self._guard.read(self.origin)
        while True:
            if known is not None:
                await self._verify(known)
                if known.size >= head.size:
                    break
            if await self._record(known, head, deadline):
                break
            known = await self._guard.read(self.origin)
        self._adopt(head)
        return self.note(head)

    async def _record(
        self, known: ReleasedHead | None, head: ReleasedHead, deadline: float
    ) -> bool:
        """Advance the guard; False where somebody else did, or may have done."""
        try:
            if await self._guard.replace(self.origin, known, head):
                return True
        except GuardBusyError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.002)
        if time.monotonic() > deadline:
            raise UnavailableError("the guard cannot be advanced")
        return False

    def note(self, head: ReleasedHead) -> str:
        """Return the signed checkpoint of a released head."""
        if self._note is None or self._note[0] != head:
            text = Checkpoint(self.origin, head.size, head.root).text()
            self._note = (head, sign_note(text, [self._keys.signing]).decode())
        return self._note[1]

    async def refresh(self) -> ReleasedHead:
        """Return the newest released head, another process's included.

        Raises `HaltedError` like `release`.
        """
        guarded = await self._guard.read(self.origin)
        if guarded is not None and guarded.size > self.released.size:
            await self._verify(guarded)
            self._adopt(guarded)
        return self.released

    async def wait_beyond(self, size: int, seconds: float) -> ReleasedHead:
        """Return the released head once it is larger than `size`, or after the wait.

        Another process's heads are seen as soon as somebody calls `refresh`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.released.size <= size and loop.time() < deadline:
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait([future], timeout=deadline - loop.time())
            finally:
                self._waiting.discard(future)
        return self.released

    async def edge_at(self, head: Head, reads: Reads) -> RightEdge:
        """Return the edge at a head that was read under the lock.

        Where another process moved the head, the new one must extend what was released;
        a head that does not halts the log (`HaltedError`).
        """
        self.require_running()
        if head.size < self.released.size:
            self._halt(_older(head, self.released))
        if (head.size, head.root) == (self.edge.size, self.edge.root()):
            return self.edge
        added = head.size - self.edge.size
        if 0 < added <= _CATCH_UP and self.edge.size >= self.released.size:
            # Growing our own edge by the other process's leaves shows at once that
            # its head extends ours.
            leaves = await reads.leaves(self.id, self.edge.size, head.size)
            growth = self.edge.grow([leaf_hash(leaf) for leaf in leaves])
            if growth.root == head.root:
                return growth.edge
        tree = Tree(reads, self.id, TileCache(0))
        reason = await contradiction(tree, head, self.released)
        if reason is not None:
            self._halt(reason)
        return await tree.edge(head.size)

    def require_running(self) -> None:
        """Raise `HaltedError` where the log takes no entries."""
        if self.halted is not None:
            raise HaltedError(self.halted)

    def halt(self, reason: str) -> None:
        """Take no more entries until the process is started anew."""
        self.halted = reason
        logger.critical("log %s is halted: %s", self.origin, reason)

    def _halt(self, reason: str) -> NoReturn:
        self.halt(reason)
        raise HaltedError(reason)

    async def _verify(self, guarded: ReleasedHead) -> None:
        """Halt unless the guard's head is one of this database's own history."""
        self.require_running()
        if guarded == self.released:
            return
        head = await self._reads.head(self.id)
        if guarded.size > head.size:
            self._halt(_older(head, guarded))
        if await self.tree.root(guarded.size) != guarded.root:
            self._halt(_contradicted(guarded))

    def _adopt(self, head: ReleasedHead) -> None:
        if head.size > self.released.size:
            self.released = head
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)


def _older(head: Head, released: ReleasedHead) -> str:
    return (
        f"the database ends at size {head.size}, but size {released.size} was"
        " released: it is older than what others have seen"
    )


def _contradicted(released: ReleasedHead) -> str:
    return f"the stored tree contradicts the released head of size {released.size}"


async def contradiction(
    tree: Tree, head: Head, released: ReleasedHead | None
) -> str | None:
    """Return why a committed head cannot follow what was released, None if it can."""
    if released is not None and head.size < released.size:
        return _older(head, released)
    edge = await tree.edge(head.size)
    if edge.root() != head.root:
        return f"the stored tree of size {head.size} does not have the head's root"
    if released is not None and await tree.root(released.size) != released.root:
        return _contradicted(released)
    return None


async def open_log(
    reads: Reads,
    record: LogRecord,
    keys: LogKeys,
    guard: Guard,
    cache: TileCache,
    entropy: Entropy,
    released: ReleasedHead | None,
    head: Head,
) -> Log:
    """Open a log for reading and writing, after checking what can be checked.

    `released` is what the guard held, None where it held nothing, and `head` the head
    behind a barrier that was passed after that, so that it is on disk and not older.
    The right edge must have the head's root; the head must extend the guard's; keys,
    origin and parameters must belong together. Raises `ConfigurationError`, `ForkError`
    among them.
    """
    if keys.signing.verifier().vkey() != record.log_key:
        raise ConfigurationError(f"log {record.name}: the signing key is not the log's")
    tree = Tree(reads, record.id, cache)
    reason = await contradiction(tree, head, released)
    if reason is not None:
        raise ForkError(f"log {record.name}: {reason}")
    await check_params(reads, record, keys)
    drafter = Drafter(keys, head.epoch, entropy)
    edge = await tree.edge(head.size)
    log = Log(record, keys, reads, tree, guard, edge, drafter)
    await log.release(log.released)
    return log


async def check_params(reads: Reads, record: LogRecord, keys: LogKeys) -> None:
    """Raise `ConfigurationError` unless entry 0 is of this log and of these keys."""
    [leaf] = await reads.leaves(record.id, 0, 1)
    try:
        entry = parse_entry(leaf)
    except MalformedError as error:
        raise ConfigurationError(f"log {record.name}: entry 0: {error}") from None
    if entry.kind != "params" or entry.body["origin"] != record.origin:
        raise ConfigurationError(f"log {record.name}: entry 0 is of another log")
    expected = {
        "commit_id": id_key_commitment(keys.id_key),
        "commit_e": epoch_key_commitment(1, keys.epoch_keys.get(1, bytes(32))),
    }
    for member, commitment in expected.items():
        if entry.body[member] != encode_base64url(commitment):
            raise ConfigurationError(f"log {record.name}: {member} is of another key")
