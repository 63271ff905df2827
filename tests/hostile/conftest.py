"""One world for all lies, and a liar before it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hostile.false_logs import FALSE_LOGS
from hostile.liar import Liar
from hostile.on_keys import KEY_LOGS
from hostile.worlds import open_world
from support.loopback import in_thread

LOGS = (*FALSE_LOGS, *KEY_LOGS)


@asynccontextmanager
async def _telling(folder: Path) -> AsyncIterator[Liar]:
    async with open_world(folder, LOGS) as world, Liar(world).serving() as liar:
        yield liar


@pytest.fixture(scope="session")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Liar]:
    with in_thread(_telling(tmp_path_factory.mktemp("world"))) as (running, _):
        yield running
