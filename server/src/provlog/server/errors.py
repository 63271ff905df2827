"""What the service raises, and whom it blames.

::

    ServiceError
    ├── ConfigurationError     what the operator asked for cannot be: exit code 2
    │   └── ForkError          going on would contradict a head that was released
    └── UnavailableError       not now; the same request may succeed later
        ├── OverloadedError    the queue is full
        ├── ClockError         the clock cannot be trusted
        └── HaltedError        the log has been stopped until an operator looks at it

Bad input is an `intake.problems.EventError`, a failing database a
`storage.base.StorageError`; anything else that escapes is a bug of ours.
"""


class ServiceError(Exception):
    """Root of what the service raises on purpose."""


class ConfigurationError(ServiceError):
    """The operator has to change something; the message says what."""


class ForkError(ConfigurationError):
    """The database contradicts a head of the log that was already released."""


class UnavailableError(ServiceError):
    """The request was not carried out; the same request may succeed later."""


class OverloadedError(UnavailableError):
    """The queue is full; nothing of the request was taken."""


class ClockError(UnavailableError):
    """The clock jumped, or is behind the log: no entry can be dated."""


class HaltedError(UnavailableError):
    """The log takes no entries until an operator has looked at it."""
