"""The reports on all sources of a log, made in one pass over its leaves.

A pass can be broken off after any leaf, its state written down and read again, and
comes to the same end. Its memory is bounded by the number of sources.
"""

from dataclasses import dataclass
from typing import Final, Self

from provlog.merkle.encoding import MAX_SAFE_INTEGER, JsonValue, require_members
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_numbers import require_integer
from provlog.merkle.source_report import (
    LATE_MS,
    SKEW_MS,
    Seen,
    SourceReport,
    Thresholds,
    seen_in,
)

MAX_SOURCES: Final = 1_000
_VERSION: Final = 1
_MAX_NAME: Final = 256


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pass looks at, and from where on something is worth counting.

    `late` and `skew` in milliseconds. With `since` and `until`, Unix milliseconds, only
    what was recorded from the one to before the other. `max_sources` sources are told
    apart.
    """

    late: int = LATE_MS
    skew: int = SKEW_MS
    since: int = 0
    until: int = MAX_SAFE_INTEGER
    max_sources: int = MAX_SOURCES


class SourceFold:
    """The reports by source, after the first `size` leaves of a log.

    What was recorded before the scope's beginning is not counted, but known: a silence
    that reaches into the scope is seen, and a number that is missing since. `left_out`
    counts events of sources beyond the scope's most.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self.scope = scope or Scope()
        self.size = 0
        self.left_out = 0
        self.reports: dict[str, SourceReport] = {}
        self._thresholds = Thresholds(self.scope.late, self.scope.skew)

    def add(self, leaf: bytes) -> None:
        """Take the next leaf; it has been verified, or nobody but us wrote it."""
        index, self.size = self.size, self.size + 1
        seen = seen_in(leaf)
        if seen is not None and seen.recorded < self.scope.until:
            self._note(index, seen)

    def _note(self, index: int, seen: Seen) -> None:
        report = self.reports.get(seen.source)
        if report is None:
            if len(self.reports) >= self.scope.max_sources:
                self.left_out += 1
                return
            report = self.reports[seen.source] = SourceReport()
        if seen.recorded < self.scope.since:
            report.remember(index, seen)
        else:
            report.add(index, seen, self._thresholds)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state, for `from_json`."""
        scope = self.scope
        bounds = [scope.late, scope.skew, scope.since, scope.until, scope.max_sources]
        return {
            "v": _VERSION,
            "scope": [*bounds],
            "size": self.size,
            "left_out": self.left_out,
            "reports": {uri: each.to_json() for uri, each in self.reports.items()},
        }

    @classmethod
    def from_json(cls, scope: Scope, value: JsonValue) -> Self:
        """Return a pass that goes on where the one of `to_json` was.

        Raises `MalformedError` for what is no state, or one of another scope.
        """
        names = ("v", "scope", "size", "left_out", "reports")
        state = require_members(value, names, (), "state")
        fold = cls(scope)
        if state["v"] != _VERSION or state["scope"] != fold.to_json()["scope"]:
            raise MalformedError("state: of another version or scope")
        fold.size = require_integer(state["size"], "size")
        fold.left_out = require_integer(state["left_out"], "left_out")
        reports = state["reports"]
        if not isinstance(reports, dict) or len(reports) > scope.max_sources:
            raise MalformedError("state: no reports by source")
        for uri, each in reports.items():
            if not 1 <= len(uri) <= _MAX_NAME:
                raise MalformedError("state: no name of a source")
            fold.reports[uri] = SourceReport.from_json(each)
        return fold
