"""What asyncpg raises, in the words of the storage interface.

PostgreSQL's messages may repeat values of a row, so only the kind of an error, its
SQLSTATE and the names of table and constraint are told on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import (
    AlreadyExistsError,
    InterruptedStorageError,
    SchemaError,
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


# What the operator has to change before a database can be used.
_REFUSALS: Final[Sequence[tuple[type[Exception], str]]] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "the database {place} refuses the user, or the password that PGPASSWORD,"
        " ~/.pgpass or PROVLOG_DATABASE gives",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "there is no database {place}: make it with CREATE DATABASE … OWNER … first",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "the user of the database {place} may not use the tables of provlog:"
        " --grant-to of provlog-server migrate, with the URL of their owner, gives a"
        " role its rights",
    ),
    (
        asyncpg.ClientConfigurationError,
        "--database: an option of the URL has no such value",
    ),
    (
        asyncpg.UndefinedObjectError,
        "--database: the URL has an option that PostgreSQL lacks",
    ),
    (ValueError, "--database: no usable URL"),
)


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Explain why the database of a place cannot be used, at the first use of its URL.

    Raises `ConfigurationError` where URL, user or rights have to be changed, and
    `StorageError` where it may answer later.
    """
    try:
        yield
    except SchemaError:
        raise
    except (StorageError, ValueError) as error:
        cause = error.__cause__ or error
        for kind, words in _REFUSALS:
            if isinstance(cause, kind):
                raise ConfigurationError(words.format(place=place)) from error
        why = explain(cause)
        if isinstance(cause, asyncpg.TargetServerAttributeNotMatched):
            why = (
                "none but standbys answer; name all hosts in the URL, as in"
                " postgresql://user@one,two/provlog, so that the primary is found"
            )
        elif type(cause) is ConnectionError:
            why = "it does not offer the TLS that the URL asks for"
        raise StorageError(f"the database {place} cannot be reached: {why}") from error


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
