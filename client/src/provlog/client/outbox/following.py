"""Lines of a file or a pipe put into a spool, each of them once.

A file is remembered in the spool, by its device and number, with the offset behind the
last line that was put: both in one commit, so a crash neither loses a line nor puts one
twice. A file that was replaced (rotated) is read to its end first; one that became
shorter is read from its beginning. A pipe cannot be read again: a line is safe when it
was put, and the writer's business before.

A line that is no event, or that is too long, goes into the spool as failed.
"""

import asyncio
import os
import select
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from provlog.client.errors import OutboxFullError, UsageError, printable
from provlog.client.outbox.files import as_usage
from provlog.client.outbox.items import Failure, Item, event_item
from provlog.client.outbox.spool import Spool
from provlog.client.outbox.together import Place
from provlog.client.records import cut_records
from provlog.merkle.encoding import loads_json
from provlog.merkle.errors import MalformedError

CHUNK: Final = 256 << 10
MAX_LINE: Final = 1 << 20
KEPT: Final = 4 << 10
"""How much of a line that is too long is kept to be recognised by, in bytes."""

PAUSE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the offset behind it; one that is too long is not there as a whole."""

    text: bytes
    end: int
    is_whole: bool = True


class LineCutter:
    """Cuts a stream into lines; `offset` is where the stream begins."""

    def __init__(self, offset: int = 0) -> None:
        self._start = offset
        self._rest = bytearray()
        self._skipping = False

    @property
    def position(self) -> int:
        """The offset behind everything that was fed."""
        return self._start + len(self._rest)

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that end in `data`, and what became too long to be one."""
        found: list[Line] = []
        self._rest += data
        *ended, rest = bytes(self._rest).split(b"\n")
        for text in ended:
            self._start += len(text) + 1
            found += self._line(text)
            self._skipping = False
        if len(rest) > MAX_LINE:
            self._start += len(rest)
            found += self._line(rest)
            self._skipping, rest = True, b""
        self._rest = bytearray(rest)
        return found

    def finish(self) -> list[Line]:
        """Return what follows the last line's end: nothing more is to come."""
        text, self._rest = bytes(self._rest), bytearray()
        self._start += len(text)
        return self._line(text)

    def has_whole_rest(self) -> bool:
        """Tell whether what follows the last line's end is JSON: it cannot go on."""
        try:
            return isinstance(loads_json(bytes(self._rest)), dict)
        except MalformedError:
            return False

    def _line(self, text: bytes) -> list[Line]:
        if self._skipping or not text.strip():
            return []
        if len(text) > MAX_LINE:
            return [Line(text[:KEPT], self._start, is_whole=False)]
        return [Line(text, self._start)]


Unit = tuple[Item, int]
"""What a line becomes, and the offset behind it."""

Read = Callable[[Sequence[Line]], list[Unit]]


def read_events(lines: Sequence[Line]) -> list[Unit]:
    """Return each line as an event, or as what failed to be one."""
    return [(_read_event(each), each.end) for each in lines]


def read_records(format_: str, source: str) -> Read:
    """Return what makes records of a provider of lines.

    A line that is no JSON object goes along with the record before it, in one body: the
    log keeps it as it is.
    """

    def read(lines: Sequence[Line]) -> list[Unit]:
        units: list[Unit] = []
        for line in lines:
            text = line.text.strip()
            if line.is_whole and _is_record(text):
                units.append((Item(source, None, format_, text), line.end))
            elif line.is_whole and units and units[-1][0].failure is None:
                before = units[-1][0]
                body = before.body + b"\n" + text
                units[-1] = replace(before, body=body), line.end
            else:
                units.append((_failed(line, "not a record in JSON"), line.end))
        return units

    return read


class Follower:
    """Reads a file or a pipe, ``-`` for standard input, into a spool.

    `on_put` is called with the number of items that were put, `on_failed` with each of
    them that is no event, `on_full` when the spool has no room: reading waits until it
    has.
    """

    def __init__(
        self,
        spool: Spool,
        path: Path,
        read: Read,
        *,
        on_put: Callable[[int], None] = lambda _: None,
        on_failed: Callable[[Item], None] = lambda _: None,
        on_full: Callable[[OutboxFullError], None] = lambda _: None,
    ) -> None:
        self._spool = spool
        self._path = path
        self._read = read
        self._on_put = on_put
        self._on_failed = on_failed
        self._on_full = on_full
        self._stopping = False

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stopping = True

    async def run(self, *, once: bool = False) -> None:
        """Read for good, or, with `once`, to the present end.

        Of a file, a last line without an end waits for it, unless it is whole; standard
        input ends where its writer does.
        """
        if str(self._path) == "-":
            await self._pipe(0, ends=True)
            return
        with as_usage(self._path):
            mode = self._path.stat().st_mode
        if stat.S_ISREG(mode):
            await self._file(once=once)
        else:
            # Opened for writing too, a named pipe does not end with its last writer.
            with as_usage(self._path):
                flags = os.O_RDONLY | os.O_NONBLOCK if once else os.O_RDWR
                descriptor = os.open(self._path, flags)
            try:
                await self._pipe(descriptor, ends=once)
            finally:
                os.close(descriptor)

    async def _pipe(self, descriptor: int, *, ends: bool) -> None:
        cutter = LineCutter()
        while not self._stopping:
            data = await asyncio.to_thread(_read_some, descriptor)
            if data is None:
                continue
            if data == b"" and ends:
                await self._put(cutter.finish(), None)
                return
            await self._put(cutter.feed(data), None)

    async def _file(self, *, once: bool) -> None:
        name = str(self._path.absolute())
        while not self._stopping:
            with as_usage(self._path):
                descriptor = os.open(self._path, os.O_RDONLY)
            try:
                await self._one_file(name, descriptor, once=once)
            finally:
                os.close(descriptor)
            if once:
                return

    async def _one_file(self, name: str, descriptor: int, *, once: bool) -> None:
        """Read one file to its end, and on, until another stands under its name."""
        found = os.fstat(descriptor)
        place: Place = (name, found.st_dev, found.st_ino, 0)
        known = await asyncio.to_thread(self._spool.place, name)
        if known is not None and known[:3] == place[:3]:
            place = known
        if found.st_size < place[3]:
            place = (*place[:3], 0)
        cutter = LineCutter(place[3])
        while not self._stopping:
            data = os.pread(descriptor, CHUNK, cutter.position)
            await self._put(cutter.feed(data), place)
            if data:
                continue
            gone = self._is_replaced(place)
            if gone or (once and cutter.has_whole_rest()):
                await self._put(cutter.finish(), place)
            if gone or once or os.fstat(descriptor).st_size < cutter.position:
                return
            await asyncio.sleep(PAUSE)

    def _is_replaced(self, place: Place) -> bool:
        try:
            now = self._path.stat()
        except OSError:
            return False  # moved away, and the new one is not there yet
        return (now.st_dev, now.st_ino) != place[1:3]

    async def _put(self, lines: Sequence[Line], place: Place | None) -> None:
        units = self._read(lines)
        width = len(units)
        while units and not self._stopping:
            part = units[: max(width, 1)]
            at = None if place is None else (*place[:3], part[-1][1])
            try:
                await asyncio.to_thread(self._spool.put, [e[0] for e in part], at)
            except OutboxFullError as error:
                # Less may fit; at last it waits for room for one.
                width = len(part) // 2
                if not width:
                    self._on_full(error)
                    await asyncio.sleep(PAUSE)
                continue
            self._on_put(len(part))
            for item in (each for each, _ in part if each.failure is not None):
                self._on_failed(item)
            units = units[len(part) :]


def _read_some(descriptor: int) -> bytes | None:
    """Return what a pipe has, nothing at its end, None if it has nothing for now."""
    if os.name == "posix" and not select.select([descriptor], [], [], PAUSE)[0]:
        return None
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None


def _read_event(line: Line) -> Item:
    if not line.is_whole:
        return _failed(line, f"a line of more than {MAX_LINE} bytes, of which {KEPT}")
    try:
        value = loads_json(line.text, "event")
        if not isinstance(value, dict):
            raise UsageError("not a JSON object")
        return event_item(value)
    except (UsageError, MalformedError) as error:
        return _failed(line, printable(str(error)))


def _failed(line: Line, detail: str) -> Item:
    where = f"{detail} (the line that ends at byte {line.end})"
    return Item("", None, None, line.text, failure=Failure(0, where, "not-an-event"))


def _is_record(text: bytes) -> bool:
    try:
        records = cut_records(text)
    except UsageError:
        return False
    return records.lines and len(records.items) == 1
