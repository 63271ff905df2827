"""One log that is open in this process: its keys, its edge, and what is released."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from provlog.merkle.edge import RightEdge
from provlog.merkle.hashing import leaf_hash
from provlog.server.announced import Announced, may_announce, read_announced
from provlog.server.errors import (
    ConfigurationError,
    GuardBusyError,
    HaltedError,
    RetiredError,
    UnavailableError,
)
from provlog.server.freshness import Freshness
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.intake.draft import Drafter
from provlog.server.signing import Signer
from provlog.server.storage.base import Head, Incarnation, LogRecord, Reads, Storage
from provlog.server.tree import TileCache, Tree

if TYPE_CHECKING:
    from provlog.server.witnessing.published import Publication

logger = logging.getLogger(__name__)

_CATCH_UP = 4096
_GUARD_SECONDS = 5.0


class Log:
    """An open log.

    `released` is the newest head that this server knows may leave it: only heads that
    are committed here, and guarded, ever get there. `edge` is this process's copy of
    the right edge of a released head, which stays right whatever becomes of the
    database; it is replaced when another process has moved the head on. A log with a
    `halted` reason takes no entries; one that is `retired` never will: that names its
    successor. `announced` is what the log has announced of its keys and its end, up to
    `released` at least. `freshness` knows the newest events of its sources once it has
    been followed. `published` is what witnesses cosigned of it, and what is served
    then.
    """

    def __init__(
        self,
        record: LogRecord,
        signer: Signer,
        announced: Announced,
        storage: Storage,
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
        self.retired: str | None = None
        # The database in which the log was last found to be whole; see `trust`.
        self.incarnation: Incarnation | None = None
        self.freshness = Freshness()
        # What is served of it, where witnesses cosign it; None where it has none.
        self.published: Publication | None = None
        self.signer = signer
        self.announced = announced
        # What is announced below a head that is not released yet.
        self._foreseen: tuple[ReleasedHead, Announced] | None = None
        self._storage = storage
        self._guard = guard
        self._waiting: set[asyncio.Future[None]] = set()

    async def release(
        self,
        head: ReleasedHead,
        committed_in: Incarnation | None,
        before: ReleasedHead | None = None,
    ) -> str:
        """Let a committed head leave the server; return its signed checkpoint.

        `committed_in` is the database whose tree it is of. One that answers instead
        may have lost it, and others may go on there with another head of that size:
        `UnavailableError`, as for one in which the log was not found to be whole.
        `before` is the head that this one was appended to under the log's lock, so it
        need not be looked for in that tree: most often it is what
        another process has released just now.

        The guard is advanced first: from here on a start on an older database is
        refused, so it does not matter whether the process dies before it answers.
        Raises `HaltedError` where the guard holds a head that is not of this log's
        history: somebody releases another one under its name; and `MissingKeyError`
        where a key is not here with which it is to be signed.
        """
        deadline = time.monotonic() + _GUARD_SECONDS
        known = await self._asked(self._guard.recall(self.origin))
        if known is not None and known.size >= head.size:
            known = await self._asked(self._guard.read(self.origin))
        while not await self._covers(known, head, committed_in, before):
            if await self._record(known, head, deadline):
                break
            # Somebody else was quicker, or the answer got lost: what is there decides.
            known = await self._asked(self._guard.read(self.origin))
        self._adopt(head, await self.announced_at(head))
        return self.note(head)

    async def _covers(
        self,
        known: ReleasedHead | None,
        head: ReleasedHead,
        committed_in: Incarnation | None,
        before: ReleasedHead | None,
    ) -> bool:
        """Tell whether the guard's head, which must be of this log, includes `head`."""
        if known is not None and known != before:
            await self._verify(known)
        # What the guard has is known, or was just found, to be of the answering
        # database's tree, and `head` is of the same one only if that did not change: a
        # database that was left is never returned to.
        if not self._storage.incarnation() == committed_in == self.incarnation:
            raise UnavailableError("another database answers than it is durable in")
        return known is not None and known.size >= head.size

    async def _record(
        self, known: ReleasedHead | None, head: ReleasedHead, deadline: float
    ) -> bool:
        """Advance the guard; False where that has to be found out by reading."""
        if time.monotonic() > deadline:
            raise UnavailableError("the guard cannot be advanced; somebody holds it up")
        try:
            return await self._guard.replace(self.origin, known, head)
        except GuardBusyError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.002)
            return False

    def note(self, head: ReleasedHead) -> str:
        """Return the checkpoint of a released head, signed by every key of that size.

        `MissingKeyError` where one of them is not here.
        """
        return self.signer.note(head, self.announced)

    async def announced_at(
        self, head: Head | ReleasedHead, reads: Reads | None = None
    ) -> Announced:
        """Return what the log announced below a head, which is of this database.

        Nothing is kept of it: the head may still be lost. A database that was altered
        halts the log (`HaltedError`).
        """
        known = self.announced
        if known.known_to >= head.size:
            return known
        if self._foreseen is not None:
            foreseen, announced = self._foreseen
            if (foreseen.size, foreseen.root) == (head.size, head.root):
                return announced
        reads = reads or self._storage
        try:
            return await read_announced(reads, self.id, known, head.size)
        except ConfigurationError as error:
            self._halt(str(error))

    def foresee(self, head: ReleasedHead, announced: Announced) -> None:
        """Take note of all that is announced below a head, which may never be released.

        It saves looking that up, and is believed of no other head.
        """
        self._foreseen = head, replace(announced, known_to=head.size)

    async def refresh(self) -> ReleasedHead:
        """Return the newest released head, another process's included.

        Raises `HaltedError` like `release`.
        """
        guarded = await self._asked(self._guard.read(self.origin))
        if guarded is not None and guarded.size > self.released.size:
            await self._verify(guarded)
            self._adopt(guarded, await self.announced_at(guarded))
        return self.released

    async def newest_released(self) -> ReleasedHead:
        """Return the newest head that any server released, held against nothing yet."""
        guarded = await self._asked(self._guard.read(self.origin))
        if guarded is not None and guarded.size > self.released.size:
            return guarded
        return self.released

    async def contradiction(self, head: Head, released: ReleasedHead) -> str | None:
        """Return why a head cannot follow a released one, None if it can.

        All is read anew from the database that answers.
        """
        tree = Tree(self._storage, self.id, TileCache(0))
        return await contradiction(tree, head, released)

    async def is_stored(self, released: ReleasedHead, head: Head) -> bool:
        """Tell whether the tree under a committed head went through another one.

        All is read anew from the database that answers.
        """
        if released.size > head.size:
            return False
        tree = Tree(self._storage, self.id, TileCache(0))
        return await tree.root(released.size) == released.root

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
                # Most often nothing is announced: that saves looking it up.
                known = self.announced
                complete = known.known_to >= self.edge.size
                if complete and not any(map(may_announce, leaves)):
                    self.foresee(ReleasedHead(head.size, head.root), known)
                return growth.edge
        tree = Tree(reads, self.id, TileCache(0))
        reason = await contradiction(tree, head, self.released)
        if reason is not None:
            self._halt(reason)
        return await tree.edge(head.size)

    def require_running(self) -> None:
        """Raise `HaltedError` where the log takes no entries."""
        if self.retired is not None:
            raise RetiredError(self.retired)
        if self.halted is not None:
            raise HaltedError(self.halted)

    def halt(self, reason: str) -> None:
        """Take no more entries until the process is started anew."""
        self.halted = reason
        logger.critical("log %s is halted: %s", self.origin, reason)

    def _halt(self, reason: str) -> NoReturn:
        self.halt(reason)
        raise HaltedError(reason)

    async def _asked(
        self, question: Awaitable[ReleasedHead | None]
    ) -> ReleasedHead | None:
        """Return what the guard says; a log that it calls retired takes no entries."""
        try:
            return await question
        except RetiredError as error:
            if self.retired is None:
                self.halt(str(error))
            self.retired = error.successor
            raise

    async def _verify(self, guarded: ReleasedHead) -> None:
        """Halt unless the guard's head is one of this database's own history."""
        self.require_running()
        if guarded == self.released:
            return
        while True:
            incarnation = self._storage.incarnation()
            reason = await self._objection(guarded)
            # What was read from two databases says nothing of either.
            if incarnation == self._storage.incarnation():
                break
        if reason is not None:
            self._halt(reason)

    async def _objection(self, guarded: ReleasedHead) -> str | None:
        head = await self._storage.head(self.id)
        if guarded.size > head.size:
            return _older(head, guarded)
        if await self.tree.root(guarded.size) != guarded.root:
            return _contradicted(guarded)
        return None

    def _adopt(self, head: ReleasedHead, announced: Announced) -> None:
        if announced.known_to > self.announced.known_to:
            self.announced = announced
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
