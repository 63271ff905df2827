"""Rules on entries, while a log is read: which entries they concern, and what of them.

Whether a rule concerns an entry is seen from its leaf. Such an entry is fetched with an
auditor's token, opened, and its receipt verified, before any rule judges it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from provlog.client.alerting.alerts import SEVERITIES, Alert, Severity
from provlog.client.answers import Receipt
from provlog.client.entry_rules import Finding, Rules, read_rules
from provlog.client.memory import Memory
from provlog.client.monitoring.config import LogConfig
from provlog.client.monitoring.full_state import MAX_PENDING, Todo
from provlog.client.reading import Reader
from provlog.merkle.entries import parse_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.trust import SignedCheckpoint

DEFAULT: Final[Severity] = "warning"

Fetch = Callable[[int], Awaitable[Receipt]]


class HeldReader(Reader):
    """Reads entries of the history that somebody else follows."""

    async def hold_to(self, signed: SignedCheckpoint) -> None:
        """Hold all that is read to a checkpoint that was verified by somebody else.

        Raises as `checkpoint`: what was read before may be of another history.
        """
        await self._recall()
        await self._heads.accept(signed)


class Ruling:
    """Applies rules to the entries of one log; `fetch` returns a verified receipt."""

    def __init__(self, rules: Rules, fetch: Fetch, origin: str) -> None:
        self._rules = rules
        self._fetch = fetch
        self._origin = origin

    def note(self, todo: Todo, first: int, leaves: Sequence[bytes]) -> Todo:
        """Return what is to be judged once these leaves, from `first` on, were seen."""
        start = 0 if todo.start is None else todo.start
        end = first + len(leaves)
        if end <= start:
            return todo
        found = [
            index
            for index in range(max(start, first), end)
            if self._concerns(leaves[index - first])
        ]
        pending = (*todo.pending, *found)
        skipped = todo.skipped + max(0, len(pending) - MAX_PENDING)
        return replace(todo, start=end, pending=pending[:MAX_PENDING], skipped=skipped)

    async def judge(self, index: int, now: float) -> list[Alert]:
        """Return what is to be told of one entry at the time `now`, POSIX seconds.

        Raises as `fetch` does.
        """
        receipt = await self._fetch(index)
        return [
            Alert(
                "rule",
                self._origin,
                _severity(finding),
                f"{finding.rule}: {finding.text}",
                int(now * 1000),
                {
                    "rule": finding.rule,
                    "index": finding.index,
                    "judged": finding.judged,
                },
                "event",
            )
            for finding in self._rules.judge(receipt.verified)
        ]

    def _concerns(self, leaf: bytes) -> bool:
        try:
            entry = parse_entry(leaf)
        except MalformedError:
            return False
        return entry.understood and self._rules.concerns(entry)


def _severity(finding: Finding) -> Severity:
    known = finding.severity in SEVERITIES
    return cast("Severity", finding.severity) if known else DEFAULT


def open_ruling(
    config: LogConfig, memory: Memory
) -> tuple[HeldReader | None, Ruling | None]:
    """Return what fetches entries, and the rules; None for both without rules.

    `memory` is what holds receipts to the log's history.
    """
    if config.rules is None:
        return None, None
    rules = read_rules(config.rules)
    reader = HeldReader(
        config.url,
        config.trust,
        log=config.log,
        token=config.token,
        # The watch remembers the log's history; receipts are held to that.
        memory=memory,
        patience=2.0,
        insecure=config.insecure,
    )
    return reader, Ruling(rules, reader.entry, config.origin)
