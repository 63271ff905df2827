"""The self-check beside a server: what it finds, where it is, what it takes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient

from provlog.server.http.app import create_app
from provlog.server.instance import Instance
from provlog.server.metrics import Metrics
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.service import Service
from support.checked_instance import (
    ENTRIES,
    copy_of,
    make_checked_instance,
    unprotected,
)
from support.instances import Client, RunnerServer
from support.selfchecks import sample, until
from support.servers import Server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("clean"))


async def passes(metrics: Metrics, count: int) -> None:
    """Wait until that many more passes have ended."""
    await until(metrics, "passes_total", sample(metrics, "passes_total") + count)


async def test_a_finding_stands_in_the_way_of_readiness_until_it_is_gone(
    clean: Instance, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied = copy_of(clean, tmp_path / "copy")
    client: Client
    async with (
        Service.of(copied) as service,
        TestClient(RunnerServer(create_app(service))) as client,
    ):
        check = SelfCheck(copied, service.metrics, rate=1e6, pause=0.05)
        service.selfcheck = check
        check.start()
        try:
            await passes(service.metrics, 1)
            assert await _ready(client) == (200, "ok")
            assert sample(service.metrics, "position", log="main") == ENTRIES
            assert sample(service.metrics, "last_pass_timestamp_seconds") > 0
            _set_namespace(copied, "elsewhere")
            with caplog.at_level(logging.CRITICAL):
                await passes(service.metrics, 2)
            found = sample(service.metrics, "findings")
            assert found > 0
            says = f"findings: {found:.0f}; run provlog-server fsck"
            assert await _ready(client) == (503, says)
            assert "log main, sources urn:okta:records, ns: not what" in caplog.text
            _set_namespace(copied, "okta.example.com")
            await passes(service.metrics, 2)
            assert await _ready(client) == (200, "ok")
        finally:
            await asyncio.to_thread(check.stop)


def _set_namespace(instance: Instance, ns: str) -> None:
    with unprotected(instance.database) as connection:
        connection.set_busy_timeout(5000)
        connection.execute(
            "UPDATE sources SET ns = ? WHERE connector IS NOT NULL", (ns,)
        )


async def _ready(client: Client) -> tuple[int, str]:
    async with client.get("/readyz") as answer:
        return answer.status, (await answer.json())["checks"]["selfcheck"]


async def test_it_keeps_to_its_rate_and_ends_at_once(clean: Instance) -> None:
    metrics = Metrics()
    check = SelfCheck(clean, metrics, rate=80)
    check.start()
    await asyncio.sleep(0.6)
    begun = time.monotonic()
    await asyncio.to_thread(check.stop)
    assert time.monotonic() - begun < 1
    assert 8 <= sample(metrics, "position", log="main") <= 80
    assert sample(metrics, "passes_total") == 0


def test_it_never_works_more_than_half_of_the_time(
    clean: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = SelfCheck(clean, Metrics(), rate=1e9)
    waits: list[float] = []
    monkeypatch.setattr(check._stopping, "wait", waits.append)
    check._rest(planned=0.5, spent=0.1)
    check._rest(planned=0.5, spent=0.4)
    assert waits == [0.4, 0.4]


async def test_a_database_that_cannot_be_read_breaks_off_one_pass_alone(
    clean: Instance, tmp_path: Path
) -> None:
    copied = copy_of(clean, tmp_path / "copy")
    moved = copied.database.rename(tmp_path / "moved")
    metrics = Metrics()
    check = SelfCheck(copied, metrics, rate=1e6, pause=0.02)
    check.start()
    await until(metrics, "failures_total", 2)
    moved.rename(copied.database)
    await passes(metrics, 1)
    assert check.trouble() is None
    await asyncio.to_thread(check.stop)


def test_serve_starts_it_unless_told_otherwise(tmp_path: Path) -> None:
    server = Server.init(tmp_path)
    with server:
        deadline = time.monotonic() + 10
        while not server.metrics()["provlog_selfcheck_passes_total"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.metrics()["provlog_selfcheck_findings"] == 0
        assert server.stop()[0] == 0
    server.options = ("--selfcheck", "0")
    with server:
        time.sleep(0.3)
        assert server.metrics()["provlog_selfcheck_passes_total"] == 0
