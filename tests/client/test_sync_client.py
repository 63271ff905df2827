"""The blocking client: the same methods, and a clear word where it cannot work."""

import inspect
import threading

import pytest

from provlog.client import AsyncClient, Client, UsageError, VolatileMemory
from support.lying_log import LyingLog, Served, event


def test_it_has_every_method_with_the_same_parameters() -> None:
    for name, method in inspect.getmembers(AsyncClient, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            twin = getattr(Client, name)
            expected = list(inspect.signature(method).parameters)
            assert list(inspect.signature(twin).parameters) == expected
    ours = inspect.signature(Client).parameters
    assert list(ours) == list(inspect.signature(AsyncClient).parameters)
    for name, parameter in inspect.signature(AsyncClient).parameters.items():
        assert ours[name].default == parameter.default


def test_it_submits_and_reads(served: Served, log: LyingLog) -> None:
    with Client(served.url, log.trust, memory=VolatileMemory()) as client:
        receipt = client.submit(event())
        assert client.entry(receipt.index).verified.entry == receipt.verified.entry


async def test_inside_an_event_loop_it_names_the_right_client(
    served: Served, log: LyingLog
) -> None:
    client = Client(served.url, log.trust, memory=VolatileMemory())
    with pytest.raises(UsageError, match="use AsyncClient"):
        client.submit(event())
    client.close()


def test_threads_take_turns(served: Served, log: LyingLog) -> None:
    with Client(served.url, log.trust, memory=VolatileMemory()) as client:
        threads = [
            threading.Thread(target=client.submit, args=(event(id=f"e{place}"),))
            for place in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(log.leaves) == 9


def test_it_can_be_closed_twice_and_used_again(served: Served, log: LyingLog) -> None:
    client = Client(served.url, log.trust, memory=VolatileMemory())
    client.close()
    assert client.checkpoint().checkpoint.size == 1
    client.close()
    client.close()
    assert client.checkpoint().checkpoint.size == 1
    client.close()
