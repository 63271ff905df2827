"""System calls of the server fail, or are the last thing it does, under load.

strace makes a call fail that would have succeeded, or kills the process instead of it.
Whatever happens, an answer is true, nothing acknowledged is lost, nothing forks, and
the same folder can be served again.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT, Crowd
from support.servers import Server
from support.straces import DATABASE, GUARD, JOURNAL, LOCK, Fault, strace_works

pytestmark = pytest.mark.needs("program:strace")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """One log for all faults: what the last one did is there for the next."""
    folder = tmp_path_factory.mktemp("faults")
    if not strace_works(folder):
        pytest.skip("program: strace may not trace here")
    server = Server.init(folder)
    yield Crowd(server)
    server.end()


@asynccontextmanager
async def _served(crowd: Crowd, *wrapper: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve, look that everything is as it was, and kill what is left at the end."""
    crowd.server.wrapper = wrapper
    try:
        await asyncio.to_thread(crowd.server.start)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            await crowd.observer.follow(session)
            yield session
    finally:
        await asyncio.to_thread(crowd.server.end)


async def _require_nothing_lost(crowd: Crowd) -> None:
    newest = max(crowd.observer.checkpoints)
    async with _served(crowd) as session:
        await crowd.settle(session)
        await crowd.observer.follow(session)
        if newest < max(crowd.observer.checkpoints):
            await crowd.observer.require_consistent(
                session, newest, max(crowd.observer.checkpoints)
            )


@contextmanager
def _early_death_allowed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if f"did not start ({-signal.SIGKILL:d})" not in str(error):
            raise


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("fdatasync", JOURNAL, "8..12"), "EIO"),
        (Fault("pwrite64", JOURNAL, "90..120"), "ENOSPC"),
        (Fault("pwrite64", GUARD, "5..9"), "EIO"),
        (Fault("flock", LOCK, "10..15"), "ENOLCK"),
    ],
    ids=str,
)
async def test_it_goes_on_by_itself_after_calls_that_failed(
    crowd: Crowd, tmp_path: Path, fault: Fault, error: str
) -> None:
    crowd.statuses.clear()
    trace = tmp_path / "trace"
    async with _served(
        crowd, *fault.wrapper(crowd.server, trace, f"error={error}")
    ) as session:
        async with crowd.busy():
            await asyncio.sleep(0.5)
        await crowd.settle(session, attempts=100)
        await crowd.observer.follow(session)
        assert crowd.statuses[503], "nobody noticed"
        assert crowd.statuses[201]
    assert "INJECTED" in trace.read_text()
    await _require_nothing_lost(crowd)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("fdatasync", JOURNAL, "8+"), "EIO"),
        (Fault("pwrite64", JOURNAL, "90+"), "ENOSPC"),
        (Fault("pwrite64", GUARD, "5+"), "ENOSPC"),
    ],
    ids=str,
)
async def test_nothing_is_acknowledged_that_cannot_be_kept(
    crowd: Crowd, tmp_path: Path, fault: Fault, error: str
) -> None:
    trace = tmp_path / "trace"
    async with _served(
        crowd, *fault.wrapper(crowd.server, trace, f"error={error}")
    ) as session:
        async with crowd.busy():
            await crowd.until_nothing_is_taken()
        assert set(crowd.statuses) == {503}
        crowd.judge()
        # What was acknowledged can be read all the while.
        await crowd.observer.follow(session)
    await _require_nothing_lost(crowd)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("fdatasync", JOURNAL, "7"),
        Fault("pwrite64", JOURNAL, "131"),
        Fault("pwrite64", GUARD, "6"),
        Fault("pwrite64", DATABASE, "9"),
        Fault("fdatasync", DATABASE, "1"),
    ],
    ids=str,
)
async def test_a_call_may_be_its_last(
    crowd: Crowd, tmp_path: Path, fault: Fault
) -> None:
    wrapper = fault.wrapper(crowd.server, tmp_path / "trace", "signal=KILL")
    # One that has a checkpoint of the journal to finish may die before it listens.
    with _early_death_allowed():
        async with _served(crowd, *wrapper), crowd.busy():
            code, _ = await asyncio.to_thread(crowd.server.await_end, 10)
        assert code == -signal.SIGKILL
    crowd.judge()
    await _require_nothing_lost(crowd)
