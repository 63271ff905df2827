"""What a guard promises, whatever it is kept in."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ReleasedHead:
    """Size and root of a head that may leave the server."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class GuardRecord:
    """What is recorded of a log: its newest released head, and whether it goes on.

    A log with a `successor`, another log's name, is retired: nothing of it is signed
    any more, by anybody.
    """

    head: ReleasedHead
    successor: str | None = None


class Guard(Protocol):
    """The newest released head of each log, by origin; only ever advanced.

    Whoever shares a guard sees one order of its changes: `read` returns what was
    recorded when it was called, or something newer.
    """

    @property
    def shared(self) -> bool:
        """Whether servers on other machines use it too, so that reading costs a call.

        One that is not shared knows nothing of what other machines released.
        """

    @property
    def failures(self) -> int:
        """How often it could not be read, written or flushed."""

    async def prepare(self) -> None:
        """Make sure that it can be relied on, before anything rests on it.

        Raises `ConfigurationError` where it cannot, `UnavailableError` where it does
        not answer.
        """

    async def read(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head, or None where nothing is recorded.

        Raises `RetiredError` for a log that is retired, `ConfigurationError` for a
        record that is none, `UnavailableError` where it cannot be read now.
        """

    async def inspect(self, origin: str) -> GuardRecord | None:
        """Return all that is recorded; a log that is retired raises nothing."""

    async def recall(self, origin: str) -> ReleasedHead | None:
        """Return what was read or recorded here last, which may have been replaced.

        Where that is nothing, it is read. To be given to `replace`.
        """

    async def replace(
        self, origin: str, known: ReleasedHead | None, head: ReleasedHead
    ) -> bool:
        """Record `head` if `known` is what is recorded; tell whether it was.

        Compare and swap: whoever releases a head has looked at the one before, and
        answers for it that the new one extends it. After False look again: it may have
        been recorded all the same, where the answer got lost. Raises `GuardBusyError`
        while another process holds the lock, `ValueError` for a head that is not
        larger.
        """

    async def retire(self, origin: str, head: ReleasedHead, successor: str) -> bool:
        """Retire a log durably if `head` is what is recorded; tell whether it is done.

        True also where it was done before, for the same successor. Afterwards every
        `replace` of the log, in whatever process, returns False.
        """

    async def flush(self) -> None:
        """Make everything recorded so far survive a crash of the machine.

        Raises `OSError` where that cannot be done.
        """

    def flush_age(self) -> float:
        """Return the seconds since what was recorded last is known to be durable."""

    def size(self, origin: str) -> int | None:
        """Return the size that was last read or recorded here; nothing is read."""

    def describe(self, origin: str) -> str:
        """Return where the record of a log stands, for messages."""

    async def close(self) -> None:
        """Let go of what is open; nothing may be asked afterwards."""
