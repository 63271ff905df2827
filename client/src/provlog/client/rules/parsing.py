"""Rules as they stand in TOML, strictly: what is unknown, double or empty is refused.

Errors are `UsageError` and say which rule and which member, and what may stand there;
not what does, which may be a name.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

from provlog.client.errors import UsageError, printable
from provlog.client.rules.conditions import (
    OUTCOMES,
    PARTIES,
    ActorIsTarget,
    Among,
    Condition,
    Late,
    Outcome,
    Ticket,
)
from provlog.client.rules.patterns import MAX_PATTERN, MAX_PATTERNS, Globs, Listed
from provlog.client.rules.remembering import (
    BURST_KEYS,
    MAX_COUNT,
    UNDOES,
    Burst,
    Reenabled,
)
from provlog.client.rules.rule import SEVERITIES, Rule
from provlog.client.rules.times import parse_span, parse_windows
from provlog.client.rules.windows import CLOCKS, Outside

MAX_RULES: Final = 200
MAX_RULES_FILE: Final = 256 << 10

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_TYPE: Final = re.compile(r"[a-z0-9_.*?\[\]!-]+", re.ASCII)
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f]+")

Table = Mapping[str, Any]


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules in a TOML text, or raise `UsageError`."""
    if len(text) > MAX_RULES_FILE:
        raise UsageError(f"larger than {MAX_RULES_FILE} bytes")
    try:
        whole = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not TOML: {printable(str(error))}") from None
    unknown = set(whole) - {"rule"}
    if unknown:
        raise UsageError(f"{_first(unknown)} is unknown: a file holds [[rule]] tables")
    tables = whole.get("rule")
    if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_RULES:
        raise UsageError(f"not 1 to {MAX_RULES} tables [[rule]]")
    rules = tuple(_parse_rule(each, place) for place, each in enumerate(tables, 1))
    names = [each.name for each in rules]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"rule {name}: two rules have this name")
    return rules


def _parse_rule(table: object, place: int) -> Rule:
    if not isinstance(table, dict):
        raise UsageError(f"rule {place}: not a table [[rule]]")
    name = table.get("name")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise UsageError(
            f"rule {place}: name: 1 to 64 of lower-case letters, digits and hyphens"
        )
    unknown = set(table) - _PLAIN - set(_CONDITIONS)
    if unknown:
        known = ", ".join(sorted(_PLAIN | set(_CONDITIONS)))
        raise UsageError(f"rule {name}: {_first(unknown)}: unknown; known are {known}")
    member = "severity"
    try:
        severity = _choice(table.get("severity", "warning"), SEVERITIES)
        conditions: list[Condition] = []
        # In the order of the code, not of the file: what counts comes last.
        for member, parse in _CONDITIONS.items():
            if member in table:
                conditions.append(parse(table[member]))
        member = "types"
        types = _types(table.get("types"), conditions)
        member = "sources"
        sources = Globs(_texts(table.get("sources", ["*"]), "sources"))
    except UsageError as error:
        raise UsageError(f"rule {name}: {member}: {error}") from None
    return Rule(name, severity, types, sources, tuple(conditions))


def _types(value: object, conditions: list[Condition]) -> Globs:
    if value is None and any(isinstance(each, Reenabled) for each in conditions):
        return Globs(tuple(UNDOES))
    if value is None:
        raise UsageError("missing; write the types of events, such as role.*")
    types = _texts(value, "types such as role.assign or group.*")
    if not all(_TYPE.fullmatch(each) for each in types):
        raise UsageError("types are lower-case and dotted, such as role.assign")
    return Globs(types)


def _among(party: str, *, wanted: bool) -> Callable[[object], Condition]:
    def parse(value: object) -> Condition:
        patterns = _texts(value, "ids or names")
        if any(each in ("id:", "name:") for each in patterns):
            raise UsageError("id: and name: have something behind them")
        return Among(party, Listed(patterns), wanted)

    return parse


def _parse_actor_is_target(value: object) -> Condition:
    _require_true(value)
    return ActorIsTarget()


def _parse_ticket_missing(value: object) -> Condition:
    _require_true(value)
    return Ticket(None)


def _parse_ticket_unlike(value: object) -> Condition:
    return Ticket(Globs(_texts(value, "forms such as CHG-[0-9]*")))


def _parse_outcome(value: object) -> Condition:
    chosen = (_choice(each, OUTCOMES) for each in _texts(value, "outcomes"))
    return Outcome(frozenset(chosen))


def _parse_late(value: object) -> Condition:
    return Late(*parse_span(value))


def _parse_outside(value: object) -> Condition:
    windows, clock = parse_windows(value)
    return Outside(windows, _choice(clock, CLOCKS))


def _parse_reenabled(value: object) -> Condition:
    table = _table(value, {"after"}, {"unseen"})
    unseen = _choice(table.get("unseen", "report"), ("report", "ignore"))
    return Reenabled(*parse_span(table["after"]), unseen == "ignore")


def _parse_burst(value: object) -> Condition:
    table = _table(value, {"count", "within"}, {"by"})
    count = table["count"]
    if type(count) is not int or not 2 <= count <= MAX_COUNT:
        raise UsageError(f"count is a number from 2 to {MAX_COUNT}")
    key = _choice(table.get("by", "all"), BURST_KEYS)
    return Burst(count, *parse_span(table["within"]), key)


def _table(value: object, required: set[str], optional: set[str]) -> Table:
    if not isinstance(value, dict) or not required <= set(value) <= required | optional:
        needed, more = ", ".join(sorted(required)), ", ".join(sorted(optional))
        raise UsageError(f"a table with {needed} and perhaps {more}")
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PATTERNS:
        raise UsageError(f"a list of 1 to {MAX_PATTERNS} {what}")
    for each in value:
        if (
            not isinstance(each, str)
            or len(each) > MAX_PATTERN
            or _TEXT.fullmatch(each) is None
        ):
            raise UsageError(f"texts of 1 to {MAX_PATTERN} characters, on one line")
    return tuple(value)


def _choice(value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"one of {', '.join(known)}")
    return value


def _require_true(value: object) -> None:
    if value is not True:
        raise UsageError("true, or leave it out")


def _first(names: set[str]) -> str:
    return printable(repr(min(names))[:80])


_PLAIN: Final = frozenset({"name", "severity", "types", "sources"})
_CONDITIONS: Final[dict[str, Callable[[object], Condition]]] = {
    "late": _parse_late,
    "outside": _parse_outside,
    "outcome": _parse_outcome,
    **{f"{party}_in": _among(party, wanted=True) for party in PARTIES},
    **{f"{party}_not_in": _among(party, wanted=False) for party in PARTIES},
    "actor_is_target": _parse_actor_is_target,
    "ticket_missing": _parse_ticket_missing,
    "ticket_unlike": _parse_ticket_unlike,
    "reenabled": _parse_reenabled,
    "burst": _parse_burst,
}
