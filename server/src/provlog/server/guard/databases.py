"""Beside a guard of one machine: which database each log was released from.

For each log a file `<hash>.database.json` with a line as the guard's has: origin,
system id and timeline. It is written under a lock, flushed, and put in its place whole.
"""

from collections.abc import Mapping
from pathlib import Path

from provlog.merkle.encoding import MAX_SAFE_INTEGER, JsonValue, parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError, UnavailableError
from provlog.server.files import flush_path
from provlog.server.guard.file import guard_path, locked, put_file
from provlog.server.guard.lineage import Database
from provlog.server.guard.record import SLOT, DamagedRecordError, seal, unseal


class DatabaseRecords:
    """The files of a guard's folder, which has to be there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, origin: str) -> Path:
        """Return the file of one log."""
        return guard_path(self._folder, origin).with_suffix(".database.json")

    def read(self, origin: str) -> Database | None:
        """Return what is recorded of a log, None where nothing is.

        Raises `ConfigurationError` for a file that is none of ours, `UnavailableError`
        where it cannot be read now.
        """
        path = self.path(origin)
        try:
            with path.open("rb") as file:
                data = file.read(SLOT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}") from error
        try:
            return _parse(unseal(data), origin)
        except (DamagedRecordError, MalformedError):
            raise ConfigurationError(
                f"{path} cannot be read; it says which database the log {origin} was"
                " released from: see provlog-server recover"
            ) from None

    def write(self, changes: Mapping[str, Database], before: "Records") -> bool:
        """Record databases durably by origin; False where `before` holds no longer.

        If we crash in the middle, some logs have the new record and some the old one:
        the next start judges each by its own.
        """
        for origin, database in changes.items():
            path = self.path(origin)
            try:
                with locked(path):
                    if self.read(origin) != before[origin]:
                        return False
                    put_file(path, seal(_format(database, origin)))
            except OSError as error:
                raise UnavailableError(f"{path}: {error.strerror}") from error
        if changes:
            flush_path(self._folder)
        return True

    def settle(self, origin: str, database: Database | None) -> None:
        """Record what an operator has accepted, whatever is recorded; durably.

        None for an embedded database, of which nothing is recorded.
        """
        path = self.path(origin)
        try:
            with locked(path):
                if database is None:
                    path.unlink(missing_ok=True)
                else:
                    put_file(path, seal(_format(database, origin)))
            flush_path(self._folder)
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}") from error


Records = Mapping[str, Database | None]


def _format(database: Database, origin: str) -> dict[str, JsonValue]:
    # A system id is larger than what JSON's numbers hold exactly.
    return {
        "origin": origin,
        "system": str(database.system),
        "timeline": database.timeline,
    }


def _parse(members: dict[str, JsonValue], origin: str) -> Database:
    system, timeline = members.get("system"), members.get("timeline")
    if members.get("origin") != origin or not isinstance(system, str):
        raise MalformedError("of another log")
    if type(timeline) is not int or not 0 <= timeline <= MAX_SAFE_INTEGER:
        raise MalformedError("without a timeline")
    return Database(parse_decimal(system, maximum=2**64 - 1), timeline)
