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
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from provlog.merkle.errors import MalformedError
from provlog.server.errors import (
    ConfigurationError,
    GuardBusyError,
    UnavailableError,
)
from provlog.server.files import flush_path
from provlog.server.guard.base import GuardRecord, ReleasedHead
from provlog.server.guard.record import (
    SLOT,
    DamagedRecordError,
    format_record,
    parse_record,
    released_head,
)


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
        self._files: dict[str, _File] = {}
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
        return guard_path(self._folder, origin)

    def describe(self, origin: str) -> str:
        """Return the path of a log's file."""
        return str(self.path(origin))

    async def read(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head, or None where there is no file."""
        record = await self.inspect(origin)
        return None if record is None else released_head(record)

    async def inspect(self, origin: str) -> GuardRecord | None:
        """Return all that is recorded, or None where there is no file."""
        with self._counted():
            return self._file(origin).read()

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
            file = self._file(origin)
            if known is None:
                # The first record is flushed at once.
                return await asyncio.to_thread(file.replace, known, head)
            return file.replace(known, head)

    async def retire(self, origin: str, head: ReleasedHead, successor: str) -> bool:
        """Retire a log durably, in both records of its file."""
        with self._counted():
            return await asyncio.to_thread(self._file(origin).retire, head, successor)

    async def flush(self) -> None:
        """Make everything recorded so far survive a crash of the machine."""
        try:
            await asyncio.to_thread(self._flush, list(self._files.values()))
        except OSError:
            self.failures += 1
            raise
        self._flushed = time.monotonic()

    def flush_age(self) -> float:
        """Return the seconds since a flush succeeded, or since this object was made."""
        return time.monotonic() - self._flushed

    def size(self, origin: str) -> int | None:
        """Return the size that was last read or recorded here; nothing is read."""
        file = self._files.get(origin)
        return None if file is None else file.size

    async def close(self) -> None:
        """Nothing is to be done: no file stays open."""

    def _flush(self, files: "list[_File]") -> None:
        flushed = [file.flush() for file in files]
        if any(flushed):
            flush_path(self._folder)

    def _file(self, origin: str) -> "_File":
        file = self._files.get(origin)
        if file is None:
            file = self._files[origin] = _File(self.path(origin), origin)
        return file

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


class _File:
    """The file of one log, and the lock beside it."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._unflushed = False
        # What the newest record of the bytes read last was: most reads find the same.
        self._parsed: tuple[bytes, tuple[int, GuardRecord]] | None = None
        self.size: int | None = None

    def read(self) -> GuardRecord | None:
        """Return what is recorded, or None where there is no file."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            record = self._newest(os.pread(descriptor, 2 * SLOT, 0))[1]
            self.size = record.head.size
            return record
        finally:
            os.close(descriptor)

    def replace(self, known: ReleasedHead | None, head: ReleasedHead) -> bool:
        """Record `head` under the lock if `known` is still what is recorded."""
        with locked(self._path):
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
                if known is None or current != GuardRecord(known):
                    return False
                data = format_record(self._origin, GuardRecord(head))
                os.pwrite(descriptor, data, (1 - slot) * SLOT)
                self._unflushed = True
                self.size = head.size
                return True
            finally:
                os.close(descriptor)

    def retire(self, head: ReleasedHead, successor: str) -> bool:
        """Record under the lock that a log is retired, if `head` is its newest."""
        retired = GuardRecord(head, successor)
        data = format_record(self._origin, retired)
        with locked(self._path):
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            try:
                slot, current = self._newest(os.pread(descriptor, 2 * SLOT, 0))
                if current not in (retired, GuardRecord(head)):
                    return False
                # The older slot first: if we crash before the other one is written, the
                # head stands there still, and the retired one counts before it. Both,
                # so that no damage to one of them brings the log back.
                for place in (1 - slot, slot):
                    os.pwrite(descriptor, data, place * SLOT)
                    os.fsync(descriptor)
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
        data = format_record(self._origin, GuardRecord(head))
        put_file(self._path, data * 2)
        self._unflushed = True

    def _newest(self, data: bytes) -> tuple[int, GuardRecord]:
        parsed = self._parsed
        if parsed is None or parsed[0] != data:
            parsed = self._parsed = (data, self._parse_newest(data))
        return parsed[1]

    def _parse_newest(self, data: bytes) -> tuple[int, GuardRecord]:
        valid = []
        for slot in (0, 1):
            record = self._parse(data[slot * SLOT : (slot + 1) * SLOT])
            if record is not None:
                retired = record.successor is not None
                valid.append((record.head.size, retired, slot, record))
        if not valid:
            raise ConfigurationError(f"the guard {self._path} cannot be read")
        _, _, slot, record = max(valid, key=lambda item: item[:3])
        return slot, record

    def _parse(self, data: bytes) -> GuardRecord | None:
        """Return the record of one slot, or None where it was not wholly written."""
        try:
            return parse_record(data, self._origin)
        except DamagedRecordError:
            return None
        except MalformedError as error:
            raise ConfigurationError(f"the guard {self._path} is {error}") from None


def guard_path(folder: Path, origin: str) -> Path:
    """Return the file of one log in a guard's folder."""
    return folder / f"{sha256(origin.encode()).hexdigest()[:32]}.json"


def put_file(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in its place, its content flushed.

    To be called under its lock: what is staged beside it is nobody else's then.
    """
    staged = path.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(staged, flags, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    staged.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a file; `GuardBusyError` while another process does."""
    # Opened each time: there may be more logs than files that may be open.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    lock = os.open(f"{path}.lock", flags, 0o600)
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
