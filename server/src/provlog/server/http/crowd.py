"""How much may be in hand at a time, and that all who ask share it.

A request takes its place before its body is read and keeps it until it is answered, so
bodies in memory are bounded, and so is how many requests anybody is kept waiting by. A
long-poll takes a place for as long as it waits.
"""

import asyncio
from collections.abc import Hashable

from provlog.server.errors import OverloadedError, OversizedError
from provlog.server.sharing import Holder, Load, Room


class Crowd:
    """The requests that send something and are in hand."""

    def __init__(self, requests: int, body_bytes: int) -> None:
        self._room = Room(Load(requests, body_bytes))

    def place(
        self, log: Hashable, token: str, length: int | None, limit: int
    ) -> "Place":
        """Return a place for a body of that length; of `limit` bytes if it is not told.

        To enter it raises `OverloadedError` where there is none, or the log's or the
        token's share is used up.
        """
        load = Load(1, limit if length is None else min(length, limit))
        return Place(self._room, Holder(log, token), load)


class Place:
    """Room that is held between entering and leaving."""

    __slots__ = ("_holder", "_load", "_room")

    def __init__(self, room: Room, holder: Holder, load: Load) -> None:
        self._room = room
        self._holder = holder
        self._load = load

    def __enter__(self) -> None:
        self._room.require(self._holder, self._load)
        self._room.take(self._holder, self._load)

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self._holder, self._load)


class Polls:
    """How many long-polls wait, and what ends them all."""

    def __init__(self, most: int) -> None:
        self.stopping = asyncio.Event()
        self._room = Room(Load(most))

    def enter(self, who: Holder) -> bool:
        """Begin to wait, if there is room for one more of theirs."""
        if self.stopping.is_set():
            return False
        try:
            self._room.require(who, Load(1))
        except (OverloadedError, OversizedError):
            return False
        self._room.take(who, Load(1))
        return True

    def leave(self, who: Holder) -> None:
        """Stop waiting."""
        self._room.give_back(who, Load(1))
