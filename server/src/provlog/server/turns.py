"""Whose turn it is: logs one after the other, and within a log its senders.

Deficit round robin (Shreedhar and Varghese, 1996) on two levels: a log's turn is worth
`QUANTUM`, which its senders get one after the other, and one whose next item weighs
more saves up what it gets. A log saves nothing by itself, so nobody waits behind a
heavy item that is not paid for yet, not even whoever shares a log with it.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

QUANTUM: Final = 8

T = TypeVar("T")


class Turns(Generic[T]):
    """Items that wait, to be taken by turns. For one task at a time."""

    def __init__(self) -> None:
        self._logs: OrderedDict[Hashable, _Log[T]] = OrderedDict()

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._logs)

    def push(self, log: Hashable, sender: Hashable, weight: int, item: T) -> None:
        """Add an item; those of one sender stay in order."""
        if log not in self._logs:
            self._logs[log] = _Log()
        self._logs[log].push(sender, weight, item)

    def peek(self) -> T:
        """Return whose turn it is: what `pop` would, unless others come meanwhile."""
        return self._first().items[0][1]

    def pop(self) -> tuple[int, T]:
        """Remove and return whose turn it is, after its weight."""
        self._first()
        key, log = next(iter(self._logs.items()))
        weight, item = log.pop()
        if not log.senders:
            del self._logs[key]
        return weight, item

    def _first(self) -> "_Sender[T]":
        while True:
            key, log = next(iter(self._logs.items()))
            sender = log.first()
            if sender is not None:
                return sender
            log.left = QUANTUM
            self._logs.move_to_end(key)


class _Log(Generic[T]):
    """The senders of one log. `left` is what it has to give in its turn."""

    def __init__(self) -> None:
        self.senders: OrderedDict[Hashable, _Sender[T]] = OrderedDict()
        self.left = QUANTUM

    def push(self, key: Hashable, weight: int, item: T) -> None:
        if key not in self.senders:
            self.senders[key] = _Sender()
        self.senders[key].items.append((weight, item))

    def first(self) -> "_Sender[T] | None":
        """Return whose item is paid for, None once nothing is left to give."""
        while True:
            key, sender = next(iter(self.senders.items()))
            self.left -= sender.save(self.left)
            if sender.items[0][0] <= sender.saved:
                return sender
            if sender.got < QUANTUM:
                return None
            sender.got = 0
            self.senders.move_to_end(key)

    def pop(self) -> tuple[int, T]:
        key, sender = next(iter(self.senders.items()))
        weight, item = sender.items.popleft()
        sender.saved -= weight
        if not sender.items:
            del self.senders[key]
        return weight, item


class _Sender(Generic[T]):
    """One sender's items, what it has `saved` for the first, and `got` in this turn."""

    __slots__ = ("got", "items", "saved")

    def __init__(self) -> None:
        self.items: deque[tuple[int, T]] = deque()
        self.saved = 0
        self.got = 0

    def save(self, most: int) -> int:
        """Save what is missing, within what may be had; return how much it was."""
        given = min(self.items[0][0] - self.saved, QUANTUM - self.got, most)
        self.saved += given
        self.got += given
        return given
