"""What waits for the commit path, and whose turn it is.

Logs have their turns one after the other, and within a log its senders do, by deficit
round robin: in a round each may go ahead with `QUANTUM` of what it queued, and one
whose next submission is larger saves its turns up. However much one of them has
queued, another one's next submission is in the next batch or the one after it.

Room is shared as well: no log and no sender may hold more of the queue than it leaves
free, so a flood is refused while others are still admitted.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from provlog.server.errors import OverloadedError, OversizedError

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


@dataclass(frozen=True, slots=True)
class Load:
    """What a submission weighs: its events and about how many bytes they take."""

    events: int = 0
    bytes: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(self.events + other.events, self.bytes + other.bytes)

    def __sub__(self, other: "Load") -> "Load":
        return Load(self.events - other.events, self.bytes - other.bytes)

    def exceeds(self, other: "Load") -> bool:
        """Tell whether this is more than the other in either respect."""
        return self.events > other.events or self.bytes > other.bytes

    @property
    def turn(self) -> int:
        """How much of a turn it takes."""
        return max(self.events, self.bytes // BLOCK)


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

    `waiting` is what all of them weigh. For one task at a time.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.waiting = Load()
        self._limits = limits
        self._most = Load(limits.queued_events, limits.queued_bytes)
        self._batch = Load(limits.batch_events, limits.batch_bytes)
        self._turns: _Ring[U] = _Ring(lambda: _Ring(_Fifo))
        self._held: dict[Hashable, Load] = {}

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._turns)

    def require_room(self, log: Hashable, sender: str, load: Load) -> None:
        """Raise what a submission is refused with now.

        `OversizedError` where even the empty queue would not take it, `OverloadedError`
        where it is full, or where log or sender would hold more than they leave free.
        Whoever has nothing queued is refused by a full queue alone.
        """
        if load.exceeds(self._most):
            raise OversizedError(
                "the events of one request take more than the whole queue has room for;"
                " send fewer at a time"
            )
        free = self._most - self.waiting - load
        if Load().exceeds(free):
            raise OverloadedError("the queue is full")
        for who in (log, (sender,)):
            held = self._held.get(who)
            if held is not None and (held + load).exceeds(free):
                raise OverloadedError("too much of the queue is theirs")

    def push(self, unit: U) -> None:
        """Add a submission; `require_room` has been asked."""
        self._turns.push((unit.log, unit.sender), unit)
        self._weigh(unit, 1)

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
            self._weigh(unit, -1)
        return units

    def _weigh(self, unit: U, sign: int) -> None:
        load = Load(sign * unit.load.events, sign * unit.load.bytes)
        self.waiting += load
        for who in (unit.log, (unit.sender,)):
            held = self._held.get(who, Load()) + load
            if held == Load():
                del self._held[who]
            else:
                self._held[who] = held


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
            if unit.load.turn <= self._credit[key]:
                return unit
            self._credit[key] += QUANTUM
            self._flows.move_to_end(key)

    def pop(self) -> U:
        self.peek()
        key, flow = next(iter(self._flows.items()))
        unit = flow.pop()
        self._credit[key] -= unit.load.turn
        if not flow:
            del self._flows[key], self._credit[key]
        return unit
