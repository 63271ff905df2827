"""What each leaf of a log owes to the leaves before it. No I/O.

A leaf can be in perfect form and still be a lie about its neighbours: a wrong count, an
earlier time, a second beginning. The chain is fed every leaf in order and says what is
wrong with each. A leaf that is missing, or is not the log's, is skipped; what it may
have changed is then unknown, and the leaves behind it are not blamed for it.
"""

from collections.abc import Iterator
from typing import Self, TypeVar, cast

from provlog.merkle.encoding import JsonValue, format_time, require_members
from provlog.merkle.entries import Entry, parse_entry
from provlog.merkle.errors import MalformedError

FIRST_EPOCH = 1

T = TypeVar("T", int, str)


class LeafChain:
    """The rules from leaf to leaf, for the log of one origin.

    - Entry 0 is the `params` entry of this origin, and no other one is.
    - `n` is the number of `event` entries before the entry.
    - `recorded` never decreases.
    - An `epoch` entry begins the next epoch, every other entry is of the current one.
    - A `key` entry replaces the key that the log named last, by another one.
    - Nothing follows a `freeze`.

    `previous` is the log that this one says to succeed: origin, size and root, as they
    stand in entry 0. Whether that log had that head is for an audit of its own.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        # Lowest and highest `n` that may come next; two such ranges after a wrong one:
        # the leaf is wrong alone, or all that follow count from it.
        self._counts = [(0, 0)]
        self._recorded: int | None = None
        self._epoch = FIRST_EPOCH
        self._epoch_known = True
        self._key: str | None = None
        self._frozen: int | None = None
        self._successor: dict[str, JsonValue] | None = None
        self.previous: dict[str, JsonValue] | None = None

    @property
    def recorded(self) -> int | None:
        """When the newest leaf that was understood was recorded, in milliseconds."""
        return self._recorded

    @property
    def key(self) -> str | None:
        """The key that the log named last, a vkey; None where that is not known."""
        return self._key

    @property
    def frozen(self) -> "dict[str, JsonValue] | None":
        """The log's final `size`, and its `successor` if there is one; None if none."""
        if self._frozen is None:
            return None
        named = {} if self._successor is None else {"successor": self._successor}
        return {"size": self._frozen + 1, **named}

    def skip(self, count: int = 1) -> None:
        """Go past leaves of which nothing is known, one unless told otherwise."""
        if not count:
            return
        self._counts = [(low, high + count) for low, high in self._counts]
        self._epoch_known = False
        self._key = None

    def check(self, index: int, data: bytes) -> list[str]:
        """Return what is wrong with the leaf at `index`, the next one; mostly nothing.

        A leaf of a version or kind that is not known here is held to canonical form.
        """
        try:
            entry = parse_entry(data)
        except MalformedError as error:
            self.skip()
            return [str(error)]
        if not entry.understood:
            self.skip()
            return self._check_place(index, entry)
        problems = self._check_place(index, entry)
        problems += self._check_count(entry)
        problems += self._check_time(entry)
        problems += self._check_epoch(entry)
        problems += self._check_key(index, entry)
        if entry.kind == "freeze" and self._frozen is None:
            self._frozen = index
            self._successor = cast(
                "dict[str, JsonValue] | None", entry.body.get("successor")
            )
        if index == 0 and not problems:
            self.previous = cast(
                "dict[str, JsonValue] | None", entry.body.get("previous")
            )
        return problems

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state between two leaves."""
        return {
            "counts": [[low, high] for low, high in self._counts],
            "recorded": self._recorded,
            "epoch": self._epoch,
            "epoch_known": self._epoch_known,
            "key": self._key,
            "frozen": self._frozen,
            "successor": self._successor,
            "previous": self.previous,
        }

    @classmethod
    def from_json(cls, origin: str, value: JsonValue) -> Self:
        """Return a chain in the state that `to_json` returned.

        Raises `MalformedError`, `ValueError` or `TypeError` for what is none.
        """
        names = ("counts", "recorded", "epoch", "epoch_known", "key", "frozen")
        more = ("previous", "successor")
        state = require_members(value, names, more, "state")
        chain = cls(origin)
        counts = cast("list[list[int]]", state["counts"])
        chain._counts = [(int(low), int(high)) for low, high in counts]
        chain._recorded = _optional(state["recorded"], int)
        chain._epoch = _optional(state["epoch"], int) or FIRST_EPOCH
        chain._epoch_known = state["epoch_known"] is True
        chain._key = _optional(state["key"], str)
        chain._frozen = _optional(state["frozen"], int)
        chain._successor = _named(state.get("successor"), "origin", "log_key")
        chain.previous = _named(state.get("previous"), "origin", "size", "root")
        return chain

    def _check_place(self, index: int, entry: Entry) -> list[str]:
        problems = []
        if self._frozen is not None:
            problems.append(f"stands behind entry {self._frozen}, which ended the log")
        if index == 0 and entry.kind != "params":
            problems.append("entry 0 is not the log's params")
        if index != 0 and entry.kind == "params":
            problems.append("params again, which stand at 0 only")
        if entry.kind == "params" and entry.body.get("origin") != self._origin:
            problems.append("params of another origin")
        return problems

    def _check_count(self, entry: Entry) -> list[str]:
        n, step = entry.n, int(entry.kind == "event")
        before = self._counts
        if any(low <= n <= high for low, high in before):
            self._counts = [(n + step, n + step)]
            return []
        low, high = before[0]
        self._counts = [(low + step, high + step), (n + step, n + step)]
        expected = str(low) if low == high else f"{low} to {high}"
        return [f"n is {n}, and {expected} events stand before it"]

    def _check_time(self, entry: Entry) -> list[str]:
        before, self._recorded = self._recorded, entry.recorded
        if before is None or before <= entry.recorded:
            return []
        return [
            f"recorded {format_time(entry.recorded)}, "
            f"before its predecessor ({format_time(before)})"
        ]

    def _check_epoch(self, entry: Entry) -> list[str]:
        expected = self._epoch + (entry.kind == "epoch")
        known = self._epoch_known
        fits = entry.epoch == expected if known else entry.epoch >= expected
        if fits or entry.kind == "epoch":
            self._epoch, self._epoch_known = entry.epoch, True
        return [] if fits else [f"of epoch {entry.epoch}, where {expected} is due"]

    def _check_key(self, index: int, entry: Entry) -> list[str]:
        if entry.kind != "key" and (entry.kind != "params" or index != 0):
            return []
        before, self._key = self._key, cast(str, entry.body["log_key"])
        if entry.kind == "key" and before not in (None, entry.body["replaces"]):
            return ["replaces a key that is not the log's"]
        if entry.kind == "key" and self._key == entry.body["replaces"]:
            return ["replaces a key by itself"]
        return []


def _named(value: JsonValue, *names: str) -> dict[str, JsonValue] | None:
    return None if value is None else require_members(value, names, (), "state")


def _optional(value: JsonValue, kind: type[T]) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    raise MalformedError("state: a member is of another type")


def split_entries(data: bytes, most: int) -> Iterator[bytes]:
    """Yield the entries of a bundle that may be damaged, as far as there are any.

    At most `most`; what ends inside an entry is left out.
    """
    at = 0
    for _ in range(most):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            return
        yield data[at + 2 : end]
        at = end
