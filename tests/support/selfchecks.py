"""Waiting for what a self-check counts."""

import asyncio

import pytest

from provlog.server.metrics import Metrics


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    """Return a sample of the self-check's metrics."""
    value = metrics.registry.get_sample_value(f"provlog_selfcheck_{name}", labels)
    assert value is not None
    return value


async def until(metrics: Metrics, name: str, value: float) -> None:
    """Wait until a sample has come to a value."""
    for _ in range(1500):
        if sample(metrics, name) >= value:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{name} stays below {value}")
