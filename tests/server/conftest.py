"""Loops: a module whose `LOOPS` names some has its tests run on each of them."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_FACTORIES: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    assert isinstance(item, pytest.Function)
    names = getattr(item.module, "LOOPS", ("asyncio",))
    return {name: _FACTORIES[name] for name in names}
