"""A log to talk to, and clients that remember in memory and are quick to give up."""

from collections.abc import AsyncIterator, Iterator

import pytest

from provlog.client import AsyncClient, VolatileMemory
from support.lying_log import LyingLog, Served, serving


@pytest.fixture
def log() -> LyingLog:
    return LyingLog()


@pytest.fixture
def served(log: LyingLog) -> Iterator[Served]:
    with serving(log) as running:
        yield running


@pytest.fixture
def memory() -> VolatileMemory:
    return VolatileMemory()


@pytest.fixture
async def client(
    served: Served, log: LyingLog, memory: VolatileMemory
) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        served.url, log.trust, memory=memory, patience=2.0
    ) as running:
        yield running
