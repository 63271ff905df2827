"""Exporting a whole log: its public part, and the private side beside it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provlog.server.errors import ConfigurationError
from provlog.server.guard import ReleasedHead
from provlog.server.keyring import LogKeys
from provlog.server.log import Log
from provlog.server.moving.digests import Digesting, FileDigest, digesting
from provlog.server.moving.folders import Folder, require_empty
from provlog.server.moving.manifest import (
    CURSORS,
    ENTRIES,
    SOURCES,
    TOKENS,
    Manifest,
    write_manifest,
)
from provlog.server.moving.private_side import (
    CursorLine,
    EntryLine,
    SourceLine,
    TokenLine,
    encode_line,
)
from provlog.server.moving.tree_files import CHECKPOINT, OnProgress, write_tree
from provlog.server.service import Service
from provlog.server.storage.base import Head, Reads, SourceRecord

ROWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported; `left_out` counts tokens that open other logs as well."""

    head: Head
    left_out: int


async def export_log(
    service: Service, log: Log, keys: LogKeys, to: Path, on_progress: OnProgress
) -> Exported:
    """Write a log to an empty folder, all of it as it was at one moment.

    Durable when it returns. Its checkpoint is a released head: what an export holds, a
    reader of the log may have seen. Raises `ConfigurationError` where the folder holds
    anything already.
    """
    require_empty(to)
    folder = Folder(to, private=True)
    folder.make()
    # Of before the snapshot: if it is of another database, its head is not released.
    incarnation = service.storage.incarnation()
    async with service.storage.snapshot() as reads:
        head = await reads.head(log.id)
        if head.size == 0:
            raise ConfigurationError("a log without entries cannot be exported")
        # Behind a barrier that was passed since, the snapshot's head is durable.
        await service.storage.barrier(log.id)
        note = await log.release(ReleasedHead(head.size, head.root), incarnation)
        # A head that another process released meanwhile is not in the snapshot.
        await write_tree(folder, reads, log.id, 0, head.size, on_progress)
        writer = _PrivateWriter(folder, reads, log.id)
        await writer.write(head.size)
    folder.write(CHECKPOINT, note.encode())
    write_manifest(folder, Manifest(log.record, head, writer.digests), keys.id_key)
    return Exported(head, writer.left_out)


class _PrivateWriter:
    """Writes the files of the private side."""

    def __init__(self, folder: Folder, reads: Reads, log: int) -> None:
        self._folder = folder
        self._reads = reads
        self._log = log
        self.digests: dict[str, FileDigest] = {}
        self.left_out = 0

    async def write(self, size: int) -> None:
        """Write what belongs to the first `size` entries, and what has no index."""
        with self._digesting(ENTRIES) as file:
            for start in range(0, size, ROWS):
                await self._write_entries(file, start, min(start + ROWS, size))
        sources = await self._reads.registrations(self._log)
        with self._digesting(SOURCES) as file:
            for index, each in sources:
                line = SourceLine(index, each.uri, each.ns, each.connector)
                file.write(encode_line(line))
        await self._write_cursors([source for _, source in sources])
        await self._write_tokens()

    async def _write_entries(self, file: Digesting, start: int, end: int) -> None:
        private = await self._reads.private_rows(self._log, start, end)
        openings = await self._reads.opening_rows(self._log, start, end)
        lines = (
            EntryLine.of(index, private.get(index), openings.get(index))
            for index in range(start, end)
        )
        file.write(b"".join(map(encode_line, lines)))

    async def _write_cursors(self, sources: Sequence[SourceRecord]) -> None:
        with self._digesting(CURSORS) as file:
            for source in sources:
                cursor = await self._reads.cursor(self._log, source.uri)
                if cursor is not None:
                    line = CursorLine(cursor.source, cursor.position, cursor.updated)
                    file.write(encode_line(line))

    async def _write_tokens(self) -> None:
        """Write the tokens that open nothing but this log."""
        reaching: list[frozenset[int] | None] = [frozenset({self._log})]
        if len(await self._reads.logs()) == 1:
            reaching.append(None)
        with self._digesting(TOKENS) as file:
            for token in await self._reads.tokens(self._log):
                if token.logs in reaching:
                    file.write(encode_line(TokenLine.of(token)))
                else:
                    self.left_out += 1

    @contextmanager
    def _digesting(self, name: str) -> Iterator[Digesting]:
        with digesting(self._folder, name, self.digests) as file:
            yield file
