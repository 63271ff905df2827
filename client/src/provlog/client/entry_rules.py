"""Rules on entries: what a monitor raises an alarm about, from a small TOML file.

::

    [[rule]]
    name = "privileged-grant-without-ticket"
    severity = "critical"
    types = ["role.assign", "group.member.add"]
    resource_in = ["name:*admin*", "id:r-12"]
    ticket_unlike = ["CHG-[0-9]*"]

`Rules.concerns` decides by what stands in the leaf whether an entry has to be fetched
with its disclosures; `Rules.judge` takes what was fetched and verified. Nothing here
does I/O but `read_rules`, which reads its file.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from provlog.client.errors import UsageError
from provlog.client.rules.facts import Judged, source_of, type_of
from provlog.client.rules.parsing import MAX_RULES_FILE, parse_rules
from provlog.client.rules.rule import Finding, Rule
from provlog.merkle.entries import Entry

__all__ = ["Finding", "Judged", "Rules", "read_rules"]


class Rules:
    """Some rules, and what they remember of the entries they were given.

    Entries of one log are given in its order, beginning anywhere. The last one may be
    given again, if whoever asked could not use the answer. What is remembered lives as
    long as the object.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._last: tuple[bytes, frozenset[str], list[Finding]] | None = None
        # Millions of entries are of a few types and sources.
        self._concern = lru_cache(1024)(self._any_concerns)

    def concerns(self, entry: Entry) -> bool:
        """Tell whether an entry has to be judged; one not understood has not."""
        return entry.understood and self._concern(type_of(entry), source_of(entry))

    def judge(self, receipt: Judged) -> list[Finding]:
        """Return what the rules find in a verified entry, in the order of the rules.

        Where something that a rule needs is withheld or erased it finds that it cannot
        judge. Texts name nobody: they go where alerts go.
        """
        if not receipt.entry.understood:
            return []
        asked = receipt.entry.data, frozenset(receipt.disclosures)
        if self._last is not None and self._last[:2] == asked:
            return list(self._last[2])
        judged = (each.judge(receipt) for each in self.rules)
        findings = [each for each in judged if each is not None]
        self._last = (*asked, findings)
        return list(findings)

    def explain(self) -> list[str]:
        """Return each rule as a sentence."""
        return [each.explain() for each in self.rules]

    def _any_concerns(self, type_: str, source: str) -> bool:
        return any(each.concerns(type_, source) for each in self.rules)


def read_rules(path: Path) -> Rules:
    """Return the rules in a TOML file, or raise `UsageError`: file, rule and member."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RULES_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    try:
        return Rules(parse_rules(data.decode()))
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
