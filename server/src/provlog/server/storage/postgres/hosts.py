"""Which of the hosts that a URL names is connected to: the primary that is furthest.

After a failover the old primary may come back, and take writes still. It is on an older
timeline than the new one, and what it says is not the log any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import (
    Incarnation,
    InterruptedStorageError,
    StorageError,
)

CONNECT_SECONDS: Final = 10.0
HOST_SECONDS: Final = 3.0
"""How long one of several hosts has: the others are not to wait for a dead one."""


class Reached(Protocol):
    """A connection to a host that takes writes."""

    incarnation: Incarnation

    def terminate(self) -> None:
        """Close it at once."""


Connection = TypeVar("Connection", bound=Reached)


class Hosts(Generic[Connection]):
    """The hosts of one database.

    `reach` connects to one of them, given its URL and for how long to try; it raises
    `StorageError` or `ConfigurationError`, for a standby too.
    """

    def __init__(
        self, url: str, reach: Callable[[str, float], Awaitable[Connection]]
    ) -> None:
        self._urls = single_hosts(url)
        self._reach = reach
        self._seconds = HOST_SECONDS if len(self._urls) > 1 else CONNECT_SECONDS
        self._known: tuple[str, Incarnation] | None = None

    async def connect(self) -> Connection:
        """Return a connection to the primary on the newest timeline.

        As long as the host that was chosen last runs on, only that one is asked.
        Raises what stands in the way where there is none.
        """
        return await self._again() or await self._choose()

    def forget(self) -> None:
        """Look at all hosts the next time: the chosen one was left behind."""
        self._known = None

    async def _again(self) -> Connection | None:
        if self._known is None:
            return None
        url, incarnation = self._known
        try:
            connection = await self._reach(url, self._seconds)
        except (StorageError, ConfigurationError):
            return None
        if connection.incarnation == incarnation:
            return connection
        # It was started anew: perhaps another one was promoted meanwhile.
        connection.terminate()
        return None

    async def _choose(self) -> Connection:
        """Look at all hosts at once."""
        tasks = [
            asyncio.ensure_future(self._reach(url, self._seconds)) for url in self._urls
        ]
        chosen: Connection | None = None
        try:
            await asyncio.wait(tasks)
            found = [
                (task.result(), url)
                for task, url in zip(tasks, self._urls, strict=True)
                if not task.exception()
            ]
            if not found:
                raise _worst(task.exception() for task in tasks)
            chosen, url = max(found, key=lambda each: each[0].incarnation.timeline)
            self._known = url, chosen.incarnation
            return chosen
        finally:
            for task in tasks:
                _let_go(task, chosen)


def _let_go(task: "asyncio.Future[Connection]", chosen: Connection | None) -> None:
    """Close a connection that is not the chosen one, also one that is being made."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and not task.exception() and task.result() is not chosen:
        task.result().terminate()


def _worst(errors: Iterable[BaseException | None]) -> BaseException:
    """Return the error that says most: first what an operator has to mend."""
    return min((error for error in errors if error is not None), key=_rank)


def _rank(error: BaseException) -> int:
    if not isinstance(error, InterruptedStorageError):
        return 0
    # That one is a standby is no news where another one is down.
    standby = isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched)
    return 2 if standby else 1


def single_hosts(url: str) -> list[str]:
    """Return the URLs of the single hosts that a URL names, in its order."""
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    if hosts:
        return [
            urlunsplit(parts._replace(netloc=f"{userinfo}{at}{host}"))
            for host in hosts.split(",")
        ]
    options = dict(parse_qsl(parts.query))
    names = options.get("host", "").split(",")
    ports = options.get("port", "").split(",")
    if len(names) == 1:
        return [url]
    urls = []
    for place, name in enumerate(names):
        single = options | {"host": name}
        if len(ports) == len(names):
            single["port"] = ports[place]
        urls.append(urlunsplit(parts._replace(query=urlencode(single))))
    return urls
