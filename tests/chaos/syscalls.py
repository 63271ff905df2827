"""Each system call on the database's files and the guard's, failed once."""

import asyncio
import re
from pathlib import Path

from chaos.campaigns import Campaign
from chaos.rigs import Rig
from support.straces import (
    DATABASE,
    FOLDER,
    GUARD,
    JOURNAL,
    LOCK,
    SHARED,
    Fault,
    calls_in,
    injected_in,
    strace_works,
    tracer,
)

_FILES = (DATABASE, JOURNAL, SHARED, FOLDER, GUARD, LOCK)
_ERRORS = ("EIO", "ENOSPC")
_LOAD_SECONDS = 0.4
_REFUSED = re.compile(
    r"the server did not start \([123]\): (?:.*^)?Error: ", re.M | re.S
)


class Syscalls(Campaign):
    """What one server calls between its start and its stop is found by tracing.

    Then each kind of call on each file fails once in some thread, at a place taken by
    chance, with each of two errors.
    """

    name = "syscalls"
    engines = frozenset({"sqlite"})
    rounds = 1000  # as many as there are faults

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, int, str]] | None = None

    def lacks(self) -> str | None:
        """Return that strace is missing, or may not trace."""
        works = strace_works(Path("/tmp"))
        return None if works else "program: strace may not trace here"

    def is_over(self) -> bool:
        """Tell whether every call has failed with every error."""
        return self._faults == []

    async def round(self, rig: Rig) -> None:
        """Serve with one fault, stop in order, and see that it had happened."""
        if self._faults is None:
            self._faults = await _find(rig)
            rig.chance.shuffle(self._faults)
            rig.tally.notes["calls found, by file"] += len(self._faults) // len(_ERRORS)
        first, count, error = self._faults.pop()
        # In the first half, so that the same load is sure to come to it.
        when = rig.chance.randint(1, max(1, count // 2))
        fault = Fault(first.call, first.file, str(when))
        fired = await _serve(rig, fault, error) or await _serve(rig, first, error)
        assert fired, f"{fault} did not happen"
        rig.tally.fault(True)
        rig.tally.notes["calls that failed"] += fired


async def _find(rig: Rig) -> list[tuple[Fault, int, str]]:
    """Return each call on each file, how often it is made, and each error."""
    trace = rig.folder / "trace"
    await _load_with(rig, tracer(rig.server, trace, _FILES))
    calls = calls_in(trace, rig.server, _FILES)
    return [
        (fault, count, error)
        for fault, count in sorted(calls.items())
        for error in _ERRORS
    ]


async def _serve(rig: Rig, fault: Fault, error: str) -> int:
    """Serve so that the fault happens under load; return how often it did."""
    trace = rig.folder / "trace"
    trace.unlink(missing_ok=True)
    wrapper = fault.wrapper(rig.server, trace, f"error={error}")
    try:
        await _load_with(rig, wrapper)
    except RuntimeError as refused:
        # A start that is refused is refused with a reason.
        if not _REFUSED.match(str(refused)) or "Traceback" in str(refused):
            raise
        rig.tally.notes["starts refused"] += 1
    return injected_in(trace)


async def _load_with(rig: Rig, wrapper: list[str]) -> None:
    server = rig.server
    if server.process is not None:
        await asyncio.to_thread(server.stop)
    server.wrapper = wrapper
    try:
        await asyncio.to_thread(server.start)
        async with rig.crowd.busy():
            await asyncio.sleep(_LOAD_SECONDS)
        code, errors = await asyncio.to_thread(server.stop)
    finally:
        server.wrapper = ()
    assert "Traceback" not in errors, errors
    rig.tally.notes["stops that were not in order"] += code != 0
