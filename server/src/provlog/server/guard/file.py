"""The guard of one machine: a folder outside the database's, a file for each log.

A file holds two records of `SLOT` bytes, each a line of JSON with a check sum. The
newer of the valid ones counts, and the other is written over: so there is a valid one
at every moment, wherever a process or the machine dies, and a release costs one small
write where replacing the file would cost ten times the commit's own work.

File work is done where it is asked for, on the event loop: it takes microseconds,
where a thread would take longer. What waits for the disk is not.
"""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from provlog.merkle.encoding import decode_hash, encode_base64
from provlog.merkle.errors import MalformedError
from provlog.server.errors import (
    ConfigurationError,
    GuardBusyError,
    UnavailableError,
)
from provlog.server.files import flush_path
from provlog.server.guard.base import ReleasedHead

SLOT = 512


class FileGuard:
    """A `Guard` that the processes of one machine share under a lock.

    Killing a process loses nothing; `flush` makes what was recorded survive the
    machine.
    """

    shared = False

    def __init__(self, folder: Path) -> None:
        self.failures = 0
        self._flushed = time.monotonic()
        self._folder = folder
        self._records: dict[str, _Record] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the guard folder {folder} cannot be used: {error.strerror}"
            ) from None

    async def prepare(self) -> None:
        """Nothing is to be done: the folder is there."""

    def path(self, origin: str) -> Path:
        """Return the file of one log."""
        return self._folder / f"{sha256(origin.encode()).hexdigest()[:32]}.json"

    def describe(self, origin: str) -> str:
        """Return the path of a log's file."""
        return str(self.path(origin))

    async def read(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head, or None where there is no file."""
        with self._counted():
            return self._record(origin).read()

    async def recall(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head: reading it costs next to nothing."""
        return await self.read(origin)

    async def replace(
        self, origin: str, known: ReleasedHead | None, head: ReleasedHead
    ) -> bool:
        """Record `head` if `known` is what is recorded; tell whether it was."""
        if known is not None and head.size <= known.size:
            raise ValueError("the guard only advances")
        with self._counted():
            record = self._record(origin)
            if known is None:
                # The first record is flushed at once.
                return await asyncio.to_thread(record.replace, known, head)
            return record.replace(known, head)

    async def flush(self) -> None:
        """Make everything recorded so far survive a crash of the machine."""
        try:
            await asyncio.to_thread(self._flush, list(self._records.values()))
        except OSError:
            self.failures += 1
            raise
        self._flushed = time.monotonic()

    def flush_age(self) -> float:
        """Return the seconds since a flush succeeded, or since this object was made."""
        return time.monotonic() - self._flushed

    def size(self, origin: str) -> int | None:
        """Return the size that was last read or recorded here; nothing is read."""
        record = self._records.get(origin)
        return None if record is None else record.size

    async def close(self) -> None:
        """Nothing is to be done: no file stays open."""

    def _flush(self, records: "list[_Record]") -> None:
        flushed = [record.flush() for record in records]
        if any(flushed):
            flush_path(self._folder)

    def _record(self, origin: str) -> "_Record":
        record = self._records.get(origin)
        if record is None:
            record = self._records[origin] = _Record(self.path(origin), origin)
        return record

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failures += 1
            raise UnavailableError(f"the guard: {error.strerror}") from error
        except ConfigurationError:
            self.failures += 1
            raise


class _Record:
    """The file of one log, and the lock beside it."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._unflushed = False
        # What the newest record of the bytes read last was: most reads find the same.
        self._parsed: tuple[bytes, tuple[int, ReleasedHead]] | None = None
        self.size: int | None = None

    def read(self) -> ReleasedHead | None:
        """Return what is recorded, or None where there is no file."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            head = self._newest(os.pread(descriptor, 2 * SLOT, 0))[1]
            self.size = head.size
            return head
        finally:
            os.close(descriptor)

    def replace(self, known: ReleasedHead | None, head: ReleasedHead) -> bool:
        """Record `head` under the lock if `known` is still what is recorded."""
        with self._locked():
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                if known is not None:
                    return False
                self._create(head)
                self.size = head.size
                return True
            try:
                slot, current = self._newest(os.pread(descriptor, 2 * SLOT, 0))
                if current != known:
                    return False
                os.pwrite(descriptor, self._format(head), (1 - slot) * SLOT)
                self._unflushed = True
                self.size = head.size
                return True
            finally:
                os.close(descriptor)

    def flush(self) -> bool:
        """Flush the file if it changed since; tell whether it did."""
        if not self._unflushed:
            return False
        self._unflushed = False
        try:
            flush_path(self._path)
        except OSError:
            self._unflushed = True
            raise
        return True

    def _create(self, head: ReleasedHead) -> None:
        # Under the lock, so the staged file is nobody else's.
        staged = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(staged, flags, 0o600)
        try:
            os.write(descriptor, self._format(head) * 2)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        staged.replace(self._path)
        self._unflushed = True

    def _newest(self, data: bytes) -> tuple[int, ReleasedHead]:
        parsed = self._parsed
        if parsed is None or parsed[0] != data:
            parsed = self._parsed = (data, self._parse_newest(data))
        return parsed[1]

    def _parse_newest(self, data: bytes) -> tuple[int, ReleasedHead]:
        valid = []
        for slot in (0, 1):
            head = self._parse(data[slot * SLOT : (slot + 1) * SLOT])
            if head is not None:
                valid.append((head.size, slot, head))
        if not valid:
            raise ConfigurationError(f"the guard {self._path} cannot be read")
        _, slot, head = max(valid, key=lambda item: item[:2])
        return slot, head

    def _parse(self, data: bytes) -> ReleasedHead | None:
        """Return the head of one slot, or None where it was not wholly written."""
        text, _, check = data.rstrip().rpartition(b" ")
        if len(data) != SLOT or check.decode("latin-1") != _check_sum(text):
            return None
        try:
            record = json.loads(text)
            if record["origin"] != self._origin or not isinstance(record["size"], int):
                raise ValueError("of another log")
            return ReleasedHead(record["size"], decode_hash(record["root"]))
        except (ValueError, KeyError, TypeError, MalformedError):
            raise ConfigurationError(
                f"the guard {self._path} is of another log"
            ) from None

    def _format(self, head: ReleasedHead) -> bytes:
        record = {
            "origin": self._origin,
            "size": head.size,
            "root": encode_base64(head.root),
        }
        text = json.dumps(record).encode()
        line = b"%b %b" % (text, _check_sum(text).encode())
        return line.ljust(SLOT - 1) + b"\n"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Opened each time: there may be more logs than files that may be open.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(f"{self._path}.lock", flags, 0o600)
        try:
            _take_lock(lock)
            yield
        finally:
            os.close(lock)


def _take_lock(lock: int) -> None:
    try:
        # Held for microseconds, unless its holder was stopped in the middle: then this
        # process must not stop with it.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise GuardBusyError("another process holds the guard's lock") from None


def _check_sum(text: bytes) -> str:
    return sha256(text).hexdigest()[:32]
