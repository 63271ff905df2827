"""What the rig has to know of a database engine; everything else is the same for all.

An `Engine` makes `Database`s, one for each instance that is attacked, and looks at them
from beside the servers.
"""

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import apsw

from support.servers import Server

_FLOCK = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, process."""

_WAL_WRITE_LOCK = 120
"""The byte of the -shm file that SQLite's writer locks."""


class Database(Protocol):
    """Where one instance keeps its log.

    `options` are further options of `init`, `variables` belong into the environment of
    every command.
    """

    options: Sequence[str]
    variables: Mapping[str, str]

    def committed(self, server: Server) -> int:
        """Return the size of the newest committed head."""

    def is_writing(self, server: Server) -> bool:
        """Tell whether this server holds the log's lock now."""


class Engine(Protocol):
    """A database engine. `goes_on` tells whether a frozen writer is cut off."""

    name: str
    goes_on: bool

    def database(self, folder: Path) -> AbstractContextManager[Database]:
        """Make room for one new instance; what is left of it goes with the block."""

    def close(self) -> None:
        """Remove what was made for all instances."""


class SqliteDatabase:
    """One file in the instance's own folder."""

    options: Sequence[str] = ()
    variables: Mapping[str, str] = {}

    def committed(self, server: Server) -> int:
        """Return the size of the newest committed head."""
        path = str(server.folder / "provlog.db")
        database = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            [(size,)] = database.execute("SELECT size FROM heads")
        finally:
            database.close()
        return int(size)

    def is_writing(self, server: Server) -> bool:
        """Ask the kernel who holds the writer's lock, which disturbs nobody."""
        assert server.process is not None
        question = struct.pack(
            _FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _WAL_WRITE_LOCK, 1, 0
        )
        with (server.folder / "provlog.db-shm").open("r+b") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, question)
        kind, *_, process = struct.unpack(_FLOCK, answer)
        return bool(kind != fcntl.F_UNLCK and process == server.process.pid)


class SqliteEngine:
    """SQLite: nothing has to be started."""

    name = "sqlite"
    goes_on = False

    @staticmethod
    def lacks() -> None:
        """Return None: it is always there."""

    @contextmanager
    def database(self, folder: Path) -> Iterator[Database]:
        """Yield a database in the instance's folder."""
        yield SqliteDatabase()

    def close(self) -> None:
        """Return: nothing was made."""
