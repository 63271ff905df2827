"""Logs that are written straight into a storage, without a service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Self

from provlog.merkle.edge import RightEdge
from provlog.merkle.hashing import leaf_hash
from provlog.server.storage.base import (
    Cursor,
    Extension,
    Head,
    LogRecord,
    NewEntry,
    Storage,
)
from provlog.server.storage.rows import EMPTY_HEAD
from support.engines import new_record
from support.naive_tree import NaiveTree


@dataclass(slots=True)
class WrittenLog:
    """A log and what was written to it; its leaves are arbitrary bytes."""

    id: int
    record: LogRecord
    leaves: list[bytes]
    edge: RightEdge
    head: Head

    @classmethod
    async def create(
        cls, storage: Storage, leaves: Sequence[bytes] = (), name: str = "log"
    ) -> Self:
        """Return a log that is new in a storage, with these leaves."""
        record = new_record(name)
        async with storage.transaction() as transaction:
            number = await transaction.create_log(record)
            await transaction.commit()
        known = replace(record, id=number)
        made = cls(number, known, [], RightEdge.empty(), EMPTY_HEAD)
        if leaves:
            await made.append(storage, leaves)
        return made

    def entries(self, leaves: Iterable[bytes]) -> list[NewEntry]:
        """Return the next entries, of these leaves and nothing else."""
        return [
            NewEntry(index, leaf, None, None, None)
            for index, leaf in enumerate(leaves, len(self.leaves))
        ]

    def extension(self, entries: Sequence[NewEntry]) -> Extension:
        """Return what adds the next entries to the log."""
        growth = self.edge.grow([leaf_hash(entry.leaf) for entry in entries])
        size = growth.edge.size
        head = Head(size, growth.root, self.head.events, 1, self.head.recorded + 1)
        return Extension(self.id, head, entries, growth.tiles)

    async def append(self, storage: Storage, leaves: Iterable[bytes]) -> None:
        """Add entries of these leaves to the log, durably."""
        await self.commit(storage, self.extension(self.entries(leaves)))

    async def commit(self, storage: Storage, extension: Extension) -> None:
        """Make an extension of the log durable."""
        async with storage.transaction() as transaction:
            assert await transaction.lock(self.id) == self.head
            await transaction.extend(extension)
            await transaction.commit()
        self.added(extension)

    def added(self, extension: Extension) -> None:
        """Note that an extension was committed."""
        new = [entry.leaf for entry in extension.entries]
        self.edge = self.edge.grow([leaf_hash(leaf) for leaf in new]).edge
        self.leaves += new
        self.head = extension.head

    def naive(self) -> NaiveTree:
        """Return the tree over its leaves."""
        return NaiveTree([leaf_hash(leaf) for leaf in self.leaves])


async def save_cursor(storage: Storage, log: int, cursor: Cursor) -> None:
    """Write a cursor, durably."""
    async with storage.transaction() as transaction:
        await transaction.set_cursor(log, cursor)
        assert await transaction.cursor(log, cursor.source) == cursor
        await transaction.commit()


def key_of(name: str) -> bytes:
    """Return a blinded id."""
    return sha256(name.encode()).digest()


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Return leaves that differ."""
    return [b"%08d" % index for index in range(start, start + count)]
