"""Export and import: the same log elsewhere, or nothing at all."""

import multiprocessing
import os
import shutil
import stat
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import apsw
import msgspec
import pytest
import pytest_asyncio

from provlog.server.errors import (
    ConfigurationError,
    DamagedError,
    UnavailableError,
)
from provlog.server.instance import Instance, load_instance
from provlog.server.keyring import Keyring
from provlog.server.moving import reading
from provlog.server.moving.export import export_log
from provlog.server.moving.exported import open_export
from provlog.server.moving.house import read_keys
from provlog.server.moving.private_side import TokenLine, encode_line
from provlog.server.storage.base import Head
from provlog.server.storage.sqlite import SqliteStorage
from provlog.server.tokens import mint_token
from support.checked_instance import ENTRIES, check, make_checked_instance
from support.exports import export, move, opened, receipts_of
from support.exports import ignore as ignore_progress
from support.services import ORIGIN, append, draft, file_modes, fill, now_ms, running
from support.services import make_instance as make_plain_instance

TABLES = ("entries", "tiles", "keys", "private", "openings", "sources", "cursors")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("house"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(
    house: Instance, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("exported") / "main"
    await export(house, folder)
    yield folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def rows(instance: Instance, table: str) -> list[tuple[object, ...]]:
    """Return a table's rows of the log `main`, but for their log's number."""
    connection = apsw.Connection(str(instance.database))
    found = list(
        connection.execute(
            f"SELECT {table}.* FROM {table} JOIN logs USING (log) WHERE name = 'main'"
        )
    )
    connection.close()
    return sorted((row[1:] for row in found), key=repr)


async def test_an_imported_log_has_every_row_receipt_and_key_it_had(
    house: Instance, exported: Path, tmp_path: Path
) -> None:
    done = await move(opened(house, exported), tmp_path)
    moved = load_instance(tmp_path / "data", None)
    for table in TABLES:
        there, here = rows(house, table), rows(moved, table)
        if table == "cursors":  # whose digest covers the log's number
            there, here = ([row[:-1] for row in each] for each in (there, here))
        assert there == here, table
    assert await receipts_of(house) == await receipts_of(moved)
    assert check(moved) == []
    assert Keyring(moved.keys).load("main").same_as(Keyring(house.keys).load("main"))
    assert done.record.origin == ORIGIN
    assert done.head.size == ENTRIES


async def test_what_is_written_is_the_owner_s_alone(
    house: Instance, exported: Path, tmp_path: Path
) -> None:
    await move(opened(house, exported), tmp_path)
    for folder in (exported, tmp_path / "data"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert set(file_modes(folder).values()) <= {0o600, 0o700}


async def test_a_large_log_is_read_by_a_process_of_its_own(
    house: Instance, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "OWN_PROCESS", 1)
    await move(opened(house, copied), tmp_path / "a")
    assert check(load_instance(tmp_path / "a" / "data", None)) == []
    flip(copied / "private.ndjson", 100_000)
    # What the bit belongs to is another thing in every run.
    with pytest.raises((DamagedError, ConfigurationError), match=r"^private\.ndjson"):
        await move(opened(house, copied), tmp_path / "b")
    (copied / "tile" / "entries" / "000").unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        await move(opened(house, copied), tmp_path / "c")
    assert multiprocessing.active_children() == []


async def test_a_reader_that_is_killed_is_no_end_of_the_log(
    house: Instance, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "OWN_PROCESS", 1)
    monkeypatch.setattr(reading, "_run", os._exit)
    with pytest.raises((UnavailableError, TypeError)):
        await move(opened(house, exported), tmp_path)
    assert not (tmp_path / "data").exists()


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_a_bit_turned_in_any_file_is_noticed(
    house: Instance, exported: Path, tmp_path: Path
) -> None:
    paths = files_of(exported)
    assert len(paths) > 8
    for number, path in enumerate(paths):
        original = path.read_bytes()
        for place in (0, len(original) // 2, len(original) - 1):
            flip(path, place, number % 8)
            with pytest.raises((DamagedError, ConfigurationError)):
                await move(opened(house, exported), tmp_path)
            path.write_bytes(original)
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "guard").exists() or not list((tmp_path / "guard").iterdir())
    await move(opened(house, exported), tmp_path)


async def test_what_no_leaf_speaks_of_is_held_against_its_digest(
    house: Instance, copied: Path, tmp_path: Path
) -> None:
    path = copied / "private.ndjson"
    before, found, after = path.read_bytes().partition(b'"compare_digest":"')
    other = b"A" if after[:1] != b"A" else b"B"
    path.write_bytes(before + found + other + after[1:])
    with pytest.raises(DamagedError, match=r"private\.ndjson is not the file"):
        await move(opened(house, copied), tmp_path)


async def test_nothing_is_left_out_of_a_file_unnoticed(
    house: Instance, copied: Path, tmp_path: Path
) -> None:
    async def refused() -> None:
        with pytest.raises((DamagedError, ConfigurationError)):
            await move(opened(house, copied), tmp_path)

    for path in files_of(copied):
        data = path.read_bytes()
        for altered in (data[:-1], data + b"\n", b""):
            if altered != data:
                path.write_bytes(altered)
                await refused()
        path.unlink()
        await refused()
        path.mkdir()
        await refused()
        path.rmdir()
        path.symlink_to("/dev/zero")
        await refused()
        path.unlink()
        path.write_bytes(data)


async def test_a_private_side_that_the_log_s_keys_did_not_make_is_not_believed(
    house: Instance, copied: Path
) -> None:
    """Whoever alters it makes the digests right, and not what authenticates them."""
    path = copied / "sources.ndjson"
    altered = path.read_bytes().replace(b"okta.example.com", b"evil.example.com")
    path.write_bytes(altered)
    manifest = msgspec.json.decode((copied / "export.json").read_bytes())
    manifest["files"]["sources.ndjson"]["sha256"] = sha256(altered).hexdigest()
    (copied / "export.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(DamagedError, match=r"export\.json was changed"):
        opened(house, copied)


async def test_a_file_that_is_replaced_while_it_is_read_is_not_believed(
    house: Instance, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write there is not to have a token of their own taken in."""
    path = copied / "tokens.ndjson"
    mine = mint_token(logs=None, roles=["admin"], now=now_ms()).record
    forged = encode_line(TokenLine.of(mine))
    opening = os.open

    def replacing(name: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = opening(name, flags, mode)
        if name == path:
            path.unlink()
            path.write_bytes(forged)
        return descriptor

    monkeypatch.setattr(os, "open", replacing)
    await move(opened(house, copied), tmp_path)
    monkeypatch.undo()
    assert path.read_bytes() == forged
    async with running(load_instance(tmp_path / "data", None)) as (service, _):
        tokens = await service.storage.tokens(None)
    assert tokens
    assert mine not in tokens


async def test_other_keys_open_nothing(
    house: Instance, exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(DamagedError, match="keys of another log"):
        opened(house, exported, "other")
    mixed = tmp_path / "keys" / "main"
    shutil.copytree(house.keys / "main", mixed)
    shutil.copy(house.keys / "other" / "signing.key", mixed)
    with pytest.raises(DamagedError, match="checkpoint"):
        open_export(exported, read_keys(mixed))
    shutil.copy(house.keys / "main" / "signing.key", mixed)
    shutil.copy(house.keys / "other" / "epoch-1.key", mixed)
    with pytest.raises(ConfigurationError, match="commit_e is of another key"):
        await move(open_export(exported, read_keys(mixed)), tmp_path)
    (mixed / "epoch-1.key").unlink()
    with pytest.raises(ConfigurationError, match="lack that of epoch 1"):
        open_export(exported, read_keys(mixed))


async def test_only_an_empty_folder_is_exported_to(
    house: Instance, exported: Path
) -> None:
    with pytest.raises(ConfigurationError, match="is not empty"):
        await export(house, exported)


async def test_tokens_move_with_a_log_that_had_a_house_to_itself(
    tmp_path: Path,
) -> None:
    instance = await make_plain_instance(tmp_path)
    async with running(instance) as (service, log):
        minted = mint_token(logs=[log.id], roles=["monitor"], now=now_ms())
        await service.store_token(log, minted.record, "me")
        await service.revoke_token(log, minted.record.id, "me")
        tokens = await service.storage.tokens(None)
    assert (await export(instance, tmp_path / "to")).left_out == 0
    done = await move(opened(instance, tmp_path / "to"), tmp_path / "new")
    assert done.left_out == 0
    moved = load_instance(tmp_path / "new" / "data", None)
    async with running(moved) as (service, _):
        assert await service.storage.tokens(None) == tokens
    assert check(moved) == []


async def test_what_is_appended_during_an_export_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_plain_instance(tmp_path)
    async with running(instance) as (service, log):
        await fill(service, log, 300)
        plain = SqliteStorage.barrier

        async def append_first(storage: SqliteStorage, number: int) -> Head:
            monkeypatch.setattr(SqliteStorage, "barrier", plain)
            await append(service, log, draft(log, "meanwhile"))
            return await plain(storage, number)

        monkeypatch.setattr(SqliteStorage, "barrier", append_first)
        keys = Keyring(instance.keys).load("main")
        to = tmp_path / "to"
        done = await export_log(service, log, keys, to, ignore_progress)
        assert log.released.size == done.head.size + 1
    moved = await move(opened(instance, to), tmp_path / "new")
    assert moved.head == done.head
