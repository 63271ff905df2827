"""The report over all campaigns of a run: a page to read, and the same as JSON."""

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chaos.tallies import Tally

COLUMNS = (
    "campaign",
    "engine",
    "rounds",
    "injected",
    "fired",
    "acknowledged",
    "resent",
    "lost",
    "forks",
    "seconds",
    "seed",
)

_INTRODUCTION = """\
Written by `make chaos`. Each round does one thing to a server, to its database or to
its machine while submitters keep it busy. Then `fsck` reads the whole database, every
receipt is verified and its event found again under its index, all checkpoints that any
server signed are held against the entries, and a monitor that was watching must have
seen nothing but growth.
"""

MEANING = {
    "kill": "SIGKILL of the only server, also while it starts",
    "kill-one-of-three": "three servers of one log: one killed, or all of them",
    "kill-database": "SIGKILL of all of PostgreSQL, some with the server's",
    "freeze": "SIGSTOP of one of two servers, most while it holds the log's lock",
    "cut": "the submitters' connections reset, half of them with answers on their way",
    "cut-database": "the same between server and PostgreSQL; sessions ended",
    "clock": "the server's wall clock set by 1 to 12 hours, forward and back",
    "clock-database": "the same with PostgreSQL's clock",
    "disk": "a full disk; in half of the rounds the server is killed in that state",
    "syscalls": "each system call on the database's and the guard's files failed, with"
    " EIO and with ENOSPC",
    "outbox": "SIGKILL of an outbox that puts and sends, in half of the rounds of the"
    " server too",
}


def write_report(path: Path, tallies: Sequence[Tally]) -> None:
    """Write a report as a page, and the same as JSON beside it."""
    path.write_text(_page(tallies), encoding="utf-8")
    document = {"machine": _machine(), "campaigns": [vars(each) for each in tallies]}
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")


def _machine() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "ended": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _page(tallies: Sequence[Tally]) -> str:
    machine = _machine()
    total = sum((Counter(_sums(each)) for each in tallies), Counter[str]())
    return "\n".join(
        [
            "# What broke, and what did not",
            _INTRODUCTION,
            f"{machine['ended']}, {machine['cores']} cores, {machine['system']},",
            f"Python {machine['python']}: {total['rounds']:,} rounds,",
            f"{total['fired']:,} of {total['injected']:,} faults seen to happen,",
            f"{total['acknowledged']:,} events acknowledged,",
            f"**{total['lost']} lost, {total['forks']} forks**,",
            f"{total['failures']} failures of any kind.",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|---|---" + "|---:" * (len(COLUMNS) - 2) + "|",
            *(_row(each) for each in tallies),
            "",
            *(f"- {name}: {text}" for name, text in MEANING.items()),
            "",
            *_details(tallies),
        ]
    )


def _sums(tally: Tally) -> dict[str, int]:
    names = ("rounds", "injected", "fired", "acknowledged", "lost", "forks")
    sums = {name: int(getattr(tally, name)) for name in names}
    return {**sums, "failures": len(tally.failures)}


def _row(tally: Tally) -> str:
    if tally.skipped:
        return f"| {tally.campaign} | {tally.engine} | not run: {tally.skipped} |"
    values = (getattr(tally, name) for name in COLUMNS)
    return "| " + " | ".join(_cell(each) for each in values) + " |"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}"
    return str(value)


def _details(tallies: Sequence[Tally]) -> list[str]:
    lines: list[str] = []
    for tally in tallies:
        if not (tally.notes or tally.failures):
            continue
        lines += [f"## {tally.campaign}, {tally.engine}"]
        lines += [f"- {name}: {count:,}" for name, count in sorted(tally.notes.items())]
        lines += [f"- **failure**: {each}" for each in tally.failures]
        lines += [""]
    return lines
