"""Whether a witness may sign at all: its clock is right, and its memory is the newest.

A memory that was set back (a restored backup, a machine put back to a snapshot) cannot
be told from a true one by itself. But logs show around what the witness signed, and one
cosignature of its own on a tree that it does not know gives it away. What was found out
so is noted in a file: a restart must not make it forgotten.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosignatures import verify_cosignature
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import SignatureLine
from provlog.server.clock import MAX_AHEAD_MS, MAX_DRIFT_MS, Clock
from provlog.server.errors import ClockError, ConfigurationError, UnavailableError
from provlog.server.files import flush_path, read_private, write_private
from provlog.server.witness.records import Head

logger = logging.getLogger(__name__)

TELL_SECONDS: Final = 60.0
MARK: Final = "forgotten"
"""The file in a witness's folder that names keys which must not sign any more."""
_MOST_MARKED: Final = 1 << 20
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

    def __init__(self, clock: Clock, mark: Path | None = None) -> None:
        """`mark` is the file that names keys which must not sign; None keeps none."""
        self.clock = clock
        self._mark = mark
        self._forgotten: frozenset[VerifierKey] = frozenset()
        self._told = -TELL_SECONDS

    def look(self, keys: Iterable[VerifierKey]) -> None:
        """Take up what was found out of `keys`, before a restart or by another process.

        Raises `ConfigurationError` where that cannot be read.
        """
        if self._mark is None or not self._mark.exists():
            return
        try:
            marked = read_private(self._mark, _MOST_MARKED).splitlines()
            found = frozenset(map(VerifierKey.parse, marked))
        except (MalformedError, ValueError):
            raise ConfigurationError(
                f"{self._mark} cannot be read; it names keys that must not sign"
            ) from None
        self._forgotten = (self._forgotten | found) & frozenset(keys)

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
            self._note_down()
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

    def _note_down(self) -> None:
        """Write down which keys must not sign, durably; a failure is logged."""
        if self._mark is None:
            return
        staged = self._mark.with_suffix(".new")
        try:
            staged.unlink(missing_ok=True)
            lines = sorted(key.vkey() for key in self._forgotten)
            write_private(staged, "\n".join([*lines, ""]))
            staged.replace(self._mark)
            flush_path(self._mark.parent)
        except OSError as error:
            logger.error("%s cannot be written: %s", self._mark, error.strerror)

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
