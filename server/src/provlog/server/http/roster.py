"""Who is connected, who waits for whom, and who has to go.

All that is known of a connection between two requests stands in tables whose front is
whoever has waited longest. A request costs a few entries in them; one task looks at the
fronts now and then, so that there is no timer for each connection.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Reason: TypeAlias = Literal["idle", "head", "slow", "room", "full", "handshake"]


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Bounds of connections. Times are in seconds, sizes in bytes.

    At most `most` are open at a time. One that has been idle for `keepalive_seconds` is
    closed; so is one whose request line and fields are not there `head_seconds` after
    it was opened or after their first byte, or have come to `head_bytes` without an
    end. `line_bytes`, `field_bytes` and `fields` bound their parts. A client that is
    sent more than fits its buffers has to take `write_bytes` in each `write_seconds`;
    answers that are not taken come to `answer_bytes` in all. One that has been sent to
    in vain for `stalled_seconds` gives way where there is no room for another. A TLS
    handshake may take `handshake_seconds`.
    """

    most: int = 1000
    keepalive_seconds: float = 75.0
    head_seconds: float = 20.0
    head_bytes: int = 64 * 1024
    line_bytes: int = 8190
    field_bytes: int = 8190
    fields: int = 128
    write_seconds: float = 30.0
    write_bytes: int = 32 * 1024
    answer_bytes: int = 256 * 1024 * 1024
    stalled_seconds: float = 1.0
    handshake_seconds: float = 10.0
    sweep_seconds: float = 1.0


class Guest(Protocol):
    """A connection, as the roster sees it."""

    def has_work(self) -> bool:
        """Tell whether a request has come that is not being answered yet."""

    def unsent(self) -> int:
        """Return how many bytes wait to be taken by the client."""

    def held(self) -> int:
        """Return how many bytes are kept for the client until it has taken them."""

    def drop(self) -> None:
        """Cut the connection, without waiting for anything."""


@dataclass(frozen=True, slots=True)
class _Stall:
    """Since when a guest is looked at, what it had to take then, what it keeps."""

    since: float
    unsent: int
    held: int


class Roster:
    """The guests of one listener. `now` is a steady clock in seconds.

    `dropped` is told why a guest had to go. A guest is idle while no request of it is
    being answered, also before its first one and after its last.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        now: Callable[[], float],
        dropped: Callable[[Reason], None],
    ) -> None:
        self._settings = settings
        self._now = now
        self._dropped = dropped
        self._guests: set[Guest] = set()
        self._idle: OrderedDict[Guest, float] = OrderedDict()
        self._heads: OrderedDict[Guest, tuple[float, int]] = OrderedDict()
        self._stalled: dict[Guest, _Stall] = {}
        self._held = 0

    def __len__(self) -> int:
        return len(self._guests)

    def make_room(self) -> bool:
        """Have room for one more, at the cost of whoever has been idle longest.

        Where nobody is idle, whoever does not take its answer has to go.
        """
        while len(self._guests) >= self._settings.most:
            guest = self._longest_idle() or self._longest_stalled()
            if guest is None:
                self._dropped("full")
                return False
            self._drop(guest, "room")
        return True

    def _longest_idle(self) -> Guest | None:
        while self._idle:
            guest, _ = next(iter(self._idle.items()))
            if not guest.has_work():
                return guest
            # It is about to be answered, and idle again after that.
            del self._idle[guest]
        return None

    def _longest_stalled(self) -> Guest | None:
        before = self._now() - self._settings.stalled_seconds
        stalled = self._stalled.items()
        return next((guest for guest, stall in stalled if stall.since <= before), None)

    def enter(self, guest: Guest) -> None:
        """Count a guest in; its time to ask for something begins anew."""
        self.leave(guest)
        self._guests.add(guest)
        self._idle[guest] = now = self._now()
        self._heads[guest] = (now, 0)

    def leave(self, guest: Guest) -> None:
        """Forget a guest; nothing happens where it is not known."""
        self._guests.discard(guest)
        self._idle.pop(guest, None)
        self._heads.pop(guest, None)
        self.drained(guest)

    def failed(self, guest: Guest) -> None:
        """Forget a guest that never came to be connected."""
        if guest in self._guests:
            self.leave(guest)
            self._dropped("handshake")

    def head_part(self, guest: Guest, size: int) -> None:
        """Note that a part of a head has come, and its end has not."""
        if guest in self._guests:
            since, before = self._heads.get(guest) or (self._now(), 0)
            self._heads[guest] = (since, before + size)
            if before + size > self._settings.head_bytes:
                self._drop(guest, "head")

    def began(self, guest: Guest) -> None:
        """Note that a request is being answered."""
        self._idle.pop(guest, None)
        self._heads.pop(guest, None)

    def ended(self, guest: Guest) -> None:
        """Note that no request is being answered any more."""
        if guest in self._guests:
            self._idle[guest] = self._now()

    def stalled(self, guest: Guest) -> None:
        """Note that a guest does not take what it is sent as fast as it is sent."""
        if guest not in self._guests:
            return
        self.drained(guest)
        stall = _Stall(self._now(), guest.unsent(), guest.held())
        self._stalled[guest] = stall
        self._held += stall.held
        while self._held > self._settings.answer_bytes:
            self._drop(max(self._stalled, key=self._kept), "slow")

    def _kept(self, guest: Guest) -> int:
        return self._stalled[guest].held

    def drained(self, guest: Guest) -> None:
        """Note that a guest took what it was sent."""
        stall = self._stalled.pop(guest, None)
        if stall is not None:
            self._held -= stall.held

    def sweep(self) -> None:
        """Drop every guest that has been waited for too long."""
        now, settings = self._now(), self._settings
        while self._heads:
            guest, (since, _) = next(iter(self._heads.items()))
            if now - since < settings.head_seconds:
                break
            self._drop(guest, "head")
        while self._idle:
            guest, begun = next(iter(self._idle.items()))
            if now - begun < settings.keepalive_seconds:
                break
            self._drop(guest, "idle")
        self._sweep_stalled(now)

    def _sweep_stalled(self, now: float) -> None:
        for guest, stall in list(self._stalled.items()):
            if now - stall.since < self._settings.write_seconds:
                continue
            unsent = guest.unsent()
            if stall.unsent - unsent < self._settings.write_bytes:
                self._drop(guest, "slow")
            else:
                self._stalled[guest] = _Stall(now, unsent, stall.held)

    def _drop(self, guest: Guest, reason: Reason) -> None:
        self.leave(guest)
        self._dropped(reason)
        guest.drop()
