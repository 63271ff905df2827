"""What asyncpg raises, in the words of the storage interface.

PostgreSQL's messages may repeat values of a row, so only the kind of an error, its
SQLSTATE and the names of table and constraint are told on.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from provlog.server.storage.base import (
    AlreadyExistsError,
    InterruptedStorageError,
    StorageBusyError,
    StorageError,
)

# The server goes, or is not there yet: 57P01 to 57P05 are shutdowns, start-ups and
# sessions that were ended, 40xxx transactions that lost to another, 25006 a write on
# what has become a standby.
_INTERRUPTED = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.QueryCanceledError,
    OSError,
    TimeoutError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the storage interface's errors in the place of asyncpg's."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise AlreadyExistsError(explain(error)) from error
    except asyncpg.LockNotAvailableError as error:
        raise StorageBusyError("another session holds the lock of the log") from error
    except _INTERRUPTED as error:
        raise InterruptedStorageError(explain(error)) from error
    except asyncpg.PostgresError as error:
        raise StorageError(explain(error)) from error


def explain(error: BaseException) -> str:
    """Return the kind of an error and where it happened, without any value."""
    parts = [type(error).__name__]
    if isinstance(error, asyncpg.PostgresError):
        known = (error.sqlstate, error.table_name, error.constraint_name)
        parts += [str(part) for part in known if part]
    elif isinstance(error, OSError) and error.strerror:
        parts.append(error.strerror)
    return "PostgreSQL: " + ", ".join(parts)
