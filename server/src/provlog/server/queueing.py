"""What waits for the commit path, and whose turn it is.

Logs have their turns one after the other, and within a log its senders do, by deficit
round robin: in a round each may go ahead with `QUANTUM` of what it queued, and one
whose next submission is larger saves its turns up. However much one of them has
queued, another one's next submission is in the next batch or the one after it.

Room is shared as well (`sharing`): a flood is refused while others are admitted.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from provlog.server.sharing import Holder, Load, Room

QUANTUM: Final = 8
"""What one turn is good for, in events or in blocks of `BLOCK` bytes."""
BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of one queue and of one batch."""

    queued_events: int = 20_000
    queued_bytes: int = 64 << 20
    batch_events: int = 2_000
    batch_bytes: int = 16 << 20


class Queued(Protocol):
    """What the queue needs to know of a submission."""

    @property
    def log(self) -> Hashable:
        """The log it is for."""

    @property
    def sender(self) -> str:
        """Who sent it."""

    @property
    def load(self) -> Load:
        """What it weighs."""


U = TypeVar("U", bound=Queued)


class FairQueue(Generic[U]):
    """Submissions of several logs and senders, bounded and taken by turns.

    For one task at a time.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self._room = Room(Load(limits.queued_events, limits.queued_bytes))
        self._batch = Load(limits.batch_events, limits.batch_bytes)
        self._turns: _Ring[U] = _Ring(lambda: _Ring(_Fifo))

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._turns)

    @property
    def waiting(self) -> Load:
        """What all that waits weighs."""
        return self._room.taken

    def require_room(self, log: Hashable, sender: str, load: Load) -> None:
        """Raise what a submission is refused with now; see `Room.require`."""
        self._room.require(Holder(log, sender), load)

    def push(self, unit: U) -> None:
        """Add a submission; `require_room` has been asked."""
        self._turns.push((unit.log, unit.sender), unit)
        self._room.take(Holder(unit.log, unit.sender), unit.load)

    def take(self) -> list[U]:
        """Remove and return the next batch, up to the bounds; at least one."""
        units: list[U] = []
        taken = Load()
        while self._turns:
            unit = self._turns.peek()
            taken += unit.load
            if units and taken.exceeds(self._batch):
                break
            units.append(self._turns.pop())
            self._room.give_back(Holder(unit.log, unit.sender), unit.load)
        return units


def _turn(load: Load) -> int:
    """Return how much of a turn a submission takes."""
    return max(load.count, load.bytes // BLOCK)


class _Flow(Protocol[U]):
    """Submissions in the order in which they are to be taken."""

    def __bool__(self) -> bool: ...
    def push(self, path: tuple[Hashable, ...], unit: U) -> None: ...
    def peek(self) -> U: ...
    def pop(self) -> U: ...


class _Fifo(Generic[U]):
    """First in, first out."""

    def __init__(self) -> None:
        self._units: deque[U] = deque()

    def __bool__(self) -> bool:
        return bool(self._units)

    def push(self, path: tuple[Hashable, ...], unit: U) -> None:  # noqa: ARG002
        self._units.append(unit)

    def peek(self) -> U:
        return self._units[0]

    def pop(self) -> U:
        return self._units.popleft()


class _Ring(Generic[U]):
    """Flows that have their turns, each for as long as its credit lasts."""

    def __init__(self, make: Callable[[], _Flow[U]]) -> None:
        self._make = make
        self._flows: OrderedDict[Hashable, _Flow[U]] = OrderedDict()
        self._credit: dict[Hashable, int] = {}

    def __bool__(self) -> bool:
        return bool(self._flows)

    def push(self, path: tuple[Hashable, ...], unit: U) -> None:
        key, *rest = path
        if key not in self._flows:
            self._flows[key] = self._make()
            self._credit[key] = QUANTUM
        self._flows[key].push(tuple(rest), unit)

    def peek(self) -> U:
        while True:
            key, flow = next(iter(self._flows.items()))
            unit = flow.peek()
            if _turn(unit.load) <= self._credit[key]:
                return unit
            self._credit[key] += QUANTUM
            self._flows.move_to_end(key)

    def pop(self) -> U:
        self.peek()
        key, flow = next(iter(self._flows.items()))
        unit = flow.pop()
        self._credit[key] -= _turn(unit.load)
        if not flow:
            del self._flows[key], self._credit[key]
        return unit
