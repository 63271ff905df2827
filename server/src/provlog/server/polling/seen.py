"""Which records this process has seen committed, in bounded memory."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

MOST: Final = 100_000
"""How many records are remembered: some 15 MB of digests."""


class Seen:
    """The digests of the records committed last.

    A record that was forgotten is submitted again and recognised by the log.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._digests: dict[bytes, None] = {}

    def unknown(self, records: Sequence[bytes]) -> list[bytes]:
        """Return the records that were not seen, in order, each of them once."""
        fresh = {sha256(record).digest(): record for record in records}
        return [fresh[each] for each in fresh if each not in self._digests]

    def add(self, records: Sequence[bytes]) -> None:
        """Remember records, and forget the oldest beyond the bound."""
        for record in records:
            digest = sha256(record).digest()
            self._digests.pop(digest, None)
            self._digests[digest] = None
        while len(self._digests) > self._most:
            del self._digests[next(iter(self._digests))]
