"""Which database the logs of a local guard may go on in."""

import asyncio
import errno
import fcntl
from dataclasses import replace
from pathlib import Path

import pytest

from provlog.server.errors import ConfigurationError, ForkError, UnavailableError
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.guard.databases import DatabaseRecords
from provlog.server.guard.lineage import Database, Lineage, objection
from provlog.server.guard.record import SLOT, seal
from provlog.server.instance import Instance, load_instance, record_instance
from provlog.server.service import Service
from provlog.server.storage.base import Incarnation
from provlog.server.storage.sqlite import SqliteStorage
from support.services import ORIGIN, append, draft, file_modes, make_instance, running

SYSTEM = 7_300_000_000_000_000_001
FIRST = Database(SYSTEM, 1)
PROMOTED = Database(SYSTEM, 2)
OTHER = Database(SYSTEM + 1, 1)


def incarnation(database: Database, started: str = "now") -> Incarnation:
    return Incarnation(database.system, database.timeline, started)


class Reincarnated(SqliteStorage):
    """SQLite that says it is a PostgreSQL cluster."""

    database: Database | None = FIRST

    def incarnation(self) -> Incarnation | None:  # type: ignore[override]
        return None if self.database is None else incarnation(self.database)


async def start(instance: Instance, database: Database | None) -> None:
    """Open the instance's service on a database of that identity, and close it."""
    service = Service.of(instance)
    storage = Reincarnated(instance.database)
    storage.database = database
    await service.storage.close()
    service.storage = service.logs._storage = storage
    async with service:
        pass


@pytest.mark.parametrize(
    ("recorded", "found", "stops", "synchronous"),
    [
        (None, None, False, False),
        (None, FIRST, False, False),
        (FIRST, FIRST, False, False),
        (FIRST, PROMOTED, True, False),
        (PROMOTED, FIRST, True, True),
        (FIRST, OTHER, True, True),
        (FIRST, Database(SYSTEM + 1, 2), True, True),
        (FIRST, None, True, True),
    ],
    ids=str,
)
def test_only_a_later_timeline_is_admitted_and_only_if_failover_loses_nothing(
    recorded: Database | None, found: Database | None, stops: bool, synchronous: bool
) -> None:
    assert bool(objection(recorded, found, synchronous=False)) is stops
    assert bool(objection(recorded, found, synchronous=True)) is synchronous


async def test_the_database_of_each_log_is_recorded_and_another_one_refused(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    records = DatabaseRecords(instance.guard)
    await start(instance, FIRST)
    assert records.read(ORIGIN) == FIRST
    await start(instance, FIRST)
    for other in (PROMOTED, OTHER, None):
        with pytest.raises(ForkError, match="recover") as refused:
            await start(instance, other)
        assert f"system {SYSTEM} on timeline 1" in str(refused.value)
        assert str(other or "an embedded database") in str(refused.value)
    assert records.read(ORIGIN) == FIRST
    assert set(file_modes(instance.guard).values()) == {0o600}


async def test_a_declared_failover_goes_on_and_never_back(tmp_path: Path) -> None:
    instance = replace(await make_instance(tmp_path), synchronous_failover=True)
    await start(instance, FIRST)
    await start(instance, PROMOTED)
    assert DatabaseRecords(instance.guard).read(ORIGIN) == PROMOTED
    for other in (FIRST, OTHER):
        with pytest.raises(ForkError):
            await start(instance, other)


async def test_a_database_that_lost_entries_is_not_recorded(tmp_path: Path) -> None:
    instance = replace(await make_instance(tmp_path), synchronous_failover=True)
    await start(instance, FIRST)
    guard = FileGuard(instance.guard)
    known = await guard.read(ORIGIN)
    assert await guard.replace(ORIGIN, known, ReleasedHead(9, bytes(32)))
    with pytest.raises(ForkError, match="size 9 was released"):
        await start(instance, PROMOTED)
    assert DatabaseRecords(instance.guard).read(ORIGIN) == FIRST


async def test_a_failover_stops_a_server_until_it_is_started_anew(
    tmp_path: Path,
) -> None:
    lineage = Lineage(DatabaseRecords(tmp_path))
    await lineage.open(incarnation(FIRST), [ORIGIN])
    await lineage.admit(incarnation(FIRST, "later: it was restarted"))
    with pytest.raises(ForkError, match="timeline 1, and this is"):
        await lineage.admit(incarnation(PROMOTED))
    # The former primary is back: who knows what else was done meanwhile.
    with pytest.raises(ForkError):
        await lineage.admit(incarnation(FIRST))
    with pytest.raises(ForkError):
        await lineage.open(incarnation(FIRST), ["another"])


async def test_a_declared_failover_is_recorded_for_every_open_log(
    tmp_path: Path,
) -> None:
    records = DatabaseRecords(tmp_path)
    lineage = Lineage(records, synchronous=True)
    await lineage.open(incarnation(FIRST), ["a", "b"])
    await lineage.open(incarnation(FIRST), ["c"])
    await lineage.admit(incarnation(PROMOTED))
    assert {records.read(origin) for origin in "abc"} == {PROMOTED}


async def test_two_servers_that_open_at_once_record_one_database(
    tmp_path: Path,
) -> None:
    servers = [Lineage(DatabaseRecords(tmp_path)) for _ in range(6)]
    seen = [FIRST, PROMOTED] * 3
    answers = await asyncio.gather(
        *(
            each.open(incarnation(database), [ORIGIN])
            for each, database in zip(servers, seen, strict=True)
        ),
        return_exceptions=True,
    )
    recorded = DatabaseRecords(tmp_path).read(ORIGIN)
    for database, answer in zip(seen, answers, strict=True):
        assert (answer is None) is (database == recorded), answer


async def test_a_shared_guard_needs_no_record() -> None:
    lineage = Lineage(None)
    for database in (FIRST, OTHER, PROMOTED):
        await lineage.open(incarnation(database), [ORIGIN])
        await lineage.admit(incarnation(database))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        bytes(SLOT),
        seal({"origin": "another", "system": "1", "timeline": 1}),
        seal({"origin": ORIGIN, "system": 1, "timeline": 1}),
        seal({"origin": ORIGIN, "system": "01", "timeline": 1}),
        seal({"origin": ORIGIN, "system": "1", "timeline": True}),
        seal({"origin": ORIGIN, "system": "1", "timeline": 1}) + b" ",
    ],
)
async def test_a_record_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    records = DatabaseRecords(tmp_path)
    records.path(ORIGIN).write_bytes(data)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await Lineage(records).open(incarnation(FIRST), [ORIGIN])


async def test_a_record_that_cannot_be_made_admits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("provlog.server.guard.databases.put_file", fail)
    lineage = Lineage(DatabaseRecords(tmp_path))
    for _ in range(2):
        with pytest.raises(UnavailableError, match="No space left"):
            await lineage.open(incarnation(FIRST), [ORIGIN])


async def test_a_lock_that_is_held_for_ever_admits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.server.guard.lineage._PAUSE_SECONDS", 0)
    records = DatabaseRecords(tmp_path)
    with Path(f"{records.path(ORIGIN)}.lock").open("w") as lock:  # noqa: ASYNC230
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="lock"):
            await Lineage(records).open(incarnation(FIRST), [ORIGIN])


async def test_the_declaration_is_kept_with_the_instance(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    assert not load_instance(instance.folder, None).synchronous_failover
    settings = instance.folder / "provlog.json"
    settings.unlink()
    record_instance(replace(instance, synchronous_failover=True))
    assert load_instance(instance.folder, None).synchronous_failover
    stopping = load_instance(instance.folder, None, failover="stop")
    assert not stopping.synchronous_failover
    settings.write_text(settings.read_text().replace("synchronous", "hopeful"))
    with pytest.raises(ConfigurationError, match=r"provlog\.json cannot be read"):
        load_instance(instance.folder, None)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "7",
        '{"version": 1}',
        '{"version": 1, "guard": 7}',
        '{"version": 1, "guard": "/guard", "database": 7}',
        '{"version": 1, "guard": "/guard", "failover": []}',
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "provlog.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"provlog\.json cannot be read"):
        load_instance(tmp_path, None)


async def test_a_log_goes_on_where_nothing_is_recorded(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await append(service, log, draft(log, "a"))
    assert DatabaseRecords(instance.guard).read(ORIGIN) is None
