"""What a log has announced of itself: new keys, and that it has ended.

Entries of kind `key` and `freeze` decide who signs a tree and whether it may grow, so
every process has to know them before it signs or writes. They are found without reading
the log: each has a row in the table of blinded ids, under an id that is made from its
number (`announcement_id`). That row is inserted in the transaction of its entry, as
those of events are, and being unique it lets no two processes make the same
announcement.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Final, cast

from provlog.merkle.announcement_document import MAX_ANNOUNCEMENTS
from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import parse_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import Reads

KEY: Final = "key"
FREEZE: Final = "freeze"
KINDS: Final = frozenset({KEY, FREEZE})
MAX_KEYS: Final = MAX_ANNOUNCEMENTS - 1
"""How many keys a log may announce: all is one answer, in which its end has a place."""

_ID_PREFIX: Final = b"provlog announcement/1\0"
_STEP: Final = 8
"""How many are looked up at a time; few logs ever have more."""
_MARKS: Final = tuple(f'"kind":"{kind}"'.encode() for kind in sorted(KINDS))


def announcement_id(number: int) -> bytes:
    """Return the id under which the announcement of a number stands, from 0 on.

    Those of events are HMACs under the log's own key: none is like this one.
    """
    return sha256(_ID_PREFIX + number.to_bytes(8, "big")).digest()


def may_announce(leaf: bytes) -> bool:
    """Tell whether a leaf may be an announcement; False is certain.

    No string of a leaf holds quotation marks, so nothing but the kind looks like this.
    """
    return any(mark in leaf for mark in _MARKS)


@dataclass(frozen=True, slots=True)
class Announcement:
    """The entry at `index`: `log_key` replaces `replaces`, or, with none, the log ends.

    `successor` is the log that goes on in its place, where the freeze names one.
    """

    index: int
    leaf: bytes
    log_key: str | None = None
    replaces: str | None = None
    successor: dict[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedKey:
    """A key that signs each tree of more than `index` leaves: 0 for the first one.

    `until` is the index of the entry that announced the next one, None for the newest.
    """

    vkey: str
    index: int
    until: int | None


@dataclass(frozen=True)
class Announced:
    """All that a log announced below index `known_to`; `first` is its first key."""

    first: str
    entries: tuple[Announcement, ...] = ()
    known_to: int = 1

    @cached_property
    def keys(self) -> tuple[AnnouncedKey, ...]:
        """Every key of the log in order, the first one first."""
        changes = [each for each in self.entries if each.log_key is not None]
        vkeys = [self.first, *(str(each.log_key) for each in changes)]
        begins = [0, *(each.index for each in changes)]
        ends: list[int | None] = [*begins[1:], None]
        spans = zip(vkeys, begins, ends, strict=True)
        return tuple(AnnouncedKey(*span) for span in spans)

    @property
    def newest(self) -> str:
        """The key that was announced last."""
        return self.keys[-1].vkey

    @property
    def frozen(self) -> Announcement | None:
        """The entry that ended the log, None while it goes on."""
        last = self.entries[-1] if self.entries else None
        return None if last is None or last.log_key is not None else last

    def keys_of(self, size: int) -> list[str]:
        """Return the keys that sign a tree of that size, the newest first."""
        return [
            key.vkey for key in reversed(self.keys) if key.index < size or not key.index
        ]

    def adding(self, index: int, leaf: bytes) -> "Announced":
        """Return what is known with a further announcement.

        Raises `MalformedError` for one that cannot follow those that there are.
        """
        made = read_announcement(index, leaf)
        if self.frozen is not None:
            raise MalformedError("it stands after the end of the log")
        if made.log_key is not None:
            self._require_next(made)
        return replace(
            self, entries=(*self.entries, made), known_to=max(self.known_to, index + 1)
        )

    def _require_next(self, made: Announcement) -> None:
        if len(self.entries) >= MAX_KEYS:
            raise MalformedError(f"more than {MAX_KEYS} keys")
        if made.replaces != self.newest:
            raise MalformedError("it replaces another key than the newest one")
        require_log_key(str(made.log_key), VerifierKey.parse(self.first).name)
        if any(made.log_key == key.vkey for key in self.keys):
            raise MalformedError("it announces a key that the log had before")


def read_announcement(index: int, leaf: bytes) -> Announcement:
    """Return a leaf's announcement; `MalformedError` where it makes none."""
    body = parse_entry(leaf).body
    if body["kind"] == KEY:
        return Announcement(index, leaf, str(body["log_key"]), str(body["replaces"]))
    if body["kind"] == FREEZE:
        successor = cast("dict[str, JsonValue] | None", body.get("successor"))
        return Announcement(index, leaf, successor=successor)
    raise MalformedError("an entry that announces nothing")


def require_log_key(vkey: str, origin: str) -> VerifierKey:
    """Return a key that a log of this origin may sign with.

    Raises `MalformedError` for anything but an Ed25519 key under the origin's name.
    """
    key = VerifierKey.parse(vkey)
    if key.name != origin or key.key_type is not KeyType.ED25519:
        raise MalformedError("not an Ed25519 key under the log's origin")
    return key


async def read_announced(
    reads: Reads, log: int, known: Announced, size: int
) -> Announced:
    """Return what a log announced below `size`, going on from what is known.

    Raises `ConfigurationError` where what stands there cannot be: the database was
    altered, and `fsck` says more.
    """
    while known.frozen is None:
        numbers = range(len(known.entries), len(known.entries) + _STEP)
        ids = [announcement_id(number) for number in numbers]
        found = await reads.find_keys(log, ids)
        places = [found[each].index for each in ids if each in found]
        new = [index for index in places if index < size]
        for index in new:
            [leaf] = await reads.leaves(log, index, index + 1)
            known = _added(known, index, leaf)
        if len(new) < _STEP:
            break
    return replace(known, known_to=max(known.known_to, size))


def _added(known: Announced, index: int, leaf: bytes) -> Announced:
    try:
        return known.adding(index, leaf)
    except MalformedError as error:
        raise ConfigurationError(
            f"entry {index} is no announcement of this log: {error}; run provlog-server"
            " fsck"
        ) from None
