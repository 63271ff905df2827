"""What the service raises, and whom it blames.

::

    ServiceError
    ├── ConfigurationError     what the operator asked for cannot be: exit code 2
    │   ├── ForkError          going on would contradict a head that was released
    │   └── TooManyLogsError   the instance holds as many logs as it may
    ├── DamagedError           a backup or export is not what was written: exit code 1
    ├── OversizedError         more than the queue takes in one request, at any time
    └── UnavailableError       not now; the same request may succeed later
        ├── OverloadedError    the queue is full
        ├── ClockError         the clock cannot be trusted
        ├── GuardBusyError     another process holds the guard's lock
        ├── FrozenError        the log has ended; nothing is added to it any more
        ├── MissingKeyError    a key is not here that the log signs with
        └── HaltedError        the log has been stopped until an operator looks at it
            └── RetiredError   for good: another log is its successor

Bad input is an `intake.problems.EventError`, a failing database a
`storage.base.StorageError`; anything else that escapes is a bug of ours.
"""

import traceback

from provlog.merkle.encoding import JsonValue


class ServiceError(Exception):
    """Root of what the service raises on purpose."""


class ConfigurationError(ServiceError):
    """The operator has to change something; the message says what."""


class ForkError(ConfigurationError):
    """The database contradicts a head of the log that was already released."""


class TooManyLogsError(ConfigurationError):
    """The instance holds as many logs as it may."""


class DamagedError(ServiceError):
    """A backup or an export was changed since it was made; nothing of it was kept."""


class OversizedError(ServiceError):
    """One request holds more than the queue can ever take; nothing of it was taken."""


class UnavailableError(ServiceError):
    """The request was not carried out; the same request may succeed later."""


class OverloadedError(UnavailableError):
    """The queue is full; nothing of the request was taken."""


class ClockError(UnavailableError):
    """The clock jumped, or is behind the log: no entry can be dated."""


class GuardBusyError(UnavailableError):
    """Another process holds the lock of a log's guard."""


class FrozenError(UnavailableError):
    """The log's last entry froze it: nothing can be added, and no later call will.

    `successor` is the origin and key of the log that goes on, None where none is named.
    """

    def __init__(self, successor: dict[str, JsonValue] | None) -> None:
        goes_on = f"; {successor['origin']} goes on" if successor else ""
        super().__init__(f"the log has ended and takes no entries{goes_on}")
        self.successor = successor


class MissingKeyError(UnavailableError):
    """A key is not in the keyring that has to sign; it helps at once to put it there.

    The text names folders of this machine.
    """


class HaltedError(UnavailableError):
    """The log takes no entries until an operator has looked at it."""


class RetiredError(HaltedError):
    """Nothing of the log is signed any more: the log `successor` goes on."""

    def __init__(self, successor: str) -> None:
        super().__init__(f"the log is retired; its successor is the log {successor}")
        self.successor = successor


def describe(error: BaseException | None) -> str:
    """Return the kinds of an exception and its causes, with frames and no values.

    An exception's own text may repeat what was sent, so it is not for logs.
    """
    parts = []
    while error is not None:
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{type(error).__name__}\n{frames}")
        error = error.__cause__ or error.__context__
    return "caused by ".join(parts)
