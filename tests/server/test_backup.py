"""Backups: of one moment, whole or refused, and never a way around the guard."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.server.errors import ConfigurationError, DamagedError, ForkError
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance, load_instance
from provlog.server.keyring import Keyring
from provlog.server.moving.backup import Backup, back_up
from provlog.server.moving.restoring import Restored, restore
from provlog.server.service import Service
from provlog.server.storage import sqlite_backup
from provlog.server.storage.base import StorageError
from support.checked_instance import check, make_checked_instance
from support.exports import receipts_of
from support.postgres import Cluster
from support.services import (
    append,
    draft,
    file_modes,
    fill,
    make_instance,
    now_ms,
    running,
)

ORIGIN = "log.example.com/backed-up"


def ignore(_: int, __: int) -> None:
    """Progress that nobody looks at."""


async def backup_of(instance: Instance, to: Path, *, keys: bool = True) -> Backup:
    return await back_up(instance, to, with_keys=keys, on_progress=ignore)


async def restored(source: Path, place: Place) -> list[Restored]:
    return (await restore(source, place, ignore))[1]


async def with_source(folder: Path, url: str | None = None) -> Instance:
    """Return an instance in which the source of the tests' events is registered."""
    made = await initialise(
        Place(folder / "data", folder / "guard", url),
        origin=ORIGIN,
        sources=("urn:okta:acme",),
        now=now_ms(),
    )
    return made.instance


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("house"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def saved(
    house: Instance, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("saved") / "backup"
    await backup_of(house, folder)
    yield folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copied"))


async def test_what_was_restored_is_the_instance_it_was(
    house: Instance, saved: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "new", house.guard)
    logs = await restored(saved, place)
    assert [(each.log.name, each.is_older) for each in logs] == [
        ("main", False),
        ("other", False),
    ]
    new = load_instance(place.folder, None)
    assert await receipts_of(new) == await receipts_of(house)
    assert check(new) == []
    for folder in (saved, place.folder):
        assert set(file_modes(folder).values()) <= {0o600, 0o700}


async def test_keys_are_in_it_only_where_they_were_asked_for(
    house: Instance, tmp_path: Path
) -> None:
    done = await backup_of(house, tmp_path / "bare", keys=False)
    assert list(done.files) == ["provlog.db"]
    assert sorted(file_modes(tmp_path / "bare")) == ["backup.json", "provlog.db"]
    place = Place(tmp_path / "new", house.guard)
    await restored(tmp_path / "bare", place)
    with pytest.raises(ConfigurationError, match=r"signing\.key: No such file"):
        await receipts_of(load_instance(place.folder, None))
    shutil.copytree(house.keys, place.folder / "keys")
    assert check(load_instance(place.folder, None)) == []


async def test_a_backup_under_load_is_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backup, "PAGES", 32)
    instance = await with_source(tmp_path)
    async with running(instance) as (service, log):
        await fill(service, log, 600)

        async def go_on() -> None:
            for number in range(100_000):
                await append(service, log, draft(log, f"meanwhile-{number}"))

        def give_way(_: int, __: int) -> None:
            steps.append(log.released.size)

        steps: list[int] = []
        writing = asyncio.create_task(go_on())
        # On a thread of its own, as if it were another process.
        done = await asyncio.to_thread(
            asyncio.run,
            back_up(instance, tmp_path / "to", with_keys=True, on_progress=give_way),
        )
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        assert log.released.size > done.logs[0].size >= 601
        assert steps[-1] > steps[0]
    place = Place(tmp_path / "new", tmp_path / "empty-guard")
    await restored(tmp_path / "to", place)
    assert check(load_instance(place.folder, None)) == []


async def test_a_restored_backup_is_refused_under_a_newer_guard(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    await backup_of(instance, tmp_path / "to")
    async with running(instance) as (service, log):
        await append(service, log, draft(log, "later"))
    place = Place(tmp_path / "new", instance.guard)
    [log_] = await restored(tmp_path / "to", place)
    assert log_.is_older
    with pytest.raises(ForkError, match="older than what others have seen"):
        async with running(load_instance(place.folder, None)):
            pass


async def test_the_keys_of_a_retired_log_come_back_retired(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    Keyring(instance.keys).retire("main", "main-2")
    await backup_of(instance, tmp_path / "to")
    place = Place(tmp_path / "new", tmp_path / "empty-guard")
    await restored(tmp_path / "to", place)
    keyring = Keyring(load_instance(place.folder, None).keys)
    assert keyring.retired("main") == "main-2"
    with pytest.raises(ConfigurationError, match="is retired"):
        keyring.load("main")
    assert set(file_modes(place.folder / "keys").values()) <= {0o600, 0o700}


async def test_a_change_in_any_file_is_noticed(copied: Path, tmp_path: Path) -> None:
    manifest = json.loads((copied / "backup.json").read_bytes())
    place = Place(tmp_path / "new", tmp_path / "guard")
    for name in manifest["files"]:
        path = copied / name
        data = path.read_bytes()
        middle = len(data) // 2
        turned = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        for altered in (turned, data[:-1], data + b"0"):
            path.write_bytes(altered)
            with pytest.raises(DamagedError, match="is not the file"):
                await restored(copied, place)
        path.unlink()
        path.symlink_to("/etc/hostname")
        with pytest.raises(ConfigurationError):
            await restored(copied, place)
        path.unlink()
        path.write_bytes(data)
    assert not place.folder.exists()
    await restored(copied, place)


@pytest.mark.parametrize(
    "path",
    [
        "../escaped",
        "/etc/escaped",
        "keys/../../escaped.key",
        "keys/main/../../../id.key",
        "keys/main/sub/id.key",
        "keys/.hidden/id.key",
        "keys/main/other.key",
        "provlog.db-wal",
    ],
)
async def test_no_path_leads_out_of_the_folder(
    copied: Path, tmp_path: Path, path: str
) -> None:
    manifest = json.loads((copied / "backup.json").read_bytes())
    manifest["files"][path] = manifest["files"]["keys/main/id.key"]
    (copied / "backup.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigurationError, match="not the files of a backup"):
        await restored(copied, Place(tmp_path / "new", tmp_path / "guard"))
    assert not (tmp_path / "new").exists()


async def test_what_is_no_backup_is_refused(copied: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "new", tmp_path / "guard")
    path = copied / "backup.json"
    whole = json.loads(path.read_bytes())
    for member, value, found in (
        ("version", 2, "version 2"),
        ("schema_version", 1, "schema 1"),
        ("engine", "oracle", "not the files of a backup"),
        ("extra", True, "unknown field"),
        ("logs", [], "does not hold the logs"),
    ):
        path.write_text(json.dumps({**whole, member: value}))
        with pytest.raises(ConfigurationError, match=found):
            await restored(copied, place)
    path.write_text(json.dumps(whole))
    with pytest.raises(ConfigurationError, match="without --database"):
        await restored(copied, Place(place.folder, place.guard, "postgresql://h/d"))
    place.folder.mkdir()
    (place.folder / "kept").touch()
    with pytest.raises(ConfigurationError, match="is not empty"):
        await restored(copied, place)
    path.unlink()
    with pytest.raises(ConfigurationError, match="no finished backup"):
        await restored(copied, Place(tmp_path / "other", tmp_path / "guard"))


async def test_a_backup_that_fails_is_none(house: Instance, tmp_path: Path) -> None:
    def die(_: int, __: int) -> None:
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        await back_up(house, tmp_path / "to", with_keys=True, on_progress=die)
    assert not (tmp_path / "to" / "backup.json").exists()
    with pytest.raises(ConfigurationError, match="is not empty"):
        await backup_of(house, tmp_path / "to")
    gone = Instance(tmp_path / "gone", house.guard)
    with pytest.raises(StorageError):
        await backup_of(gone, tmp_path / "again")


@pytest.mark.needs("postgres")
async def test_a_postgresql_database_is_backed_up_and_restored(
    postgres_url: str, postgres: Cluster, tmp_path: Path
) -> None:
    instance = await with_source(tmp_path, postgres_url)
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        await fill(service, log, 300)
        await backup_of(instance, tmp_path / "to")
        await append(service, log, draft(log, "later"))
    other = postgres.create_database()
    place = Place(tmp_path / "new", tmp_path / "other-guard", postgres.dsn(other))
    taken = Place(tmp_path / "taken", tmp_path / "other-guard", postgres_url)
    with pytest.raises(ConfigurationError, match="holds a provlog already"):
        await restored(tmp_path / "to", taken)
    table = tmp_path / "to" / "tables" / "entries.copy"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    with pytest.raises(DamagedError, match="entries"):
        await restored(tmp_path / "to", place)
    table.write_bytes(whole)
    [log_] = await restored(tmp_path / "to", place)
    assert log_.log.size == 301
    new = load_instance(place.folder, None, place.database_url)
    assert await asyncio.to_thread(check, new) == []
    async with Service.of(new) as service:
        log = await service.log("main")
        assert log is not None
        await append(service, log, draft(log, "another"))
        await service.create_log("next", "log.example.com/next", public=False)
    assert await asyncio.to_thread(check, new) == []
