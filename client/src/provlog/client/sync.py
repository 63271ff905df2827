"""The client for programs without an event loop: the same methods, each waited for."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from provlog.client.aio import AsyncClient
from provlog.client.errors import UsageError
from provlog.client.memory import Memory
from provlog.merkle.trust import Trust

P = ParamSpec("P")
R = TypeVar("R")


def blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["Client", P], R]:
    """Return a method of `Client` that runs this method of `AsyncClient` to its end."""

    @functools.wraps(method)
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(lambda client: method(client, *args, **kwargs))

    return call


class Client:
    """`AsyncClient` on an event loop of its own.

    Arguments and methods are those of `AsyncClient`, which see. Threads may share one
    object; their calls take turns. Where an event loop is running already, every call
    raises `UsageError`: there `AsyncClient` is the right one.
    """

    def __init__(
        self,
        url: str,
        trust: Trust,
        *,
        log: str = "main",
        token: str | None = None,
        memory: Memory | None = None,
        timeout: float = 30.0,
        patience: float = 30.0,
        insecure: bool = False,
        wait_witnessed: bool = False,
    ) -> None:
        self._client = AsyncClient(
            url,
            trust,
            log=log,
            token=token,
            memory=memory,
            timeout=timeout,
            patience=patience,
            insecure=insecure,
            wait_witnessed=wait_witnessed,
        )
        self._runner: asyncio.Runner | None = None
        self._turn = threading.Lock()

    submit = blocking(AsyncClient.submit)
    submit_batch = blocking(AsyncClient.submit_batch)
    submit_records = blocking(AsyncClient.submit_records)
    checkpoint = blocking(AsyncClient.checkpoint)
    entry = blocking(AsyncClient.entry)
    inclusion = blocking(AsyncClient.inclusion)
    consistency = blocking(AsyncClient.consistency)

    def close(self) -> None:
        """Write down the newest checkpoint, close all connections and the loop."""
        if self._runner is None:
            return
        try:
            self._run(AsyncClient.close)
        finally:
            self._runner.close()
            self._runner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, call: Callable[[AsyncClient], Coroutine[Any, Any, R]]) -> R:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise UsageError("an event loop is running here: use AsyncClient")
        with self._turn:
            if self._runner is None:
                # With a factory, the runner leaves the thread's own event loop alone.
                self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
            return self._runner.run(call(self._client))
