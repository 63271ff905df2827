"""How old a head is by the clocks of its witnesses, and what that gives away. No I/O.

A log can sign an old tree at any time; a quorum of witnesses that cosigned it lately
says that it is the newest one they were shown. The time of a head is the newest at
which those who cosigned since then are a quorum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from provlog.client.errors import printable
from provlog.client.monitoring.symptoms import Symptom
from provlog.merkle.encoding import format_time
from provlog.merkle.policy import Policy
from provlog.merkle.trust import Cosignature, SignedCheckpoint

# The largest time that can be written; cosigners may claim any.
_LAST = 253_402_300_799


def quorum_time(policy: Policy, cosignatures: Sequence[Cosignature]) -> int | None:
    """Return the newest time, in POSIX seconds, from which on a quorum cosigned.

    None where the policy asks for no witnesses, and where no quorum cosigned at all.
    A time of 0 says that its cosigner claims none.
    """
    if policy.quorum is None:
        return None
    reached: set[str] = set()
    for each in sorted(cosignatures, key=lambda one: one.timestamp, reverse=True):
        reached.add(each.witness)
        if policy.satisfied_by(reached):
            return each.timestamp
    return None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How a head is judged: all in seconds; `max_age` None asks for no age."""

    max_age: float | None
    tolerance: float


def judge_freshness(
    signed: SignedCheckpoint,
    policy: Policy | None,
    recorded: int | None,
    rule: Freshness,
    now: float,
) -> list[Symptom]:
    """Return what the times of a head's cosignatures show at `now`, POSIX seconds.

    `recorded` is the time of the head's newest entry, in Unix milliseconds, where it is
    known. Where a quorum is ahead of this machine, it is this machine's clock that is
    doubted, and no age is judged by it.
    """
    newest = None if policy is None else quorum_time(policy, signed.cosignatures)
    symptoms = [*_ahead(signed.cosignatures, newest, rule.tolerance, now)]
    if newest is None:
        return symptoms
    if rule.max_age is not None and now - newest > rule.max_age:
        symptoms.append(
            Symptom(
                "stale-witnesses",
                f"the newest head, of {signed.checkpoint.size} entries, was cosigned "
                f"by a quorum at {_shown(newest)} and not since; by the clock of this "
                f"machine that was {_span(now - newest)} ago",
                {"quorum_time": _shown(newest)},
            )
        )
    if recorded is not None and recorded / 1000 - newest > rule.tolerance:
        symptoms.append(
            Symptom(
                "recorded-ahead",
                f"entry {signed.checkpoint.size - 1} says that it was recorded at "
                f"{format_time(recorded)}, and witnesses had cosigned the tree that "
                f"holds it by {_shown(newest)}",
                {"quorum_time": _shown(newest), "recorded": format_time(recorded)},
            )
        )
    return symptoms


def _ahead(
    cosignatures: Sequence[Cosignature],
    quorum: int | None,
    tolerance: float,
    now: float,
) -> list[Symptom]:
    ahead = [each for each in cosignatures if each.timestamp - now > tolerance]
    if not ahead:
        return []
    # Names are opaque octets in a policy.
    names = ", ".join(sorted(printable(each.witness) for each in ahead)[:5])
    here = format_time(int(now * 1000))
    if quorum is not None and quorum - now > tolerance:
        text = (
            f"a quorum of witnesses ({names}) is ahead of this machine, where it is "
            f"{here}: set this machine's clock; no ages are judged until then"
        )
    else:
        text = (
            f"cosignatures of {names} are from the future; here it is {here}: that "
            "witness's clock is wrong, or this machine's"
        )
    return [Symptom("cosignature-ahead", text)]


def _shown(seconds: int) -> str:
    return format_time(min(seconds, _LAST) * 1000)


def _span(seconds: float) -> str:
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
