"""Conditions that look at one entry. Each raises `UnjudgeableError` if it cannot tell.

What a condition says of itself names nobody: findings go where alerts go.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from provlog.client.rules.facts import Facts, UnjudgeableError
from provlog.client.rules.patterns import Globs, Listed

OUTCOMES: Final = ("success", "failure", "skipped", "pending", "unknown")
PARTIES: Final = ("actor", "target", "resource")

# The member that holds what a party or resource is called.
_NAMED_IN: Final = {"actor": "actor_details", "target": "target_details"}


class Condition(Protocol):
    """One thing that a rule asks of an entry."""

    def holds(self, facts: Facts) -> bool:
        """Tell whether the entry meets it, or raise `UnjudgeableError`."""

    def describe(self) -> str:
        """Return the condition in words that name nobody."""


@dataclass(frozen=True, slots=True)
class Among:
    """A party or resource is in a list or, with `wanted` false, is not in it.

    One that the entry does not have, or that has neither id nor name, is in no list.
    """

    party: str
    listed: Listed
    wanted: bool

    def holds(self, facts: Facts) -> bool:
        """Tell whether the entry's party is where the rule wants it."""
        return self._is_listed(facts) == self.wanted

    def describe(self) -> str:
        """Return the condition in words."""
        count = len(self.listed.patterns)
        if self.wanted:
            return f"whose {self.party} is in a list of {count}"
        return f"whose {self.party} is not in a list of {count}"

    def _is_listed(self, facts: Facts) -> bool:
        unknown: UnjudgeableError | None = None
        places = (
            (self.party, "id", self.listed.ids),
            (_NAMED_IN.get(self.party, self.party), "name", self.listed.names),
        )
        for member, key, globs in places:
            if not globs.patterns:
                continue
            try:
                text = facts.text(member, key)
            except UnjudgeableError as error:
                # The other one may be in the list: then nothing is missing.
                unknown = unknown or error
                continue
            if text is not None and globs.match(text):
                return True
        if unknown is not None:
            raise unknown
        return False


@dataclass(frozen=True, slots=True)
class ActorIsTarget:
    """Holds for what somebody did to the own account."""

    def holds(self, facts: Facts) -> bool:
        """Tell whether actor and target are of one namespace and id."""
        actor = facts.identity("actor")
        return actor is not None and actor == facts.identity("target")

    def describe(self) -> str:
        """Return the condition in words."""
        return "whose actor is its target"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Holds where a ticket is missing or, with `forms`, is of none of these forms."""

    forms: Globs | None

    def holds(self, facts: Facts) -> bool:
        """Tell whether the ticket is missing, or not of a form."""
        ticket = facts.text("context", "ticket")
        if ticket is None or not ticket.strip():
            return True
        return self.forms is not None and not self.forms.match(ticket)

    def describe(self) -> str:
        """Return the condition in words."""
        if self.forms is None:
            return "without a ticket"
        return f"without a ticket like {' or '.join(self.forms.patterns)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Holds for some outcomes; an event that says none has the outcome ``unknown``."""

    results: frozenset[str]

    def holds(self, facts: Facts) -> bool:
        """Tell whether the outcome is one of these."""
        return (facts.text("outcome", "result") or "unknown") in self.results

    def describe(self) -> str:
        """Return the condition in words."""
        return f"with the outcome {' or '.join(sorted(self.results))}"


@dataclass(frozen=True, slots=True)
class Late:
    """Holds for what the log recorded later than `most` milliseconds after its time."""

    most: int
    written: str

    def holds(self, facts: Facts) -> bool:
        """Tell whether the log got it too late."""
        return facts.recorded - facts.time > self.most

    def describe(self) -> str:
        """Return the condition in words."""
        return f"recorded more than {self.written} after they happened"
