"""What is shown of disks, database and pollers, and what is not when they are gone."""

import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from provlog.server.clock import Clock
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import Cursor, StorageError, Vitals
from provlog.server.surroundings import Surroundings
from support.services import SOURCE, make_instance, running

STANDBYS = ("standbys", "lag_bytes", "lag_seconds", "clock_offset_seconds")
POLLED = "poll_cursor_updated_timestamp_seconds"


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"provlog_{name}", labels)


def around(service: Service, folder: Path) -> Surroundings:
    """Let a service look at its database, and at a folder as if it were its own."""
    made = Surroundings(service.storage, service.clock, {"instance": folder})
    service.surroundings = made
    return made


async def poll(service: Service, log: Log, updated: int) -> None:
    async with service.storage.transaction() as transaction:
        await transaction.set_cursor(log.id, Cursor(SOURCE, "here", updated))
        await transaction.commit()


async def test_a_disk_is_shown_until_it_is_gone(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, _):
        registry, folder = service.metrics.registry, tmp_path / "disk"
        folder.mkdir()
        seen = around(service, folder)
        assert value(registry, "disk_free_bytes", folder="instance") is None
        await seen.look()
        size = value(registry, "disk_size_bytes", folder="instance")
        free = value(registry, "disk_free_bytes", folder="instance")
        assert size == shutil.disk_usage(folder).total
        assert free is not None
        assert 0 < free <= size
        folder.rmdir()
        await seen.look()
        assert value(registry, "disk_free_bytes", folder="instance") is None


async def test_the_database_is_shown_with_its_journal(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, _):
        registry = service.metrics.registry
        await around(service, tmp_path).look()
        files = instance.folder.glob("provlog.db*")
        sizes = {path.name: path.stat().st_size for path in files}
        assert sizes["provlog.db-wal"] > 0
        together = sizes["provlog.db"] + sizes["provlog.db-wal"]
        assert value(registry, "database_bytes") == together
        # Of what an embedded database cannot have, nothing is said.
        assert [value(registry, f"database_{each}") for each in STANDBYS] == [None] * 4


async def test_what_a_database_says_of_itself_is_shown_while_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_800_000_000_000]
    clock = Clock(lambda: now[0], lambda: 0)
    async with running(await make_instance(tmp_path), clock=clock) as (service, log):
        registry, seen = service.metrics.registry, around(service, tmp_path)
        await service.source(log, SOURCE, "test")
        await poll(service, log, 1_700_000_000_500)

        async def vitals() -> Vitals:
            # The answer is 2 s on its way, and the clock is read half-way.
            now[0] += 2_000
            return Vitals(9_000, now[0] - 1_000 + 750, 2, 4_096, 1.5)

        monkeypatch.setattr(service.storage, "vitals", vitals)
        await seen.look()
        shown = [value(registry, f"database_{each}") for each in STANDBYS]
        assert shown == [2, 4_096, 1.5, 0.75]
        assert value(registry, "database_bytes") == 9_000
        assert value(registry, POLLED, log="main", source=SOURCE) == 1_700_000_000.5

        async def fail() -> Vitals:
            raise StorageError("gone")

        monkeypatch.setattr(service.storage, "vitals", fail)
        await seen.look()
        assert [value(registry, f"database_{each}") for each in STANDBYS] == [None] * 4
        assert value(registry, "database_bytes") is None
        assert value(registry, POLLED, log="main", source=SOURCE) is None


async def test_the_watch_goes_on_whatever_it_meets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(await make_instance(tmp_path)) as (service, _):
        seen = around(service, tmp_path)
        asked: list[int] = []
        secret = "what was sent"

        async def vitals() -> Vitals:
            asked.append(1)
            if len(asked) == 1:
                raise RuntimeError(secret)
            raise _Enough

        monkeypatch.setattr(service.storage, "vitals", vitals)
        monkeypatch.setattr("provlog.server.surroundings.INTERVAL_SECONDS", 0)
        with pytest.raises(_Enough):
            await seen.watch()
        assert len(asked) == 2
        assert "RuntimeError" in caplog.text
        assert secret not in caplog.text


class _Enough(BaseException):
    """Ends a watch."""


async def test_no_more_sources_are_read_than_asked_for(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        names = ["urn:b", "urn:c", "urn:a"]
        for name in names:
            await service.source(log, name, "test")
            async with service.storage.transaction() as transaction:
                await transaction.set_cursor(log.id, Cursor(name, "here", 7))
                await transaction.commit()
        found = await service.storage.polled(2)
        assert found == [(log.id, "urn:a", 7), (log.id, "urn:b", 7)]
