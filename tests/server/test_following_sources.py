"""Reports on sources over restarts, other processes, damage, and many leaves."""

import asyncio
import itertools
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provlog.merkle.errors import MalformedError
from provlog.merkle.source_fold import Scope, SourceFold
from provlog.server.clock import Clock
from provlog.server.health import following, keeping
from provlog.server.health.following import SCOPE, Health
from provlog.server.health.keeping import Keeper, Kept
from provlog.server.instance import Instance
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.source_settings import SettingsBook, SourceSettings
from provlog.server.storage.base import SourceRecord, StorageError
from support.events import event_of
from support.services import ORIGIN, SOURCE, append, fill, make_instance, running

QUIET = "urn:okta:quiet"


@pytest.fixture(autouse=True)
def _little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STRIDE", 16)
    monkeypatch.setattr(following, "KEEP_LEAVES", 64)
    monkeypatch.setattr(following, "KEEP_SECONDS", 0.0)


@asynccontextmanager
async def opened(instance: Instance) -> AsyncIterator[tuple[Service, Log, Health]]:
    """Run a service with what is kept beside it, as `serve` does."""
    async with running(instance) as (service, log):
        service.health = Health(service.storage, Keeper(instance.health))
        yield service, log, service.health


async def catch_up(health: Health, log: Log) -> SourceFold:
    await log.refresh()
    while await health.step(log):
        await health.keep(log)
    await health.keep(log)
    fold = health.complete(log)
    assert fold is not None
    return fold


async def until_complete(health: Health, log: Log) -> None:
    async with asyncio.timeout(20):
        while health.complete(log) is None:  # noqa: ASYNC110  it sets no event
            await asyncio.sleep(0)


async def whole(service: Service, log: Log) -> SourceFold:
    """Return what all leaves tell, folded anew."""
    fold = SourceFold(SCOPE)
    for leaf in await service.storage.leaves(log.id, 0, log.released.size):
        fold.add(leaf)
    return fold


def count_reads(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what grows by the first place of each stride that is read."""
    plain, made = service.storage.leaves, []

    async def leaves(log: int, start: int, end: int) -> list[bytes]:
        # The rows of a partial tile are read with the same call, and are more.
        made.extend([start] * (end - start <= 16))
        return await plain(log, start, end)

    monkeypatch.setattr(service.storage, "leaves", leaves)
    return made


async def test_a_restart_goes_on_where_the_last_process_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with opened(instance) as (service, log, health):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 200)
        await catch_up(health, log)
        await fill(service, log, 210)  # too few to be kept
        await catch_up(health, log)
    file = instance.health / "main.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(instance.health.stat().st_mode) == 0o700
    async with opened(instance) as (service, log, health):
        read = count_reads(service, monkeypatch)
        assert health.complete(log) is None
        fold = await catch_up(health, log)
        assert read[0] >= 144
        assert fold.to_json() == (await whole(service, log)).to_json()
        assert fold.reports[SOURCE].count > 0


@pytest.mark.parametrize("damage", ["cut", "bit", "scope", "origin", "gone", "empty"])
async def test_what_is_damaged_or_of_another_log_is_made_anew(
    tmp_path: Path, damage: str
) -> None:
    instance = await make_instance(tmp_path)
    async with opened(instance) as (service, log, health):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 100)
        expected = (await catch_up(health, log)).to_json()
        root = await log.tree.root(100)
    file = instance.health / "main.json"
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage in ("scope", "origin"):
        file.unlink()
        scope = Scope(late=1) if damage == "scope" else SCOPE
        fold = SourceFold(scope)
        origin = ORIGIN if damage == "scope" else "log.example.com/other"
        Keeper(instance.health).save("main", origin, Kept(root, fold))
    else:
        at = data.index(b'"count":') + len(b'"count":')
        flipped = bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])
        file.write_bytes({"cut": data[:-1], "bit": flipped, "empty": b""}[damage])
    async with opened(instance) as (service, log, health):
        assert (await catch_up(health, log)).to_json() == expected


@pytest.mark.parametrize("lost", ["another root", "a larger log"])
async def test_what_is_of_a_history_that_was_lost_is_forgotten(
    tmp_path: Path, lost: str
) -> None:
    instance = await make_instance(tmp_path)
    async with opened(instance) as (service, log, health):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 100)
        expected = (await catch_up(health, log)).to_json()
        made_up = SourceFold(SCOPE)
        leaves = await service.storage.leaves(log.id, 0, 100)
        for leaf in leaves[:50] * (1 if lost == "another root" else 5):
            made_up.add(leaf)
        root = bytes(32) if lost == "another root" else await log.tree.root(100)
    keeper = Keeper(instance.health)
    keeper.discard("main")
    assert keeper.save("main", ORIGIN, Kept(root, made_up))
    async with opened(instance) as (service, log, health):
        assert (await catch_up(health, log)).to_json() == expected
        kept = keeper.load("main", ORIGIN, SCOPE)
        assert kept is not None
        assert kept.root == await log.tree.root(kept.fold.size)


async def test_two_processes_come_to_the_same_and_keep_what_goes_further(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    keeper = Keeper(instance.health)
    async with opened(instance) as (service, log, health), opened(instance) as other:
        _, theirs, their_health = other
        await service.source(log, SOURCE, "test")
        await fill(service, log, 190)
        assert log.released.size == 192
        while (await their_health.current(theirs)).size < 80:
            await theirs.refresh()
        fold = await catch_up(health, log)
        assert (await catch_up(their_health, theirs)).to_json() == fold.to_json()
        kept = keeper.load("main", ORIGIN, SCOPE)
        assert kept is not None
        assert kept.fold.size == log.released.size
        # Who is behind does not write over it.
        behind = Kept(bytes(32), SourceFold(SCOPE))
        assert not keeper.save("main", ORIGIN, behind)
        again = keeper.load("main", ORIGIN, SCOPE)
        assert again is not None
        assert again.fold.size == log.released.size


async def test_leaves_that_cannot_be_read_are_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = await make_instance(tmp_path)
    tries = asyncio.Event()
    failures = 0

    async def fail(*_: object) -> None:
        nonlocal failures
        failures += 1
        if failures == 3:
            tries.set()
        raise StorageError("disk I/O error")

    monkeypatch.setattr(following, "_PAUSE_SECONDS", 0.001)
    async with opened(instance) as (service, log, health):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 40)
        with monkeypatch.context() as broken:
            broken.setattr(service.storage, "leaves", fail)
            task = asyncio.create_task(health.follow(service.open_logs))
            await asyncio.wait_for(tries.wait(), 10)
        await until_complete(health, log)
        task.cancel()
        assert (await health.current(log)).size == log.released.size
    lines = [each.getMessage() for each in caplog.records]
    said = [each for each in lines if "cannot be seen" in each]
    assert said == [f"the sources of log {ORIGIN} cannot be seen: disk I/O error"]


async def test_a_folder_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = await make_instance(tmp_path)
    instance.health.write_text("no folder")
    monkeypatch.setattr(following, "_PAUSE_SECONDS", 0.001)
    async with opened(instance) as (service, log, health):
        await service.source(log, SOURCE, "test")
        await fill(service, log, 100)
        task = asyncio.create_task(health.follow(service.open_logs))
        await until_complete(health, log)
        task.cancel()
    said = [each.getMessage() for each in caplog.records]
    assert sum("cannot be kept: " in each for each in said) == 1


async def test_following_is_no_more_than_a_tenth_of_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    times = itertools.count()
    slept: list[float] = []
    plain = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await plain(0)

    async with opened(instance) as (service, log, health):
        await fill(service, log, 60)
        monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
        monkeypatch.setattr(asyncio, "sleep", sleep)
        task = asyncio.create_task(health.follow(service.open_logs))
        while health.complete(log) is None:
            await plain(0)
        task.cancel()
    busy = [each for each in slept if each > 1]
    assert busy
    assert all(each >= 9 for each in busy)


def samples(service: Service) -> dict[tuple[str, str], float]:
    return {
        (sample.name.removeprefix("provlog_source_"), sample.labels["source"]): (
            sample.value
        )
        for family in service.metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("provlog_source_") and "age" not in sample.name
    }


async def test_metrics_of_each_source(tmp_path: Path) -> None:
    wall = [Clock().now()]
    clock = Clock(lambda: wall[0], lambda: wall[0])
    instance = await make_instance(tmp_path)
    settings = [
        SourceSettings(Path("a.toml"), SOURCE, heartbeat=60_000),
        SourceSettings(Path("b.toml"), "urn:never", heartbeat=60_000),
    ]
    async with running(instance, clock=clock) as (service, log):
        service.settings = SettingsBook({("main", x.source): x for x in settings})
        for uri in (SOURCE, QUIET):
            await service.register_source(log, SourceRecord(uri, uri, None), "test")
        made = [event_of(id=f"e{n}", sequence=n) for n in ("1", "2", "9")]
        made.append(event_of(id="q", source=QUIET))
        drafts = [log.drafter.event(each, each.source, {}) for each in made]
        await append(service, log, *drafts)
        assert samples(service) == {}, "not before all leaves were looked at"
        await service.health.current(log)
        shown = samples(service)
        assert shown["events_total", SOURCE] == 3
        assert shown["missing_numbers", SOURCE] == 6
        assert shown["missing_numbers", QUIET] == 0
        assert shown["late_events_total", QUIET] in (0, 1)
        assert shown["clock_ahead_seconds", SOURCE] >= 0
        assert ("overdue", QUIET) not in shown, "nothing tells"
        assert shown["overdue", SOURCE] == 0
        assert shown["overdue", "urn:never"] == 1
        assert ("events_total", "urn:never") not in shown
        wall[0] += 60_001
        assert samples(service)["overdue", SOURCE] == 1


def test_a_file_that_is_too_long_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(tmp_path / "health")
    assert keeper.save("main", ORIGIN, Kept(bytes(32), SourceFold(SCOPE)))
    assert keeper.load("main", ORIGIN, SCOPE) is not None
    monkeypatch.setattr(keeping, "MAX_FILE", 10)
    assert keeper.load("main", ORIGIN, SCOPE) is None


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(tmp_path / "health")
    keeper.save("main", ORIGIN, Kept(bytes(32), SourceFold(SCOPE)))
    before = keeper.path("main").read_bytes()
    larger = SourceFold(SCOPE)
    larger.add(b"{}")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        keeper.save("main", ORIGIN, Kept(bytes(32), larger))
    assert keeper.path("main").read_bytes() == before
    names = sorted(each.name for each in (tmp_path / "health").iterdir())
    assert names == [".lock", "main.json"]
    with pytest.raises(MalformedError):
        keeping._parse(b"", ORIGIN, SCOPE)
