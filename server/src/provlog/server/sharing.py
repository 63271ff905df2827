"""Room that many share, so that a flood of one leaves some for the others.

Nobody may hold more of it than is left free then: alone one gets half of it, two get a
third each, and whoever comes next still finds room. (Known as dynamic thresholds:
Choudhury and Hahne, "Dynamic Queue Length Thresholds", 1998.) All tokens of one log
together may hold `GROUP` times what is left free, so that other logs find room too; and
a token that holds nothing gets some while its log leaves `RESERVE` to others, however
many tokens that log has.
"""

from collections.abc import Hashable
from typing import Final, NamedTuple

import msgspec

from provlog.server.errors import OverloadedError, OversizedError

GROUP: Final = 3
RESERVE: Final = 8
"""The part of the room that the tokens of one log never fill: an eighth."""


class Load(msgspec.Struct, frozen=True):
    """How many things, and about how many bytes they take.

    Made several times for each request: a struct costs a third of a dataclass.
    """

    count: int = 0
    bytes: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(self.count + other.count, self.bytes + other.bytes)

    def __sub__(self, other: "Load") -> "Load":
        return Load(self.count - other.count, self.bytes - other.bytes)

    def times(self, factor: int) -> "Load":
        """Return several times this."""
        return Load(self.count * factor, self.bytes * factor)

    def exceeds(self, other: "Load") -> bool:
        """Tell whether this is more than the other in either respect."""
        return self.count > other.count or self.bytes > other.bytes


_NOTHING = Load()


class Holder(NamedTuple):
    """On whose account something is held: a token's, and that of the log it is for."""

    log: Hashable
    token: Hashable


class Room:
    """Room for `most`. `taken` is what all hold together."""

    def __init__(self, most: Load) -> None:
        self.taken = _NOTHING
        self._most = most
        self._tokens: dict[Hashable, Load] = {}
        self._logs: dict[Hashable, Load] = {}

    def require(self, holder: Holder, load: Load) -> None:
        """Raise what a load is refused with now.

        `OversizedError` where it would not even fit alone; `OverloadedError` where it
        does not fit now, or where the token, holding some already, or the log would
        have too much. Who holds nothing, of a log that holds nothing, is refused by a
        full room alone.
        """
        if load.exceeds(self._most):
            raise OversizedError(
                "more than there is room for at any time; send fewer or less at a time"
            )
        free = self._most - self.taken - load
        if _NOTHING.exceeds(free):
            raise OverloadedError("there is no room left")
        held, shared = self._tokens.get(holder.token), self._logs.get(holder.log)
        if held is None and shared is None:
            return
        most = RESERVE - 1 if held is None else GROUP
        excessive = held is not None and (held + load).exceeds(free)
        together = (shared or _NOTHING) + load
        if excessive or together.exceeds(free.times(most)):
            raise OverloadedError("too much of the room is theirs")

    def take(self, holder: Holder, load: Load) -> None:
        """Take room; `require` was asked before."""
        self.taken += load
        for account, key in self._accounts(holder):
            account[key] = account.get(key, _NOTHING) + load

    def give_back(self, holder: Holder, load: Load) -> None:
        """Give back what was taken with the same arguments."""
        self.taken -= load
        for account, key in self._accounts(holder):
            account[key] -= load
            if account[key] == _NOTHING:
                del account[key]

    def _accounts(
        self, holder: Holder
    ) -> tuple[tuple[dict[Hashable, Load], Hashable], ...]:
        return (self._tokens, holder.token), (self._logs, holder.log)
