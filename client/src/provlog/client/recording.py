"""`recorded`: a function that changes accounts leaves a trace of each call.

::

    @recorded(outbox, source="urn:hr:acme", type="account.disable",
              target=lambda number: {"id": number, "type": "user"})
    def disable(number): …

Two events for each call. The first, of type ``attempt.account.disable``, is on disk
before the function is entered, with the result ``pending``: no change is made without a
trace, and a process that dies in the function leaves an attempt without an outcome,
which `provlog gaps` counts. The second, of the type itself, has the result ``success``,
or ``failure`` and the class of what was raised: its text may name people. Both have the
same `request_id`.
"""

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast
from uuid import uuid4

from provlog.client.errors import ClientError, UsageError
from provlog.client.outbox.awaited import AsyncOutbox
from provlog.client.outbox.box import Outbox
from provlog.merkle.encoding import JsonValue, format_time

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPT = "attempt."

Party = Mapping[str, JsonValue]

_LOGGER = logging.getLogger("provlog.client.recording")


def recorded(
    outbox: Outbox | AsyncOutbox,
    *,
    source: str,
    type: str,  # noqa: A002  the event's own name for it
    target: Callable[..., Party],
    actor: Callable[..., Party] | None = None,
    attempt: bool = True,
    strict: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for functions and coroutine functions that change accounts.

    `target`, and `actor` if given, are called with the function's arguments before it
    and return whom the change is about, and who makes it. What they raise, and an
    attempt that cannot be put (`OutboxFullError`, `SpoolError`), reaches the caller,
    and the function is not entered. With `attempt` false only the outcome is put.

    An outcome that cannot be put is logged as an error under
    ``provlog.client.recording``, without the event, and the caller gets what the
    function returned: the change is made. With `strict` the error is raised instead.
    What the function raises is always raised.

    Raises `UsageError` for generators, whose calls do nothing yet.
    """
    described = _Described(source, type, target, actor)
    plain = outbox.outbox if isinstance(outbox, AsyncOutbox) else outbox
    recorder = _Recorder(plain, described, attempt=attempt, strict=strict)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        ):
            raise UsageError("a generator cannot be recorded: record what it calls")
        wrap = _wrap_async if inspect.iscoroutinefunction(function) else _wrap
        wrapped: Callable[..., Any] = wrap(function, recorder)
        return cast("Callable[P, R]", functools.wraps(function)(wrapped))

    return decorate


@dataclass(frozen=True, slots=True)
class _Described:
    """What the events of a function's calls say, whatever their outcome."""

    source: str
    type: str
    target: Callable[..., Party]
    actor: Callable[..., Party] | None

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Call":
        data: dict[str, JsonValue] = {"target": dict(self.target(*args, **kwargs))}
        if self.actor is not None:
            data["actor"] = dict(self.actor(*args, **kwargs))
        data["context"] = {"request_id": str(uuid4())}
        return _Call(self.source, self.type, data)


@dataclass(frozen=True, slots=True)
class _Call:
    source: str
    type: str
    data: Mapping[str, JsonValue]

    def attempt(self) -> Party:
        return self._event(f"{ATTEMPT}{self.type}", {"result": "pending"})

    def outcome(self, error: BaseException | None) -> Party:
        if error is None:
            return self._event(self.type, {"result": "success"})
        reason = type(error).__name__
        return self._event(self.type, {"result": "failure", "reason": reason})

    def _event(self, name: str, outcome: dict[str, JsonValue]) -> Party:
        return {
            "source": self.source,
            "type": name,
            "time": format_time(time.time_ns() // 1_000_000),
            "data": {**self.data, "outcome": outcome},
        }


class _Recorder:
    """Puts the events of calls."""

    def __init__(
        self, outbox: Outbox, described: _Described, *, attempt: bool, strict: bool
    ) -> None:
        self._outbox = outbox
        self._described = described
        self._attempt = attempt
        self._strict = strict

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        call = self._described.call(args, kwargs)
        if self._attempt:
            self._outbox.put(call.attempt())
        return call

    def end(self, call: _Call, error: BaseException | None) -> None:
        try:
            self._outbox.put(call.outcome(error))
        except ClientError as trouble:
            kind = type(trouble).__name__
            _LOGGER.error("the outcome of a %s was NOT put (%s)", call.type, kind)
            # What the function itself raised is never hidden.
            if self._strict and error is None:
                raise


def _wrap(function: Callable[..., Any], recorder: _Recorder) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the function's own
        begun = recorder.begin(args, kwargs)
        try:
            returned = function(*args, **kwargs)
        except BaseException as error:
            recorder.end(begun, error)
            raise
        recorder.end(begun, None)
        return returned

    return call


def _wrap_async(
    function: Callable[..., Any], recorder: _Recorder
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as above
        begun = await _begun(recorder, args, kwargs)
        try:
            returned = await function(*args, **kwargs)
        except BaseException as error:
            await asyncio.to_thread(recorder.end, begun, error)
            raise
        await asyncio.to_thread(recorder.end, begun, None)
        return returned

    return call


async def _begun(
    recorder: _Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Call:
    """Return a call whose attempt is on disk; if cancelled meanwhile, end it."""
    beginning = asyncio.ensure_future(asyncio.to_thread(recorder.begin, args, kwargs))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError as error:
        await asyncio.to_thread(recorder.end, await beginning, error)
        raise
