"""Whose turn it is: logs one after the other, and within a log its senders.

Deficit round robin (Shreedhar and Varghese, 1996): in a round each may go ahead with
`QUANTUM` of what waits, and one whose next item weighs more saves its turns up. However
much one of them has waiting, another one's next item is not far.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

QUANTUM: Final = 8

T = TypeVar("T")


class Turns(Generic[T]):
    """Items that wait, to be taken by turns. For one task at a time."""

    def __init__(self) -> None:
        self._logs: _Ring[T] = _Ring(lambda: _Ring(_Fifo))

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._logs)

    def push(self, log: Hashable, sender: Hashable, weight: int, item: T) -> None:
        """Add an item; those of one sender stay in order."""
        self._logs.push((log, sender), weight, item)

    def peek(self) -> T:
        """Return whose turn it is: what `pop` would, unless others come meanwhile."""
        return self._logs.peek()[1]

    def pop(self) -> tuple[int, T]:
        """Remove and return whose turn it is, after its weight."""
        return self._logs.pop()


class _Flow(Protocol[T]):
    """Items with their weights, in the order in which they are to be taken."""

    def __bool__(self) -> bool: ...
    def push(self, path: tuple[Hashable, ...], weight: int, item: T) -> None: ...
    def peek(self) -> tuple[int, T]: ...
    def pop(self) -> tuple[int, T]: ...


class _Fifo(Generic[T]):
    """First in, first out."""

    def __init__(self) -> None:
        self._items: deque[tuple[int, T]] = deque()

    def __bool__(self) -> bool:
        return bool(self._items)

    def push(self, path: tuple[Hashable, ...], weight: int, item: T) -> None:  # noqa: ARG002
        self._items.append((weight, item))

    def peek(self) -> tuple[int, T]:
        return self._items[0]

    def pop(self) -> tuple[int, T]:
        return self._items.popleft()


class _Ring(Generic[T]):
    """Flows that have their turns, each for as long as its credit lasts."""

    def __init__(self, make: Callable[[], _Flow[T]]) -> None:
        self._make = make
        self._flows: OrderedDict[Hashable, _Flow[T]] = OrderedDict()
        self._credit: dict[Hashable, int] = {}

    def __bool__(self) -> bool:
        return bool(self._flows)

    def push(self, path: tuple[Hashable, ...], weight: int, item: T) -> None:
        key, *rest = path
        if key not in self._flows:
            self._flows[key] = self._make()
            self._credit[key] = QUANTUM
        self._flows[key].push(tuple(rest), weight, item)

    def peek(self) -> tuple[int, T]:
        while True:
            key, flow = next(iter(self._flows.items()))
            weight, item = flow.peek()
            if weight <= self._credit[key]:
                return weight, item
            self._credit[key] += QUANTUM
            self._flows.move_to_end(key)

    def pop(self) -> tuple[int, T]:
        self.peek()
        key, flow = next(iter(self._flows.items()))
        weight, item = flow.pop()
        self._credit[key] -= weight
        if not flow:
            del self._flows[key], self._credit[key]
        return weight, item
