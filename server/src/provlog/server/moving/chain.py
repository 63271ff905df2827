"""What each imported leaf says of its place, held against those before it."""

from collections.abc import Sequence

from provlog.merkle.encoding import parse_time
from provlog.server.errors import DamagedError
from provlog.server.moving.checking import Place


class Chain:
    """Takes a log's leaves in order; `DamagedError` where one cannot stand there.

    `events`, `epoch` and `recorded` are what the head's row says after the last one.
    """

    def __init__(self) -> None:
        self.size = 0
        self.events = 0
        self.epoch = 1
        self._began = self._recorded = ""
        self._frozen = False

    @property
    def began(self) -> str:
        """When entry 0 was recorded, as it says."""
        return self._began

    @property
    def recorded(self) -> int:
        """When the newest entry was recorded, in Unix milliseconds."""
        return parse_time(self._recorded)

    def add(self, places: Sequence[Place]) -> None:
        """Take the next leaves."""
        for place in places:
            why = self._trouble(place)
            if why is not None:
                raise DamagedError(f"entry {self.size}: {why}")
            if self.size == 0:
                self._began = place.recorded
            self.size += 1
            self.events += place.kind == "event"
            self.epoch, self._recorded = place.epoch, place.recorded
            self._frozen = place.kind == "freeze"

    def _trouble(self, place: Place) -> str | None:
        """Return why a leaf cannot be the next one."""
        if (place.kind == "params") != (self.size == 0) or self._frozen:
            return f"an entry of kind {place.kind} cannot stand here"
        if place.n != self.events:
            return f"n is {place.n} after {self.events} events"
        # Times are of one form, so they are in the order of their texts.
        if place.recorded < self._recorded:
            return "recorded is before the entry before it"
        if place.epoch != self.epoch + (place.kind == "epoch"):
            return f"epoch is {place.epoch} after {self.epoch}"
        return None
