"""Rows that every request reads, kept at hand: a round trip each would double its cost.

Sources are final, so one that was found is never asked for again. Tokens change in one
way: they are revoked. What this process revokes counts at once; what another process
revokes counts after `TOKEN_SECONDS` at most.
"""

import time
from collections import OrderedDict
from typing import Final

from provlog.server.storage.base import SourceRecord, TokenRecord

TOKEN_SECONDS: Final = 1.0
CAPACITY: Final = 10_000


class Remembered:
    """The sources and tokens that were read last."""

    def __init__(self) -> None:
        self._sources: OrderedDict[tuple[int, str], SourceRecord] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[float, TokenRecord]] = OrderedDict()
        # When a token was changed last.
        self._changed = float("-inf")

    def source(self, log: int, uri: str) -> SourceRecord | None:
        """Return a source that was read before."""
        return self._sources.get((log, uri))

    def keep_source(self, log: int, source: SourceRecord) -> None:
        """Keep a committed source."""
        self._sources[log, source.uri] = source
        if len(self._sources) > CAPACITY:
            self._sources.popitem(last=False)

    def token(self, token_id: str) -> TokenRecord | None:
        """Return a token that was read within `TOKEN_SECONDS`."""
        known = self._tokens.get(token_id)
        if known is None or time.monotonic() - known[0] > TOKEN_SECONDS:
            return None
        return known[1]

    def keep_token(self, token: TokenRecord, asked: float) -> None:
        """Keep a token as it was when it was `asked` for, on the monotonic clock.

        Where any was changed since, the answer may be of before, and is not kept.
        """
        if asked <= self._changed:
            return
        self._tokens[token.id] = (asked, token)
        self._tokens.move_to_end(token.id)
        if len(self._tokens) > CAPACITY:
            self._tokens.popitem(last=False)

    def forget_tokens(self, token_ids: set[str]) -> None:
        """Let go of tokens that were changed."""
        if token_ids:
            self._changed = time.monotonic()
        for token_id in token_ids:
            self._tokens.pop(token_id, None)
