"""Importing a log: what the guard says, what is taken already, what a crash leaves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.server.errors import ConfigurationError, ForkError
from provlog.server.guard import ReleasedHead
from provlog.server.initialise import Place
from provlog.server.instance import Instance, load_instance
from provlog.server.keyring import Keyring
from provlog.server.moving.exported import Export
from provlog.server.moving.house import import_into
from provlog.server.moving.loading import Loading
from provlog.server.service import Service
from provlog.server.storage.sqlite import SqliteTransaction
from support.checked_instance import check
from support.exports import export, guard_of, ignore, move, opened
from support.services import ORIGIN, append, draft, fill, make_instance, running

SIZE = 301


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    instance = await make_instance(tmp_path_factory.mktemp("house"))
    async with running(instance) as (service, log):
        await fill(service, log, SIZE - 1)
    yield instance


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(
    house: Instance, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Export]:
    folder = tmp_path_factory.mktemp("exported") / "main"
    await export(house, folder)
    yield opened(house, folder)


async def elsewhere(folder: Path) -> Place:
    """Return where an instance with another log is."""
    there = await make_instance(folder, "log.example.com/another")
    return Place(there.folder, there.guard)


async def test_a_log_that_went_on_here_is_not_imported_from_before(
    exported: Export, tmp_path: Path
) -> None:
    later = ReleasedHead(SIZE + 1, bytes(32))
    await guard_of(tmp_path).replace(ORIGIN, None, later)
    with pytest.raises(ForkError, match="the log went on after it was made"):
        await move(exported, tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("size", [1, 256, 300, SIZE])
async def test_the_guard_knows_which_history_is_the_log_s(
    house: Instance, exported: Export, tmp_path: Path, size: int
) -> None:
    async with running(house) as (_, log):
        true = ReleasedHead(size, await log.tree.root(size))
    false = ReleasedHead(size, bytes(32))
    for folder, known in ((tmp_path / "false", false), (tmp_path / "true", true)):
        assert await guard_of(folder).replace(ORIGIN, None, known)
    with pytest.raises(ForkError, match="released from this"):
        await move(exported, tmp_path / "false")
    assert not (tmp_path / "false" / "data").exists()
    done = await move(exported, tmp_path / "true")
    found = await guard_of(tmp_path / "true").read(ORIGIN)
    assert found == ReleasedHead(done.head.size, done.head.root)


async def test_a_server_that_still_serves_the_log_stops_the_import(
    exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Loading.require_head

    async def meanwhile(loading: Loading) -> None:
        await plain(loading)
        later = ReleasedHead(SIZE + 1, bytes(32))
        assert await guard_of(tmp_path).replace(ORIGIN, None, later)

    monkeypatch.setattr(Loading, "require_head", meanwhile)
    with pytest.raises(ForkError, match="is still served"):
        await move(exported, tmp_path)
    assert not (tmp_path / "data").exists()


async def test_two_houses_under_one_guard_cannot_both_go_on(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    await export(instance, tmp_path / "to")
    place = Place(tmp_path / "new", instance.guard)
    await import_into(place, opened(instance, tmp_path / "to"), "main", ignore)
    async with running(load_instance(place.folder, None)) as (service, log):
        await append(service, log, draft(log, "here"))
    with pytest.raises(ForkError, match="older than what others have seen"):
        async with running(instance):
            pass


async def test_an_import_that_is_killed_leaves_no_log_and_can_be_repeated(
    exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await elsewhere(tmp_path)
    there = load_instance(place.folder, None)

    async def die(_: SqliteTransaction) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteTransaction, "commit", die)
        with pytest.raises(OSError, match="no more"):
            await import_into(place, exported, "moved", ignore)
    assert Keyring(there.keys).load("moved").same_as(exported.keys)
    async with Service.of(there) as service:
        assert await service.log("moved") is None
    await import_into(place, exported, "moved", ignore)
    async with Service.of(there) as service:
        log = await service.log("moved")
        assert log is not None
        assert log.released.size == SIZE
    with pytest.raises(ConfigurationError, match="has a log of the name moved"):
        await import_into(place, exported, "moved", ignore)
    with pytest.raises(ConfigurationError, match="or of the origin"):
        await import_into(place, exported, "again", ignore)


async def test_an_instance_that_exists_gets_no_tokens(
    exported: Export, tmp_path: Path
) -> None:
    place = await elsewhere(tmp_path)
    there = load_instance(place.folder, None)
    async with Service.of(there) as service:
        tokens = await service.storage.tokens(None)
    assert (await import_into(place, exported, "moved", ignore)).left_out == 4
    async with Service.of(there) as service:
        assert await service.storage.tokens(None) == tokens


async def test_other_keys_are_never_overwritten(
    exported: Export, tmp_path: Path
) -> None:
    place = await elsewhere(tmp_path)
    there = load_instance(place.folder, None)
    Keyring(there.keys).create("moved", ORIGIN)
    with pytest.raises(ConfigurationError, match="there are other keys"):
        await import_into(place, exported, "moved", ignore)
    assert check(there) == []
