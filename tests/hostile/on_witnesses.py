"""Witnesses that lie to the log that asks them; the log's server is the tool here.

Each is one of three, of whom two suffice: whatever it says, the log goes on, and its
server names who said it.
"""

from dataclasses import dataclass

from support import fake_witnesses as fake


@dataclass(frozen=True, slots=True)
class WitnessLie:
    """What one witness answers (`lie`), and what the server then writes in its log."""

    name: str
    what: str
    lie: fake.Lie
    said: str


WITNESSES = (
    WitnessLie(
        "false",
        "answers with a false signature",
        fake.wrong_signature,
        "its answer does not verify: false signature by",
    ),
    WitnessLie(
        "other-root",
        "cosigns another tree than the one it was shown",
        fake.other_root,
        "its answer does not verify: false signature by",
    ),
    WitnessLie(
        "stranger",
        "answers with somebody else's cosignature",
        fake.nothing_of_its_own,
        "its answer has no cosignature by its key",
    ),
    WitnessLie(
        "timeless",
        "cosigns without a time",
        fake.timeless,
        "the time of its cosignature is more than 300 s off our clock",
    ),
    WitnessLie(
        "past",
        "cosigns with a time of long ago",
        fake.from_the_past,
        "the time of its cosignature is more than 300 s off our clock",
    ),
    WitnessLie(
        "absurd",
        "claims to have cosigned a larger tree than there is, and proves nothing",
        fake.absurd_conflict,
        "says that it cosigned size …, which is larger",
    ),
    WitnessLie(
        "echo",
        "refuses the size that it says it knows",
        fake.echoed_conflict,
        "says 409 and names the size it was told",
    ),
    WitnessLie(
        "garbage",
        "answers with something that is no cosignature",
        fake.garbage,
        "its answer is not UTF-8",
    ),
    WitnessLie(
        "long",
        "answers at great length",
        fake.endless,
        "it answered more than 262144 bytes",
    ),
    WitnessLie(
        "redirect",
        "redirects to somebody else",
        fake.redirecting,
        "answers with a redirect, which is not followed",
    ),
    WitnessLie(
        "denial",
        "denies to know the log",
        fake.unknowing,
        "does not know the log",
    ),
)
