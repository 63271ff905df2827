"""Tokens, held against the admin entries that made and revoked them.

`init` makes one token for each of its roles without an entry, at the very moment of
entry 0; every other row needs an entry in each log that it reaches.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import Entry
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import TokenRow, shown_text
from provlog.server.selfcheck.sources import SourceCheck
from provlog.server.tokens import ANY_SOURCE, LATEST, ROLES, WRITERS

CREATED, REVOKED = "token.create", "token.revoke"
ALL_LOGS = b"*"
INIT_NOTE = b"init"
INIT_ROLES = (["admin"], ["submitter"], ["auditor", "monitor"], ["monitor"])
SLACK_MS = 600_000
"""How far apart a token's own times and its entries' may be."""

_ID = re.compile(rb"[0-9a-z]{12}")


@dataclass(frozen=True, slots=True)
class _Created:
    """What one log says of a token's making."""

    log: int
    recorded: int
    said: Mapping[str, JsonValue]


@dataclass(slots=True)
class _Facts:
    created: list[_Created] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CheckedLog:
    """A log that was read to its end: its number, entry 0's time, its sources.

    One that has `ended` by a freeze takes no entry of what is done to tokens later.
    """

    number: int
    began: int | None
    sources: SourceCheck
    ended: bool = False


class TokenCheck:
    """The tokens of a database, against all logs that were read."""

    def __init__(self, rows: Sequence[TokenRow], report: Report) -> None:
        self._rows = rows
        self._report = report
        self._facts: dict[bytes, _Facts] = {}
        self._erased = False

    def admin(
        self, log: int, entry: Entry, opened: Mapping[str, JsonValue] | None
    ) -> None:
        """Take an admin entry of any log."""
        action = entry.body["action"]
        if action not in (CREATED, REVOKED):
            return
        said = None if opened is None else opened.get("token")
        if not isinstance(said, dict):
            self._erased = True
            return
        facts = self._facts.setdefault(str(said.get("id")).encode(), _Facts())
        if action == CREATED:
            facts.created.append(_Created(log, entry.recorded, said))
        else:
            facts.revoked.append(entry.recorded)

    def finish(self, checked: Sequence[CheckedLog], every: set[int]) -> None:
        """Compare each row. `every` are the numbers of all logs there are.

        A token that reaches logs which were not read is compared with the others.
        """
        of_init: list[list[str]] = []
        for row in self._rows:
            name = shown_text(row.id)
            logs = _logs(row.logs)
            arrays = self._check_form(name, row, logs, every)
            if arrays is None:
                continue
            roles, sources = arrays
            facts = self._facts.get(row.id)
            reached = [log for log in checked if logs is None or log.number in logs]
            if facts is not None and facts.created:
                self._check_logs(name, facts, logs, reached)
                self._check_created(name, row, roles, sources, facts.created)
            elif not self._erased and checked_all(logs, checked, every):
                if roles in of_init:
                    what = "no entry made the token, nor did init"
                    self._report("tokens", name, None, what)
                of_init.append(roles)
                self._check_init(name, row, roles, sources, reached)
            self._check_revoked(name, row, facts, logs, checked, every)

    def _check_form(
        self, name: str, row: TokenRow, logs: set[int] | None, every: set[int]
    ) -> tuple[list[str], list[str]] | None:
        roles, sources = _array(row.roles), _array(row.sources)
        wrong = {
            "id": _ID.fullmatch(row.id) is None,
            "digest": len(row.digest) != 32,
            "logs": logs is not None and not (logs and logs <= every),
            "roles": not roles or not set(roles).issubset(ROLES),
            "sources": sources is None,
            "rate": row.rate is not None and not row.rate > 0,
            "expires": row.expires is not None and not 0 < row.expires <= LATEST,
            "revoked": row.revoked is not None and not 0 < row.revoked <= LATEST,
        }
        for column, found in wrong.items():
            if found:
                self._report("tokens", name, column, "not of the form of a token's")
        if not roles or sources is None:
            return None
        if WRITERS.isdisjoint(roles) == bool(sources):
            what = "a submitter or hook, and nobody else, has sources"
            self._report("tokens", name, "sources", what)
        return roles, sources

    def _check_logs(
        self,
        name: str,
        facts: _Facts,
        logs: set[int] | None,
        reached: list[CheckedLog],
    ) -> None:
        made_in = {each.log for each in facts.created}
        most = {log.number for log in reached}
        least = {log.number for log in reached if not log.ended}
        fits = least <= made_in <= most
        if logs is not None and not fits and not self._erased:
            what = "not the logs whose entries made the token"
            self._report("tokens", name, "logs", what)

    def _check_created(
        self,
        name: str,
        row: TokenRow,
        roles: list[str],
        sources: list[str],
        created: list[_Created],
    ) -> None:
        said = created[0].said
        stored: dict[str, JsonValue] = {
            "roles": [*roles],
            "sources": [*sources],
            "note": row.note.decode("utf-8", "replace"),
            "rate": row.rate,
            "expires": row.expires,
        }
        for column, value in stored.items():
            expected = said.get(column)
            if isinstance(expected, list):
                expected = [*sorted(map(str, expected))]
            if value != expected:
                what = "not what the entry says that made the token"
                self._report("tokens", name, column, what)
        if abs(created[0].recorded - row.created) > SLACK_MS:
            what = "not the time of the entry that made the token"
            self._report("tokens", name, "created", what)

    def _check_init(
        self,
        name: str,
        row: TokenRow,
        roles: list[str],
        sources: list[str],
        reached: list[CheckedLog],
    ) -> None:
        """Hold a row without an entry to what `init` makes."""
        began = {log.began for log in reached}
        named = [uri for uri in sources if uri != ANY_SOURCE]
        known = all(
            any(log.sources.registered_by_init(uri) for log in reached) for uri in named
        )
        wrong = {
            "logs": (row.logs == ALL_LOGS) != (roles == ["admin"]),
            "roles": roles not in INIT_ROLES,
            "sources": not known,
            "note": row.note != INIT_NOTE,
            "rate": row.rate is not None,
            "created": None not in began and row.created not in began,
            "expires": row.expires is not None,
        }
        for column, found in wrong.items():
            if found:
                what = "no entry made the token, and init makes none like it"
                self._report("tokens", name, column, what)

    def _check_revoked(
        self,
        name: str,
        row: TokenRow,
        facts: _Facts | None,
        logs: set[int] | None,
        checked: Sequence[CheckedLog],
        every: set[int],
    ) -> None:
        times = facts.revoked if facts is not None else []
        if row.revoked is None and times:
            self._report("tokens", name, "revoked", "an entry revoked the token")
        if row.revoked is None or self._erased:
            return
        reached = [log for log in checked if logs is None or log.number in logs]
        noted = not all(log.ended for log in reached)
        if not times and noted and checked_all(logs, checked, every):
            self._report("tokens", name, "revoked", "no entry revoked the token")
        elif times and min(abs(at - row.revoked) for at in times) > SLACK_MS:
            what = "not the time of an entry that revoked the token"
            self._report("tokens", name, "revoked", what)


def checked_all(
    logs: set[int] | None, checked: Sequence[CheckedLog], every: set[int]
) -> bool:
    """Tell whether every log that a token reaches was read."""
    return (every if logs is None else logs) <= {log.number for log in checked}


def _logs(data: bytes) -> set[int] | None:
    """Return a token's log numbers, None for all; empty where they are none."""
    if data == ALL_LOGS:
        return None
    try:
        numbers = json.loads(data)
        canonical = json.dumps(sorted(numbers, key=str)).encode() == data
        return {int(number) for number in numbers} if canonical else set()
    except (ValueError, TypeError):
        return set()


def _array(data: bytes) -> list[str] | None:
    """Return a canonical JSON array of strings, None for anything else."""
    try:
        items = json.loads(data)
    except ValueError:
        return None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    return items if json.dumps(sorted(items)).encode() == data else None
