"""How many changes are in hand at a time, and how many one address may ask for.

Whoever reaches the proxy has a record made before the SCIM server has looked at any
credentials, so that somebody without any could fill the log.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from provlog.server.rates import Bucket, RateLimiter
from provlog.server.scim_proxy.answers import Refusal

MAX_ADDRESSES: Final = 10_000
"""How many addresses are remembered; beyond it all of them begin anew."""


class Admission:
    """Lets changes in: `most` at a time, of which `most_long` have a body that is long.

    A long body may arrive as slowly as its sender likes, and holds a connection to the
    SCIM server meanwhile; of what only reads, as many may have one. `rate` is how many
    changes a second each address may ask for, None for any number; `steady` is a clock
    in seconds that never jumps.
    """

    def __init__(
        self,
        most: int,
        most_long: int,
        rate: float | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._most_long = most_long
        self._rate = rate
        self._steady = steady
        self._changes = 0
        self._long = 0
        self._long_reads = 0
        self._known: set[str] = set()
        self._limiter = RateLimiter(steady)

    @contextmanager
    def change(self, address: str, *, long: bool) -> Iterator[None]:
        """Have a change in hand; raise the `Refusal` of one too many."""
        full = self._changes >= self._most or (long and self._long >= self._most_long)
        if full:
            raise Refusal(503, "too_many", "too many changes are in hand")
        self._require_rate(address)
        self._changes += 1
        self._long += long
        try:
            yield
        finally:
            self._changes -= 1
            self._long -= long

    @contextmanager
    def read(self, *, long: bool) -> Iterator[None]:
        """Have what only reads in hand; raise the `Refusal` of one long body too many.

        Changes do not wait for it, nor it for them.
        """
        if long and self._long_reads >= self._most_long:
            raise Refusal(503, "too_many", "too many long bodies are in hand")
        self._long_reads += long
        try:
            yield
        finally:
            self._long_reads -= long

    def _require_rate(self, address: str) -> None:
        if self._rate is None:
            return
        if len(self._known) >= MAX_ADDRESSES:
            self._known.clear()
            self._limiter = RateLimiter(self._steady)
        self._known.add(address)
        wait = self._limiter.take([Bucket(address, self._rate)], 1)
        if wait:
            raise Refusal(
                429,
                "rate",
                "more changes a second than one address may ask for",
                retry=math.ceil(wait),
            )
