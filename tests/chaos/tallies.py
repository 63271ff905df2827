"""What a campaign counted."""

from collections import Counter
from dataclasses import dataclass, field


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
