"""Conditions on several entries: what they remember is bounded, and is of this run.

They see the entries that they are given, in the order of the log, each once. Whom they
remember they keep as a digest.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from provlog.client.rules.facts import Facts, UnjudgeableError

MAX_REMEMBERED: Final = 100_000
"""Accounts that one rule remembers; the one that was disabled first goes first."""
MAX_COUNTERS: Final = 1000
MAX_COUNT: Final = 1000

UNDOES: Final = {"account.enable": "account.disable", "account.unlock": "account.lock"}
"""What lets an account in again, and what it undoes."""

BURST_KEYS: Final = ("all", "source", "actor", "target")

_WITHOUT_EFFECT: Final = frozenset({"failure", "skipped"})


@dataclass(slots=True)
class Reenabled:
    """Holds for an account let in again `after` milliseconds or more.

    `recorded` is what counts: no source can shift it. An account whose disabling was
    not seen cannot be judged, or with `ignore_unseen` is passed over.
    """

    after: int
    written: str
    ignore_unseen: bool = False
    _since: OrderedDict[tuple[str, bytes], int] = field(
        default_factory=OrderedDict, repr=False
    )

    def learns_from(self, type_: str) -> bool:
        """Tell whether entries of this type are to be seen, whatever the rule asks."""
        return type_ in UNDOES.values() or type_ in UNDOES

    def learn(self, facts: Facts) -> None:
        """Remember an account that was shut out; forget one that was let in."""
        type_ = facts.type
        try:
            key = _digest(facts, "target")
            if facts.text("outcome", "result") in _WITHOUT_EFFECT:
                return
        except UnjudgeableError:
            # The account, if it is let in again, will be one that was not seen.
            return
        if type_ in UNDOES:
            self._since.pop((UNDOES[type_], key), None)
        else:
            # Shut out twice, it has been out since the first time.
            self._since.setdefault((type_, key), facts.recorded)
            while len(self._since) > MAX_REMEMBERED:
                self._since.popitem(last=False)

    def holds(self, facts: Facts) -> bool:
        """Tell whether the account was shut out for that long."""
        undone = UNDOES.get(facts.type)
        if undone is None:
            return False
        since = self._since.get((undone, _digest(facts, "target")))
        if since is None:
            if self.ignore_unseen:
                return False
            raise UnjudgeableError(f"its {undone} was not seen since the rules began")
        return facts.recorded - since >= self.after

    def describe(self) -> str:
        """Return the condition in words."""
        return f"of an account that had been shut out for {self.written} or longer"


@dataclass(slots=True)
class Burst:
    """Holds for the entry that is number `count` within a span; counting begins anew.

    Counted are entries that meet all other conditions of the rule, by `recorded`, for
    each `key` apart. Of more than `MAX_COUNTERS` keys those idle longest are forgotten.
    """

    count: int
    within: int
    written: str
    key: str = "all"
    _seen: OrderedDict[bytes, deque[int]] = field(
        default_factory=OrderedDict, repr=False
    )

    def holds(self, facts: Facts) -> bool:
        """Count the entry; tell whether it fills the span."""
        key = self._key(facts)
        seen = self._seen.pop(key, None) or deque(maxlen=self.count)
        seen.append(facts.recorded)
        full = len(seen) == self.count and seen[-1] - seen[0] <= self.within
        if full:
            return True
        self._seen[key] = seen
        while len(self._seen) > MAX_COUNTERS:
            self._seen.popitem(last=False)
        return False

    def describe(self) -> str:
        """Return the condition in words."""
        by = {"all": "", "source": " from one source"}.get(self.key)
        if by is None:
            by = f" of one {self.key}"
        return f"{self.count} of which came{by} within {self.written}"

    def _key(self, facts: Facts) -> bytes:
        if self.key == "all":
            return b""
        if self.key == "source":
            return facts.source.encode()
        return _digest(facts, self.key)


def _digest(facts: Facts, party: str) -> bytes:
    identity = facts.identity(party)
    if identity is None:
        raise UnjudgeableError(f"it has no {party} with an id")
    return sha256(repr(identity).encode()).digest()
