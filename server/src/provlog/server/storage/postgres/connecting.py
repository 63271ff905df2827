"""Connections to PostgreSQL: how they are set up, and which database they reached.

A URL may name several hosts; a connection is made to the one that takes writes, so it
follows a failover (`hosts`). Every connection knows which incarnation of the database
it talks to, because what was true of one need not be true of the next.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from provlog.server.errors import ConfigurationError
from provlog.server.storage.addresses import place_of
from provlog.server.storage.base import Incarnation
from provlog.server.storage.postgres.hosts import Hosts
from provlog.server.storage.postgres.translation import reaching, translated
from provlog.server.storage.rows import Row

if TYPE_CHECKING:
    # asyncpg's classes are generic for the type checker alone.
    Plain: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Pooled: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Base: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection
    Pool = asyncpg.Pool
    Pooled = asyncpg.pool.PoolConnectionProxy
    Base = asyncpg.Connection

STATEMENT_SECONDS: Final = 30.0
"""After how long a statement other than COMMIT is given up."""
LOCK_SECONDS: Final = 3.0
"""After how long a waiter looks whether whoever holds a log's lock stands still."""
MINIMUM_VERSION: Final = 130_000

# Each statement here finds its rows by a key, and its plan is made once for all
# arguments: no plan of a young table's may be left to read an old one from end to end.
_SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "provlog",
    "search_path": "provlog, pg_catalog, pg_temp",
    "idle_in_transaction_session_timeout": "60s",
    "default_transaction_isolation": "read committed",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "client_min_messages": "warning",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

# Whoever makes tables may do more than whoever serves. Were `public` looked at, where
# others may have been allowed to make functions, these could be called in the place of
# PostgreSQL's own.
_COMMAND_SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "provlog",
    "search_path": "pg_catalog, pg_temp",
    "client_min_messages": "warning",
}

# How a commit waits is set for the session, also where it is well as it is: else a
# configuration that is read anew would weaken the sessions that are open.
_WHO = """
SELECT (SELECT system_identifier FROM pg_control_system()),
       pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN '' ELSE
           pg_walfile_name(pg_current_wal_insert_lsn()) END,
       pg_postmaster_start_time()::text,
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit')
                      WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
       current_setting('fsync'),
       current_setting('server_version_num')::int
"""


# Of the connection's own end: COMMIT is waited for without a limit, and a machine that
# vanished would never answer. That finds out as soon as the system does.
_KEPT_ALIVE: Final = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 10),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 5),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, 25_000),
)


class ServerConnection(Base):
    """A connection that knows the database it reached."""

    incarnation: Incarnation
    _transport: asyncio.Transport  # asyncpg's own

    def keep_alive(self) -> None:
        """Let the connection end when the other machine does not answer any more."""
        end = self._transport.get_extra_info("socket")
        if end.family != socket.AF_UNIX:
            for name, level, value in _KEPT_ALIVE:
                if hasattr(socket, name):
                    end.setsockopt(level, getattr(socket, name), value)


def incarnation_of(connection: Plain | Pooled) -> Incarnation:
    """Return the database that a connection of ours reached."""
    return cast("ServerConnection", connection).incarnation


async def fetch(
    connection: Plain | Pooled, statement: str, *values: object
) -> Sequence[Row]:
    """Return a statement's rows; `StorageError` where that fails or takes too long."""
    with limited(connection) as seconds:
        rows = await connection.fetch(statement, *values, timeout=seconds)
    # Records are sequences, of which their stubs say nothing.
    return cast("Sequence[Row]", rows)


async def execute(connection: Plain | Pooled, statements: str) -> None:
    """Run statements; `StorageError` where they fail or take too long."""
    with limited(connection) as seconds:
        await connection.execute(statements, timeout=seconds)


@contextmanager
def limited(connection: Plain | Pooled) -> Iterator[float]:
    """Yield how long a statement may take; raise the storage interface's errors."""
    with translated():
        try:
            yield STATEMENT_SECONDS
        except TimeoutError:
            # Whatever stands still would not answer a ROLLBACK or a cancel either.
            drop(connection)
            raise


def is_lost(connection: Plain | Pooled) -> bool:
    """Tell whether a connection has ended."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # A pool takes back at once what has ended, and then refuses every call.
        return True


def drop(connection: Plain | Pooled) -> None:
    """End a connection at once, and with it its transaction; it may have ended."""
    # Of one that its pool has taken back nothing is left to end.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def prepare(connection: Plain) -> None:
    """Find out which database was reached, and make commits durable.

    Raises `ConfigurationError` where it cannot keep what it is told: `fsync` is off,
    or it is a standby.
    """
    reached = cast("ServerConnection", connection)
    reached.keep_alive()
    [row] = await fetch(connection, _WHO)
    system, standby, segment, started, _, fsync, version = row
    if version < MINIMUM_VERSION:
        raise ConfigurationError("the database is older than PostgreSQL 13")
    if standby:
        raise ConfigurationError(
            "the database is a standby: name all hosts in the URL, as in"
            " postgresql://user@one,two/provlog, so that the primary is found"
        )
    if fsync != "on":
        raise ConfigurationError(
            "the database runs with fsync=off and would lose what it acknowledged:"
            " set fsync=on"
        )
    reached.incarnation = Incarnation(system, int(segment[:8], 16), started)


async def connect(url: str) -> ServerConnection:
    """Return a connection of one's own, for the commands that make and change tables.

    Raises like `reaching`.
    """
    hosts = Hosts(url, partial(_reach, settings=_COMMAND_SETTINGS))
    with reaching(place_of(url)):
        return await hosts.connect()


def pooled_hosts(
    url: str, lock_seconds: float = LOCK_SECONDS
) -> Hosts[ServerConnection]:
    """Return the hosts of a database for the pools that serve from it."""
    settings = {**_SETTINGS, "lock_timeout": f"{lock_seconds * 1000:.0f}ms"}
    return Hosts(url, partial(_reach, settings=settings))


async def create_pool(hosts: Hosts[ServerConnection], size: int) -> Pool:
    """Return a pool of connections for serving; they are made when they are needed."""

    async def connect_pooled(*_: object, **__: object) -> ServerConnection:
        return await hosts.connect()

    return await asyncpg.create_pool(
        min_size=0,
        max_size=size,
        max_queries=0x7FFFFFFF,
        max_inactive_connection_lifetime=300.0,
        connection_class=ServerConnection,
        connect=connect_pooled,
        # A connection is handed back without a transaction and without settings.
        reset=_nothing_to_reset,
    )


async def _nothing_to_reset(_: object) -> None:
    return


async def _reach(
    url: str, seconds: float, settings: Mapping[str, str]
) -> ServerConnection:
    """Connect to one host; a standby is an `InterruptedStorageError`."""
    with translated():
        async with asyncio.timeout(seconds):
            connection = await asyncpg.connect(
                url,
                connection_class=ServerConnection,
                target_session_attrs=SessionAttribute.primary,
                server_settings=dict(settings),
            )
            try:
                await prepare(connection)
            except BaseException:
                drop(connection)
                raise
            return connection
