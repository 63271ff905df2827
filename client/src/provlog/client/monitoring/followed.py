"""What is known of one followed log at a moment: for metrics, pages and gossip."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from provlog.merkle.encoding import JsonValue, format_time
from provlog.merkle.trust import SignedCheckpoint

State = Literal["starting", "well", "alarm", "ended"]


@dataclass(slots=True)
class Followed:
    """The figures of one log; times are POSIX seconds, None for never.

    `signed` is the newest checkpoint that was verified, the one with the newest
    cosignatures of those of its size. `present` is what is wrong now, texts by kind,
    `alarms` the kinds that are on, and `troubles` their texts. `looked_at` is when a
    look ended last, whatever it showed.
    """

    origin: str
    signed: SignedCheckpoint | None = None
    served_size: int | None = None
    reachable: bool | None = None
    stale: bool = False
    verified_at: float | None = None
    grown_at: float | None = None
    quorum_time: int | None = None
    read_size: int | None = None
    mirror_size: int | None = None
    findings: int = 0
    looked_at: float | None = None
    present: Mapping[str, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    looks: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """Whether all is well, as far as is known."""
        if set(self.alarms) - {"frozen"}:
            return "alarm"
        if self.alarms:
            return "ended"
        return "starting" if self.verified_at is None else "well"

    @property
    def size(self) -> int | None:
        """Entries of the newest verified checkpoint."""
        return None if self.signed is None else self.signed.checkpoint.size

    def count(self, event: str) -> None:
        """Count one look at the log by what it showed."""
        self.looks[event] = self.looks.get(event, 0) + 1

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is shown of it, without what is not known."""
        value: dict[str, JsonValue] = {
            "origin": self.origin,
            "state": self.state,
            "size": self.size,
            "served_size": self.served_size,
            "reachable": self.reachable,
            "verified": _shown(self.verified_at),
            "grown": _shown(self.grown_at),
            "quorum_time": _shown(self.quorum_time),
            "read_size": self.read_size,
            "mirror_size": self.mirror_size,
            "findings": self.findings or None,
            "alarms": [
                {"kind": kind, "text": text}
                for kind, text in zip(self.alarms, self.troubles, strict=True)
            ],
        }
        return {name: each for name, each in value.items() if each is not None}


def _shown(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    # The last time that can be written: cosigners may claim any.
    return format_time(int(min(max(seconds, 0), 253_402_300_799) * 1000))
