"""How much may be in hand at a time, and that all who ask share it.

A request takes its place before its body is read and keeps it until it is answered, so
bodies in memory are bounded, and so is how many requests anybody is kept waiting by. A
long-poll takes a place for as long as it waits.
"""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from provlog.server.errors import OverloadedError, OversizedError
from provlog.server.sharing import Holder, Load, Room


class Crowd:
    """The requests that send something and are in hand."""

    def __init__(self, requests: int, body_bytes: int) -> None:
        self._room = Room(Load(requests, body_bytes))

    @contextmanager
    def place(
        self, log: Hashable, token: str, length: int | None, limit: int
    ) -> Iterator[None]:
        """Hold a place for a body of that length; of `limit` bytes if it is not told.

        Raises `OverloadedError` where there is none, or the log's or the token's share
        is used up.
        """
        load = Load(1, limit if length is None else min(length, limit))
        holder = Holder(log, token)
        self._room.require(holder, load)
        self._room.take(holder, load)
        try:
            yield
        finally:
            self._room.give_back(holder, load)


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
