"""Services on a storage that fails as told, and what must hold whatever failed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from provlog.merkle.encoding import decode_base64
from provlog.merkle.entries import parse_entry
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.merkle.trust import verify_checkpoint
from provlog.server.batch import Appended, Repeated
from provlog.server.clock import Clock
from provlog.server.errors import UnavailableError
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.registry import create_log
from provlog.server.service import Service
from provlog.server.units import Committed
from support.memory_guard import MemoryGuard
from support.memory_storage import MemoryDatabase, MemoryStorage
from support.naive_tree import NaiveTree
from support.services import draft, now_ms, trust_of

LOGS = ("main", "other")


class World:
    """A database in memory with two logs, their keys, and a guard.

    Any number of services may use it at once; what each of them answers is kept, and
    `settle` holds it against what is there in the end.
    """

    def __init__(self, database: MemoryDatabase, keys: Keyring) -> None:
        self.database = database
        self.keys = keys
        self.guard = MemoryGuard()
        self._sent: set[tuple[str, str]] = set()
        self._indexes: dict[tuple[str, str], int] = {}
        self._leaves: dict[tuple[str, int], bytes] = {}
        self._heads: set[tuple[str, int, bytes]] = set()

    @classmethod
    async def make(cls, folder: Path) -> Self:
        """Return a world whose logs hold their parameters alone."""
        made = cls(MemoryDatabase(), Keyring(folder / "keys"))
        for name in LOGS:
            await create_log(
                MemoryStorage(made.database),
                made.keys,
                made.guard,
                name=name,
                origin=f"log.example.com/{name}",
                public=False,
                now=now_ms(),
            )
        return made

    def copy(self) -> "World":
        """Return the same world with a life of its own, to which nothing has happened.

        Its guard knows nothing yet; the first service makes it one.
        """
        return World(self.database.copy(), self.keys)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Service]:
        """Open a service, as a process of its own would."""
        storage = MemoryStorage(self.database)
        async with Service(storage, self.keys, self.guard, Clock()) as service:
            yield service

    async def send(self, service: Service, name: str, *ids: str) -> bool:
        """Submit events as one unit; tell whether they were answered with receipts.

        They have to be true, and to agree with every other one. The only other answer
        there may be is that the same events are to be sent again.
        """
        log = await service.log(name)
        assert log is not None
        self._sent.update((name, each) for each in ids)
        drafts = [draft(log, each) for each in ids]
        try:
            committed = await service.sequencer.submit(log, drafts)
        except UnavailableError:
            return False
        self._require_true(log, committed, ids)
        return True

    def _require_true(
        self, log: Log, committed: Committed, ids: tuple[str, ...]
    ) -> None:
        name, release = log.record.name, committed.release
        signed = verify_checkpoint(release.note.encode(), trust_of(log)).checkpoint
        head = release.head
        assert (signed.size, signed.root) == (head.size, head.root)
        self._heads.add((name, head.size, head.root))
        for event_id, outcome in zip(ids, committed.outcomes, strict=True):
            assert isinstance(outcome, Appended | Repeated)
            index = outcome.index
            assert self._indexes.setdefault((name, event_id), index) == index
            assert index < head.size
            if isinstance(outcome, Appended):
                proof = [decode_base64(text) for text in release.hashes(index)]
                hashed = leaf_hash(outcome.leaf)
                verify_inclusion(index, head.size, hashed, proof, head.root)
                known = self._leaves.setdefault((name, index), outcome.leaf)
                assert known == outcome.leaf, "two receipts for one index"

    async def settle(self) -> None:
        """Crash, start anew with nothing failing, send everything again, and compare.

        Everything is there once, where every receipt said, under roots that every
        released head belongs to.
        """
        self.database.faults.clear()
        self.database.crash()
        async with self.served() as service:
            for name in LOGS:
                ids = sorted(each for log, each in self._sent if log == name)
                for each in ids:
                    assert await self.send(service, name, each)
                log = await service.log(name)
                assert log is not None
                await self._require_whole(service, log, len(ids))

    async def _require_whole(self, service: Service, log: Log, events: int) -> None:
        name, size = log.record.name, log.released.size
        assert (await service.storage.head(log.id)).size == size
        leaves = await service.storage.leaves(log.id, 0, size)
        tree = NaiveTree([leaf_hash(leaf) for leaf in leaves])
        entries = [parse_entry(leaf) for leaf in leaves]
        of_events = [entry.n for entry in entries if entry.kind == "event"]
        assert of_events == list(range(events)), "lost, or there twice"
        recorded = [entry.recorded for entry in entries]
        assert recorded == sorted(recorded)
        for owner, at, root in self._heads:
            assert owner != name or tree.root(at) == root, "a head was forked"
        for (owner, index), leaf in self._leaves.items():
            assert owner != name or leaves[index] == leaf
