"""One rule, and what it finds."""

from dataclasses import dataclass, field
from typing import Final

from provlog.client.rules.conditions import Condition
from provlog.client.rules.facts import Facts, Judged, UnjudgeableError
from provlog.client.rules.patterns import Globs
from provlog.client.rules.remembering import Burst, Reenabled
from provlog.merkle.encoding import JsonValue, format_time

SEVERITIES: Final = ("info", "warning", "critical")

_OWN: Final = "provlog."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has to say of the entry `index`, in words that name nobody.

    With `judged` false the entry may or may not be what the rule is about: something
    that it needs is withheld, erased, or was not seen.
    """

    rule: str
    index: int
    text: str
    severity: str
    judged: bool = True

    def to_json(self) -> dict[str, JsonValue]:
        """Return the finding as JSON."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "index": self.index,
            "judged": self.judged,
            "text": self.text,
        }


@dataclass(frozen=True)
class Rule:
    """Which entries it is about, and the conditions that all have to hold for one."""

    name: str
    severity: str
    types: Globs
    sources: Globs
    conditions: tuple[Condition, ...] = ()
    _reenabled: tuple[Reenabled, ...] = field(init=False, repr=False)
    _own_types: Globs = field(init=False, repr=False)

    def __post_init__(self) -> None:
        learning = tuple(e for e in self.conditions if isinstance(e, Reenabled))
        object.__setattr__(self, "_reenabled", learning)
        named = (each for each in self.types.patterns if each.startswith(_OWN))
        object.__setattr__(self, "_own_types", Globs(tuple(named)))

    def concerns(self, type_: str, source: str) -> bool:
        """Tell whether entries of this type and source are to be judged or learnt."""
        return self._is_about(type_, source) or self._learns(type_, source)

    def judge(self, receipt: Judged) -> Finding | None:
        """Return what the rule finds in an entry, and remember what it has to."""
        facts = Facts(receipt)
        type_, source = facts.type, facts.source
        finding = self._judge(facts) if self._is_about(type_, source) else None
        if self._learns(type_, source):
            for condition in self._reenabled:
                condition.learn(facts)
        return finding

    def explain(self) -> str:
        """Return the rule as a sentence."""
        sources = " or ".join(self.sources.patterns)
        whose = "any source" if sources == "*" else sources
        types = " or ".join(self.types.patterns)
        conditions = ", ".join(each.describe() for each in self.conditions)
        which = f", {conditions}" if conditions else ", whatever they say"
        return f"{self.name} ({self.severity}): entries {types} from {whose}{which}"

    def _is_about(self, type_: str, source: str) -> bool:
        if type_.startswith(_OWN):
            # They have no source, and are meant only where they are named.
            return self._own_types.match(type_)
        return self.types.match(type_) and self.sources.match(source)

    def _learns(self, type_: str, source: str) -> bool:
        learning = any(each.learns_from(type_) for each in self._reenabled)
        return learning and self.sources.match(source)

    def _judge(self, facts: Facts) -> Finding | None:
        unknown: list[str] = []
        for condition in self.conditions:
            if unknown and isinstance(condition, Burst):
                # Counted is what meets the other conditions, not what may meet them.
                continue
            try:
                if not condition.holds(facts):
                    return None
            except UnjudgeableError as error:
                unknown.append(str(error))
        where = f"{facts.type} from {facts.source or 'the log itself'}"
        when = f"recorded {format_time(facts.recorded)}"
        said = "; ".join(each.describe() for each in self.conditions)
        if unknown:
            why = "; ".join(dict.fromkeys(unknown))
            said = f"cannot be judged: {why} (the rule: {said})"
        text = f"{where}, {when}" + (f": {said}" if said else "")
        return Finding(self.name, facts.receipt.index, text, self.severity, not unknown)
