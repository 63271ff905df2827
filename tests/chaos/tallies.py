"""What a campaign counted, and the report over all of them."""

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass
class Tally:
    """One campaign on one engine.

    `injected` faults were attempted and `fired` seen to have happened; `failures` say
    what was found wrong beside lost events and forks; `notes` count what makes a run
    worth its time, and `skipped` is the reason where it could not run.
    """

    campaign: str
    engine: str
    seed: int
    rounds: int = 0
    injected: int = 0
    fired: int = 0
    acknowledged: int = 0
    resent: int = 0
    lost: int = 0
    forks: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    skipped: str | None = None

    def fault(self, fired: bool) -> None:
        """Count a fault and whether it was seen to happen."""
        self.injected += 1
        self.fired += fired

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, nothing forked, and every fault happened."""
        wrong = self.lost or self.forks or self.failures
        return not wrong and self.injected == self.fired

    def line(self) -> str:
        """Return one line that says how it went."""
        if self.skipped:
            return f"{self.campaign} {self.engine}: not run: {self.skipped}"
        return (
            f"{self.campaign} {self.engine}: {self.rounds} rounds, {self.injected} "
            f"faults, {self.fired} fired, {self.acknowledged} acknowledged, "
            f"{self.resent} sent again, {self.lost} lost, {self.forks} forks, "
            f"{len(self.failures)} failures, {self.seconds:.0f} s, seed {self.seed}"
        )


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
            "Written by `make chaos`. Each round does one thing to a server, its "
            "database or its machine while submitters keep it busy; then `fsck` reads "
            "the whole database, every receipt is verified and found again under its "
            "index, and every checkpoint that any server ever signed is held against "
            "the entries.",
            "",
            f"{machine['ended']}, {machine['cores']} cores, {machine['system']}, "
            f"Python {machine['python']}: {total['rounds']:,} rounds, "
            f"{total['fired']:,} of {total['injected']:,} faults seen to happen, "
            f"{total['acknowledged']:,} events acknowledged, **{total['lost']} lost, "
            f"{total['forks']} forks**, {total['failures']} other failures.",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|---" * len(COLUMNS) + "|",
            *(_row(each) for each in tallies),
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
