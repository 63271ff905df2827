"""What a start refuses, so that no log is ever forked or served by mistake."""

import asyncio
import shutil
from pathlib import Path

import pytest

from provlog.server.errors import (
    ConfigurationError,
    ForkError,
    HaltedError,
    UnavailableError,
)
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.instance import Instance, load_instance, make_folder, plan_instance
from provlog.server.keyring import Keyring
from provlog.server.registry import create_log
from provlog.server.storage.base import Incarnation, SchemaError, StorageError
from provlog.server.storage.sqlite import SqliteStorage, create_database
from support.services import (
    ORIGIN,
    FaultyStorage,
    append,
    draft,
    file_modes,
    fill,
    make_instance,
    now_ms,
    running,
)


def backup(instance: Instance, folder: Path) -> None:
    storage = SqliteStorage(instance.database)
    storage._writer.execute("VACUUM INTO ?", (str(folder / "backup.db"),))
    asyncio.run(storage.close())


def restore(instance: Instance, folder: Path) -> None:
    for path in instance.folder.glob("provlog.db*"):
        path.unlink()
    shutil.copy(folder / "backup.db", instance.database)


def change(instance: Instance, *statements: str) -> None:
    """Edit the database behind the service's back, triggers removed."""
    storage = SqliteStorage(instance.database)
    triggers = list(
        storage._writer.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
    )
    for (name,) in triggers:
        storage._writer.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        storage._writer.execute(statement)
    asyncio.run(storage.close())


async def filled(folder: Path, count: int = 5) -> Instance:
    instance = await make_instance(folder)
    async with running(instance) as (service, log):
        await fill(service, log, count)
    return instance


def start(instance: Instance) -> None:
    async def opened() -> None:
        async with running(instance):
            pass

    asyncio.run(opened())


def test_a_restored_older_database_is_refused(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    backup(instance, tmp_path)

    async def grow() -> None:
        async with running(instance) as (service, log):
            await append(service, log, draft(log, "after the backup"))

    asyncio.run(grow())
    restore(instance, tmp_path)
    with pytest.raises(ForkError, match="size 6, but size 7 was released"):
        start(instance)


def test_an_older_database_that_grew_again_is_refused(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    backup(instance, tmp_path)

    async def grow(name: str, *, unguarded: bool = False) -> None:
        async with running(instance) as (service, log):
            await fill(service, log, 3, name)

    asyncio.run(grow("one"))
    guard = FileGuard(instance.guard)
    kept = guard.path(ORIGIN).read_bytes()
    guard.path(ORIGIN).unlink()
    restore(instance, tmp_path)
    asyncio.run(grow("two"))
    guard.path(ORIGIN).write_bytes(kept)
    with pytest.raises(ForkError, match="contradicts the released head of size 9"):
        start(instance)


def test_a_missing_guard_is_made_anew_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    instance = asyncio.run(filled(tmp_path))
    guard = FileGuard(instance.guard)
    guard.path(ORIGIN).unlink()
    start(instance)
    assert "no guard" in caplog.text
    released = asyncio.run(guard.read(ORIGIN))
    assert released is not None
    assert released.size == 6


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE heads SET root = zeroblob(32)",
        "UPDATE heads SET size = size + 1, events = events",
        "UPDATE entries SET leaf = CAST(replace(leaf, 'role', 'rule') AS BLOB)"
        " WHERE idx = 5",
        "DELETE FROM entries WHERE idx = 3",
        "UPDATE entries SET leaf = x'7b7d' WHERE idx = 0",
    ],
)
def test_a_database_edited_at_its_edge_is_refused(
    tmp_path: Path, statement: str
) -> None:
    instance = asyncio.run(filled(tmp_path))
    change(instance, statement)
    with pytest.raises((ForkError, StorageError)):
        start(instance)


def test_an_edited_full_tile_s_root_is_refused(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path, 300))
    change(instance, "UPDATE tiles SET root = zeroblob(32)")
    with pytest.raises(ForkError, match="does not have the head's root"):
        start(instance)


def test_another_signing_key_is_refused(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    Keyring(instance.keys).create("other", ORIGIN)
    shutil.copy(
        instance.keys / "other" / "signing.key", instance.keys / "main" / "signing.key"
    )
    with pytest.raises(ConfigurationError, match="signing key is not the log's"):
        start(instance)


@pytest.mark.parametrize("name", ["id.key", "epoch-1.key"])
def test_another_blinding_key_is_refused(tmp_path: Path, name: str) -> None:
    instance = asyncio.run(filled(tmp_path))
    Keyring(instance.keys).create("other", ORIGIN)
    shutil.copy(instance.keys / "other" / name, instance.keys / "main" / name)
    with pytest.raises(ConfigurationError, match="is of another key"):
        start(instance)


def test_keys_that_are_missing_damaged_or_open_to_others_are_refused(
    tmp_path: Path,
) -> None:
    instance = asyncio.run(filled(tmp_path))
    path = instance.keys / "main" / "id.key"
    text = path.read_text()
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="open to others"):
        start(instance)
    path.chmod(0o600)
    path.write_text("AAAA\n")
    with pytest.raises(ConfigurationError, match="damaged"):
        start(instance)
    path.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        start(instance)
    path.touch(0o600)
    path.write_text(text)
    start(instance)


def test_a_copied_folder_that_shares_the_guard_stops_at_its_first_release(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        one = await filled(tmp_path)
        shutil.copytree(one.folder, tmp_path / "copy")
        two = Instance(tmp_path / "copy", one.guard)
        async with running(one) as (first, log), running(two) as (second, twin):
            await append(first, log, draft(log, "first"))
            # The copy has not seen that release: neither may its own head leave, nor
            # may it sign what is not its own.
            with pytest.raises(UnavailableError):
                await append(second, twin, draft(twin, "a"), draft(twin, "b"))
            assert twin.halted is not None
            assert "contradicts the released head of size 7" in twin.halted
            assert twin.released.size == 6
            with pytest.raises(HaltedError):
                await twin.refresh()
            with pytest.raises(HaltedError):
                await append(second, twin, draft(twin, "c"))
            await append(first, log, draft(log, "second"))
            assert log.released.size == 8

    asyncio.run(play())


def test_a_copied_folder_does_not_sign_the_other_ones_heads(tmp_path: Path) -> None:
    async def play() -> None:
        one = await filled(tmp_path)
        shutil.copytree(one.folder, tmp_path / "copy")
        two = Instance(tmp_path / "copy", one.guard)
        async with running(one) as (first, log), running(two) as (_, twin):
            await append(first, log, draft(log, "first"))
            with pytest.raises(HaltedError, match="older than what others have seen"):
                await twin.refresh()
            assert twin.released.size == 6

    asyncio.run(play())


def test_opening_beside_a_busy_server_finds_no_fork(tmp_path: Path) -> None:
    async def play() -> None:
        instance = await filled(tmp_path)
        async with running(instance) as (service, log):
            stop = asyncio.Event()

            async def write() -> None:
                number = 0
                while not stop.is_set():
                    await append(service, log, draft(log, f"busy-{number}"))
                    number += 1

            writer = asyncio.create_task(write())
            for _ in range(60):
                async with running(instance) as (other, twin):
                    await other._catch_up(twin, await other.storage.head(twin.id))
                    assert twin.halted is None
            stop.set()
            await writer
            assert log.halted is None

    asyncio.run(play())


def test_catching_up_beside_a_busy_server_halts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        instance = await filled(tmp_path)
        async with (
            running(instance) as (service, log),
            running(instance) as (
                other,
                twin,
            ),
        ):
            stop = asyncio.Event()
            release = log.release

            async def release_late(
                head: ReleasedHead,
                committed_in: Incarnation | None,
                before: ReleasedHead | None = None,
            ) -> str:
                # Long enough for others to find the head committed and unreleased.
                await asyncio.sleep(0.004)
                return await release(head, committed_in, before)

            async def write() -> None:
                number = 0
                while not stop.is_set():
                    await append(service, log, draft(log, f"busy-{number}"))
                    number += 1

            monkeypatch.setattr(log, "release", release_late)
            writer = asyncio.create_task(write())
            before = twin.released.size
            for _ in range(60):
                await other._catch_up(twin, await other.storage.head(twin.id))
                assert twin.halted is None
                await asyncio.sleep(0.002)
            stop.set()
            await writer
            assert log.halted is None
            assert twin.released.size > before

    asyncio.run(play())


def test_an_interrupted_init_leaves_nothing_that_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("provlog.server.initialise.store_tokens", die)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(make_instance(tmp_path))
    with pytest.raises(ConfigurationError, match="not initialised"):
        load_instance(tmp_path / "data", None)


def test_an_interrupted_creation_of_a_log_is_taken_up_again(tmp_path: Path) -> None:
    async def play() -> None:
        instance = await filled(tmp_path)
        storage = FaultyStorage(instance.database)
        async with running(instance, storage=storage) as (service, _):
            storage.told.faults = ["fails and is lost"]
            with pytest.raises(StorageError):
                await service.create_log("other", "example.com/other", public=False)
            with pytest.raises(ConfigurationError, match="other keys"):
                await service.create_log("other", "example.com/third", public=False)
            made = await service.create_log("other", "example.com/other", public=False)
            assert made.released.size == 1

    asyncio.run(play())


def test_keys_that_are_taken_up_are_flushed_before_a_log_rests_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Path) -> None:
        raise KeyboardInterrupt

    keyring = Keyring(tmp_path / "keys")
    monkeypatch.setattr("provlog.server.keyring.flush_path", die)
    with pytest.raises(KeyboardInterrupt):
        keyring.create("new", "example.com/new")
    flushed: list[str] = []
    monkeypatch.setattr(
        "provlog.server.keyring.flush_path", lambda path: flushed.append(path.name)
    )
    keyring.create("new", "example.com/new")
    assert {"signing.key", "id.key", "epoch-1.key", "new", "keys"} == {*flushed}
    assert flushed[-2:] == ["new", "keys"]


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    for root in (instance.folder, instance.guard):
        for name, mode in file_modes(root).items():
            assert mode in (0o600, 0o700), name


def test_a_folder_in_use_and_a_guard_inside_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        plan_instance(tmp_path / "data", tmp_path / "guard")
    with pytest.raises(ConfigurationError, match="outside"):
        plan_instance(tmp_path / "new", tmp_path / "new" / "guard")
    with pytest.raises(ConfigurationError, match="not initialised"):
        load_instance(tmp_path / "data", None)


def test_an_origin_that_was_released_before_is_not_made_again(tmp_path: Path) -> None:
    async def play() -> None:
        await make_instance(tmp_path)
        again = plan_instance(tmp_path / "again", tmp_path / "guard")
        make_folder(again)
        create_database(again.database)
        storage = SqliteStorage(again.database)
        try:
            with pytest.raises(ConfigurationError, match="would contradict it"):
                await create_log(
                    storage,
                    Keyring(again.keys),
                    FileGuard(again.guard),
                    name="main",
                    origin=ORIGIN,
                    public=False,
                    now=now_ms(),
                )
        finally:
            await storage.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("", "log.example.com/x"),
        ("A", "log.example.com/x"),
        ("../x", "log.example.com/x"),
        ("x" * 65, "log.example.com/x"),
        ("x", ""),
        ("x", "has blank"),
        ("x", "a+b"),
        ("x", 'a"b'),
        ("x", "ö"),
        ("x", "x" * 256),
        ("main", "log.example.com/x"),
        ("x", ORIGIN),
    ],
)
async def test_unusable_and_taken_names_are_refused(
    tmp_path: Path, name: str, origin: str
) -> None:
    async with running(await make_instance(tmp_path)) as (service, _):
        with pytest.raises(ConfigurationError):
            await service.create_log(name, origin, public=False)
        assert [log.record.name for log in service.open_logs()] == ["main"]


def test_a_database_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    change(instance, "PRAGMA user_version = 99")
    with pytest.raises(SchemaError, match="version 99"):
        start(instance)
    for path in instance.folder.glob("provlog.db*"):
        path.unlink()
    with pytest.raises(StorageError, match="no database"):
        start(instance)


@pytest.mark.parametrize("size", [70_000, 30_000])
def test_a_database_that_is_none_or_cut_short_is_refused(
    tmp_path: Path, size: int
) -> None:
    instance = asyncio.run(filled(tmp_path))
    data = instance.database.read_bytes()
    for path in instance.folder.glob("provlog.db*"):
        path.unlink()
    if size > len(data) // 2:
        data = b"no database" + data
    instance.database.write_bytes(data[:size])
    with pytest.raises(StorageError, match=r"provlog\.db"):
        start(instance)
