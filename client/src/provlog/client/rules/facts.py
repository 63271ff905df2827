"""What a verified receipt tells a rule of its entry: known, absent, or not shown.

A member that the entry has and the receipt does not open is neither there nor missing:
whoever asks for it gets `UnjudgeableError`, so that no rule passes over what was
withheld or erased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from provlog.merkle.disclosures import Disclosure
from provlog.merkle.encoding import JsonValue, parse_time
from provlog.merkle.entries import Entry

MAX_VALUE: Final = 4096
"""Longest value that is held against patterns, in characters."""

_OWN: Final = "provlog."


class UnjudgeableError(Exception):
    """A condition cannot be judged; the message says why and holds no value."""


class Judged(Protocol):
    """What of a verified receipt is judged; a `VerifiedReceipt` is one."""

    @property
    def index(self) -> int:
        """The entry's place in the log."""

    @property
    def entry(self) -> Entry:
        """The entry."""

    @property
    def disclosures(self) -> Mapping[str, Disclosure]:
        """The members that are opened."""

    @property
    def withheld(self) -> Sequence[str]:
        """The names of members that are not opened."""


def type_of(entry: Entry) -> str:
    """Return an event's type, and ``provlog.KIND`` for what the log itself wrote.

    No submitter can use that name: it is reserved.
    """
    if entry.kind == "event":
        return cast(str, entry.body["type"])
    return f"{_OWN}{entry.kind}"


def source_of(entry: Entry) -> str:
    """Return an event's source; empty for what the log itself wrote."""
    return cast(str, entry.body.get("source", ""))


@dataclass(frozen=True, slots=True)
class Facts:
    """One entry as rules see it. Times are Unix milliseconds."""

    receipt: Judged

    @property
    def type(self) -> str:
        """The dotted type."""
        return type_of(self.receipt.entry)

    @property
    def source(self) -> str:
        """The source, empty for entries of the log itself."""
        return source_of(self.receipt.entry)

    @property
    def recorded(self) -> int:
        """When the log recorded it."""
        return self.receipt.entry.recorded

    @property
    def time(self) -> int:
        """When it happened, by its source; entries of the log have one time."""
        text = self.receipt.entry.body.get("time")
        return parse_time(text) if isinstance(text, str) else self.recorded

    def member(self, name: str) -> JsonValue:
        """Return a member's value, None where the entry has none."""
        opened = self.receipt.disclosures.get(name)
        if opened is not None:
            return opened.value
        if name in self.receipt.entry.members:
            raise UnjudgeableError(f"{name} is withheld or erased")
        return None

    def text(self, name: str, key: str) -> str | None:
        """Return a text in a member, None where it has none."""
        member = self.member(name)
        if member is None:
            return None
        if not isinstance(member, dict):
            raise UnjudgeableError(f"{name} is not an object")
        value = member.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise UnjudgeableError(f"{key} in {name} is not a text")
        if len(value) > MAX_VALUE:
            raise UnjudgeableError(f"{key} in {name} is over {MAX_VALUE} characters")
        return value or None

    def identity(self, party: str) -> tuple[str, str] | None:
        """Return namespace and id of a party, None where it has no id."""
        found = self.text(party, "id")
        return None if found is None else (self.text(party, "ns") or "", found)
