"""Which logs a witness knows: those that were added, and those of lists in files."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.log_list import (
    MAX_LIST_SIZE,
    ListedLog,
    format_log_list,
    parse_log_list,
    require_log,
)
from provlog.server.errors import ConfigurationError
from provlog.server.witness.records import LogRow
from provlog.server.witness.store import WitnessStore

logger = logging.getLogger(__name__)

MOST_KEYS: Final = 16
"""How many keys of one log are known, and so verified for one request, at most."""


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log whose checkpoints are taken if any of `keys` signed them.

    `rate`: how often it may grow in a day; `contact` is empty where nobody said it.
    """

    origin: str
    keys: tuple[VerifierKey, ...]
    rate: int
    contact: str

    def listed(self) -> ListedLog:
        """Return it as a list names it: a list has one key of each log, the newest."""
        return ListedLog(self.keys[-1], self.origin, self.rate, self.contact or "none")


class Roll:
    """The logs by origin. What an operator adds or removes is seen at the next request.

    Lists are read again by `look`, which waits for the disk; while one cannot be read,
    what it said before holds.
    """

    def __init__(self, store: WitnessStore, lists: Sequence[Path] = ()) -> None:
        """Read all of it; `ConfigurationError` where a list cannot be read."""
        self._store = store
        self._stamps = {path: _stamp(path) for path in lists}
        self._lists = {path: read_list(path) for path in lists}
        self._wrong: dict[Path, str] = {}
        self._revision = -1
        self._known: Mapping[str, KnownLog] = {}
        self._listing: str | None = None
        self.take_up()

    def find(self, origin: str) -> KnownLog | None:
        """Return a log, None where it is not known."""
        return self.known().get(origin)

    def known(self) -> Mapping[str, KnownLog]:
        """Return all logs by origin; what was added goes before what a list says."""
        revision = self._store.revision()
        if revision != self._revision:
            added = {row.origin: _from_row(row) for row in self._store.logs()}
            known = dict(self._listed)
            for origin, log in added.items():
                known[origin] = _joined(log, known.get(origin))
            self._known, self._revision, self._listing = known, revision, None
        return self._known

    def listing(self) -> str:
        """Return all logs as a tlog-list, which is written once for many readers."""
        known = self.known()
        if self._listing is None:
            listed = [known[origin].listed() for origin in sorted(known)]
            self._listing = format_log_list(listed).decode()
        return self._listing

    @property
    def broken(self) -> int:
        """How many lists cannot be read."""
        return len(self._wrong)

    def look(self) -> bool:
        """Read lists that changed; tell whether there is something to take up.

        What is wrong with one is written to the log once.
        """
        return sum(self._look_at(path) for path in self._lists) > 0

    def take_up(self) -> None:
        """Let what lists say now hold, from the next request on."""
        self._listed = _merged(self._lists.values())
        self._revision = -1

    def _look_at(self, path: Path) -> bool:
        try:
            stamp = _stamp(path)
            if stamp == self._stamps[path]:
                return False
            # Before it is read: what is written meanwhile is read the next time.
            self._stamps[path] = stamp
            self._lists[path] = read_list(path)
        except ConfigurationError as error:
            if self._wrong.get(path) != str(error):
                logger.error("%s; what it said before holds", error)
            self._wrong[path] = str(error)
            return False
        self._wrong.pop(path, None)
        logger.info("read %d logs from %s", len(self._lists[path]), path)
        return True


def read_list(path: Path) -> tuple[ListedLog, ...]:
    """Return the logs in a file; `ConfigurationError` says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LIST_SIZE + 1)
        return parse_log_list(data)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except MalformedError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def add_log(
    store: WitnessStore, vkey: str, origin: str | None, rate: int | None, contact: str
) -> str:
    """Add a log, or a further key of one, durably; return its origin.

    By default that is the key's name. Raises `ConfigurationError` for what is no log's
    key, and for one key too many.
    """
    try:
        key = VerifierKey.parse(vkey)
        chosen = key.name if origin is None else origin
        require_log(key, chosen)
    except MalformedError as error:
        raise ConfigurationError(str(error)) from None
    for row in store.logs():
        if row.origin == chosen and vkey not in row.vkeys:
            _require_room(row, key)
    store.settle(lambda writing: writing.add_log(chosen, vkey, rate, contact))
    return chosen


def _require_room(row: LogRow, key: VerifierKey) -> None:
    if len(row.vkeys) >= MOST_KEYS:
        raise ConfigurationError(f"a log has {MOST_KEYS} keys at most")
    others = (VerifierKey.parse(each) for each in row.vkeys)
    if any((each.name, each.key_id) == (key.name, key.key_id) for each in others):
        raise ConfigurationError("another key of this log has the same name and ID")


def _from_row(row: LogRow) -> KnownLog:
    keys = tuple(VerifierKey.parse(each) for each in row.vkeys)
    return KnownLog(row.origin, keys, row.rate, row.contact)


def _merged(lists: Iterable[Sequence[ListedLog]]) -> dict[str, KnownLog]:
    """Return what lists say together; of one log the keys of all, the first's rate."""
    merged: dict[str, KnownLog] = {}
    for log in (each for listed in lists for each in listed):
        one = KnownLog(log.origin, (log.key,), log.rate, log.contact)
        merged[log.origin] = _joined(merged.get(log.origin, one), one)
    return merged


def _joined(log: KnownLog, other: KnownLog | None) -> KnownLog:
    """Return `log` with the other's keys before its own, as far as there is room."""
    if other is None or other is log:
        return log
    taken = {(key.name, key.key_id) for key in log.keys}
    more = [key for key in other.keys if (key.name, key.key_id) not in taken]
    return replace(log, keys=(*more, *log.keys)[-MOST_KEYS:])


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino
