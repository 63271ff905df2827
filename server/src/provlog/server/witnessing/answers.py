"""What a witness answered, verified: parsing is verifying here as well. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provlog.merkle.cosignatures import verify_cosignature
from provlog.merkle.errors import MerkleError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import SignatureLine, parse_signatures_unverified
from provlog.server.witnessing.calls import WitnessError

MAX_SKEW: Final = 300
"""How many seconds the time of a cosignature may be off our clock."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A true cosignature on the text that was sent, made at `timestamp`."""

    key: VerifierKey
    line: SignatureLine
    timestamp: int


def read_cosignatures(
    body: bytes,
    text: str,
    own: Iterable[VerifierKey],
    others: Iterable[VerifierKey],
    now: float,
) -> tuple[Cosigned, ...]:
    """Return the cosignatures in the body of an answer 200, each of them true.

    `own` are the keys of the witness that answered, of which one at least has to have
    signed; `others` are those of the policy's further witnesses. Lines by keys that are
    neither say nothing. Raises `WitnessError` ("wrong") where a line of a known key is
    false, or has no time near `now`, POSIX seconds.
    """
    mine = tuple(own)
    known = {(key.name, key.key_id): key for key in (*mine, *others)}
    try:
        lines = parse_signatures_unverified(body.decode())
        found = [
            Cosigned(key, line, verify_cosignature(key, text, line.value))
            for line in lines
            if (key := known.get((line.name, line.key_id))) is not None
        ]
    except UnicodeError:
        raise WitnessError("wrong", "its answer is not UTF-8") from None
    except MerkleError as error:
        raise WitnessError("wrong", f"its answer does not verify: {error}") from None
    if not any(each.key in mine for each in found):
        raise WitnessError("wrong", "its answer has no cosignature by its key")
    for each in found:
        if each.timestamp == 0 or abs(each.timestamp - now) > MAX_SKEW:
            raise WitnessError(
                "wrong",
                f"the time of its cosignature is more than {MAX_SKEW} s off our clock",
            )
    return tuple(found)
