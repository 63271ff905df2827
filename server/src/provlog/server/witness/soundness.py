"""Whether a witness may sign at all: its clock is right, and its memory is the newest.

A memory that was set back (a restored backup, a machine put back to a snapshot) cannot
be told from a true one by itself. But logs show around what the witness signed, and one
cosignature of its own on a tree that it does not know gives it away.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosignatures import verify_cosignature
from provlog.merkle.errors import SignatureError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import SignatureLine
from provlog.server.clock import MAX_AHEAD_MS, MAX_DRIFT_MS, Clock
from provlog.server.errors import ClockError, UnavailableError
from provlog.server.witness.records import Head

logger = logging.getLogger(__name__)

TELL_SECONDS: Final = 60.0
_FORGOTTEN: Final = (
    "a log shows a cosignature of this witness that it does not remember, so its memory"
    " was set back; make new keys and retire the old ones before it signs again"
)


class ForgottenError(UnavailableError):
    """The witness's memory is older than what it signed."""

    def __init__(self) -> None:
        super().__init__("the witness cannot answer for what it signed before")


class Soundness:
    """Judges clock and memory; what is wrong with them is logged, now and then."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._forgotten: frozenset[VerifierKey] = frozenset()
        self._told = -TELL_SECONDS

    def trouble(self) -> str | None:
        """Return why nothing can be cosigned now, None if all is well."""
        if self._forgotten:
            return _FORGOTTEN
        drift = self.clock.drift()
        if abs(drift) > MAX_DRIFT_MS:
            return (
                f"the clock moved by {drift / 1000:+.1f} s; set it right, or accept it"
                " with SIGUSR1"
            )
        return None

    def require_memory(
        self,
        text: str,
        checkpoint: Checkpoint,
        lines: Iterable[SignatureLine],
        head: Head | None,
        keys: Sequence[VerifierKey],
    ) -> None:
        """Return if `head` is no older than what `lines` show that `keys` signed.

        Raises `ForgottenError` otherwise, and from then on at once, as long as one of
        these keys signs. `head` was read after the lines had come: whatever process
        made one of them had its memory committed before.
        """
        self._forgotten &= frozenset(keys)
        if self._forgotten:
            raise self._tell(ForgottenError(), _FORGOTTEN)
        if head is not None and checkpoint.size < head.size:
            return
        if head is not None and (checkpoint.size, checkpoint.root) == (
            head.size,
            head.root,
        ):
            return
        if any(_is_own(text, line, keys) for line in lines):
            self._forgotten = frozenset(keys)
            raise self._tell(ForgottenError(), _FORGOTTEN)

    def time(self, head: Head | None) -> int:
        """Return the time to sign with: never 0, never before the last one.

        Raises `ClockError` where the clock moved, or is far behind what was signed.
        """
        trouble = self.trouble()
        if trouble is not None:
            raise self._tell(ClockError(trouble), trouble)
        now = self.clock.now() // 1000
        last = 1 if head is None else head.time
        if (last - now) * 1000 > MAX_AHEAD_MS:
            text = f"the last cosignature is {last - now} s ahead of the clock"
            raise self._tell(ClockError(text), text)
        return max(now, last)

    def _tell(self, error: UnavailableError, text: str) -> UnavailableError:
        """Log why nothing is signed, now and then: every log asks all the time."""
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            logger.error("nothing is cosigned: %s", text)
        return error


def _is_own(text: str, line: SignatureLine, keys: Sequence[VerifierKey]) -> bool:
    """Tell whether a line is a true cosignature by one of these keys."""
    for key in keys:
        if (key.name, key.key_id) == (line.name, line.key_id):
            try:
                verify_cosignature(key, text, line.value)
            except SignatureError:
                continue
            return True
    return False
