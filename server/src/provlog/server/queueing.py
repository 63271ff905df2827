"""What waits for the commit path: taken by turns, with room that is shared.

However much one sender has queued, another one's next submission is in the next batch
or the one after it (`turns`), and a flood is refused while others are still admitted
(`sharing`).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from provlog.server.sharing import Holder, Load, Room
from provlog.server.turns import Turns

BLOCK: Final = 4096
"""As many bytes weigh as much as an event."""


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
        self._turns: Turns[U] = Turns()

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
        weight = max(unit.load.count, unit.load.bytes // BLOCK)
        self._turns.push(unit.log, unit.sender, weight, unit)
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
            self._turns.pop()
            units.append(unit)
            self._room.give_back(Holder(unit.log, unit.sender), unit.load)
        return units
