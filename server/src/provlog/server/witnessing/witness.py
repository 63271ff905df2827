"""One witness of one log: the size it knows, its pauses, what becomes of a question."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.witness_messages import AddCheckpoint, parse_known_size
from provlog.server.witnessing.answers import Cosigned, read_cosignatures
from provlog.server.witnessing.calls import LONGEST_PAUSE, Calls, Reply, WitnessError
from provlog.server.witnessing.settings import Endpoint

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 1.0
MOST_RESYNCS: Final = 2
LIMITED: Final = "limited"
_REFUSALS: Final = {
    400: "does not understand the request",
    403: "does not take the log's signature: does it know the log's key?",
    404: "does not know the log: ask its operator to add it",
    422: "says that the proof does not verify",
    429: "asks to be asked less often",
}

Prove: TypeAlias = Callable[[int, int], Awaitable[list[bytes]]]
"""Returns the consistency proof between two sizes."""


class AheadError(WitnessError):
    """The witness says that it cosigned a larger size than the one it was asked for."""

    def __init__(self, size: int) -> None:
        super().__init__("ahead", f"says that it cosigned size {size}, which is larger")
        self.size = size


class RejectedProofError(WitnessError):
    """The witness says that its tree is not the beginning of ours (422)."""

    def __init__(self) -> None:
        super().__init__("refused", f"{_REFUSALS[422]} (HTTP 422)")


@dataclass
class Witness:
    """What is known of a witness of the log `origin`, and asks it.

    `known` is the size it has cosigned, None where that is not known; `state` the last
    outcome and `detail` what was said of it; `answered` and `cosigned` are POSIX
    seconds, the latter by the policy's names. `busy` while it is asked: never twice at
    a time. `others` are the policy's keys of further witnesses, `slow` how many seconds
    make an answer a slow one.
    """

    endpoint: Endpoint
    origin: str
    others: Iterable[VerifierKey] = ()
    slow: float = 2.5
    known: int | None = None
    state: str = "new"
    detail: str = ""
    answered: float | None = None
    seconds: float | None = None
    cosigned: dict[str, int] = field(default_factory=dict)
    busy: bool = False
    limited: bool = False
    _failures: int = 0
    _due: float = 0.0
    _told_limit: bool = False

    def is_due(self) -> bool:
        """Tell whether it may be asked: it is not in its pause."""
        return not self.busy and time.monotonic() >= self._due

    async def ask(
        self, calls: Calls, size: int, text: str, note: bytes, prove: Prove
    ) -> tuple[Cosigned, ...]:
        """Return its cosignatures on a checkpoint, or raise `WitnessError`.

        Where it knows another size than we thought (409), it is asked again from there,
        a few times; a larger one than `size` is an `AheadError`.
        """
        old = min(self.known or 0, size)
        for _ in range(1 + MOST_RESYNCS):
            proof = tuple(await prove(old, size)) if old else ()
            body = AddCheckpoint(old, proof, note).format()
            reply = await calls.add_checkpoint(self.endpoint, body)
            if reply.status == 200:
                own = self.endpoint.names
                found = read_cosignatures(
                    reply.body, text, own, self.others, time.time()
                )
                self.known = size
                return found
            if reply.status != 409:
                raise _refusal(reply)
            known = read_known_size(reply)
            if known == old:
                raise WitnessError("wrong", "says 409 and names the size it was told")
            self.known = old = known
            if known > size:
                raise AheadError(known)
        raise WitnessError("wrong", "names another size each time it is asked")

    def succeeded(self, found: Iterable[Cosigned], seconds: float) -> None:
        """Note that it cosigned."""
        self._failures, self._due, self.limited = 0, 0.0, False
        self.answered, self.seconds = time.time(), seconds
        for each in found:
            name = self.endpoint.names.get(each.key)
            if name is not None:
                self.cosigned[name] = max(each.timestamp, self.cosigned.get(name, 0))
        slow = seconds > self.slow
        self._tell("slow" if slow else "ok", f"took {seconds:.1f} s" if slow else "")

    def failed(self, error: WitnessError) -> None:
        """Note that it did not cosign: it is left alone, for longer each time.

        One that only asks to be asked less often (429) has done nothing wrong, and is
        asked again when it said.
        """
        self.answered = time.time()
        if error.outcome == LIMITED:
            self._limit(error)
            return
        pause = min(FIRST_PAUSE * 2 ** min(self._failures, 20), LONGEST_PAUSE)
        self._failures += 1
        self.rest(max(pause, error.pause or 0.0))
        self._tell(error.outcome, str(error))

    def _limit(self, error: WitnessError) -> None:
        self.detail = str(error)
        self.rest(max(error.pause or 0.0, FIRST_PAUSE))
        self.limited = True
        if not self._told_limit:
            # Once: a busy log meets its limit again and again.
            self._told_limit = True
            logger.info("%s: %s", self._who(), error)

    def rest(self, seconds: float) -> None:
        """Do not ask it for so long; nothing is held against it."""
        self._due = time.monotonic() + seconds
        self.limited = False

    def _tell(self, state: str, detail: str) -> None:
        """Log a change of state: not each second what is known already."""
        before, self.state, self.detail = self.state, state, detail
        if state == before:
            return
        who = self._who()
        if state == "ok":
            if before != "new":
                logger.info("%s cosigns again", who)
        else:
            logger.warning("%s: %s: %s", who, state, detail)

    def _who(self) -> str:
        return f"witness {self.endpoint.label!a} of log {self.origin}"


def read_known_size(reply: Reply) -> int:
    """Return the size in an answer 409, or raise `WitnessError`."""
    try:
        return parse_known_size(reply.body)
    except MalformedError:
        raise WitnessError("wrong", "says 409 without the size it knows") from None


def _refusal(reply: Reply) -> WitnessError:
    status = reply.status
    if status == 422:
        return RejectedProofError()
    if 300 <= status < 400:
        detail = "answers with a redirect, which is not followed"
    else:
        detail = _REFUSALS.get(status, "refuses")
    outcome = LIMITED if status == 429 else "refused"
    return WitnessError(outcome, f"{detail} (HTTP {status})", reply.pause)
