"""`provlog-server recover`: it explains, and no way out forks a log."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provlog.merkle.encoding import encode_base64, encode_base64url
from provlog.merkle.entries import parse_entry
from provlog.server.cli import commands
from provlog.server.errors import (
    ConfigurationError,
    ForkError,
    RetiredError,
    UnavailableError,
)
from provlog.server.guard import FileGuard, GuardRecord, ReleasedHead
from provlog.server.guard.databases import DatabaseRecords
from provlog.server.guard.lineage import Database
from provlog.server.instance import Instance
from provlog.server.keyring import Keyring
from provlog.server.recovery import ways_out
from provlog.server.recovery.diagnosis import Examiner, Verdict
from provlog.server.recovery.ways_out import Succession, Successor, accept_database
from provlog.server.selfcheck.passes import Pass
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from provlog.server.storage.sqlite import SqliteStorage
from support.instances import served
from support.services import (
    ORIGIN,
    SOURCE,
    append,
    draft,
    file_modes,
    fill,
    make_instance,
    now_ms,
    running,
)

NEW = "log.example.com/main-2"
FIRST = Database(7_300_000_000_000_000_001, 1)


async def filled(folder: Path, *more: SourceRecord) -> Instance:
    """Return an instance of six entries, with a copy of its database beside it.

    More sources are one more entry each.
    """
    instance = await make_instance(folder)
    async with running(instance) as (service, log):
        for source in (SourceRecord(SOURCE, SOURCE, None), *more):
            await service.register_source(log, source, "test")
        await fill(service, log, 4)
    shutil.copy(instance.database, folder / "yesterday.db")
    return instance


async def robbed(folder: Path, *more: SourceRecord) -> Instance:
    """Return an instance whose database is older than what was released."""
    instance = await filled(folder, *more)
    async with running(instance) as (service, log):
        await fill(service, log, 3, "lost")
    for path in instance.folder.glob("provlog.db*"):
        path.unlink()
    shutil.copy(folder / "yesterday.db", instance.database)
    return instance


@asynccontextmanager
async def examining(instance: Instance) -> AsyncIterator[Examiner]:
    storage = SqliteStorage(instance.database)
    await storage.open()
    yield Examiner(instance, storage, FileGuard(instance.guard))
    await storage.close()


async def succeed(
    instance: Instance, name: str = "main-2", origin: str = NEW, old: str = "main"
) -> Succession:
    async with examining(instance) as examiner:
        record = await examiner.storage.log(old)
        assert record is not None
        return await Successor(examiner, name, origin).make(record, now_ms())


def recover(instance: Instance, *options: str) -> Result:
    where = ["--dir", str(instance.folder), "--guard", str(instance.guard)]
    return CliRunner().invoke(commands, ["recover", *where, *options])


def explained(instance: Instance) -> dict[str, Any]:
    [log] = json.loads(recover(instance, "--json").stdout)["logs"]
    assert isinstance(log, dict)
    return log


def state(instance: Instance) -> dict[str, bytes]:
    """Return all files but those that come and go while a database is open."""
    paths = [*instance.folder.rglob("*"), *instance.guard.rglob("*")]
    return {
        str(path): path.read_bytes()
        for path in paths
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))
    }


async def test_yesterday_s_database_is_refused_and_the_reason_explained(
    tmp_path: Path,
) -> None:
    instance = await robbed(tmp_path)
    with pytest.raises(ForkError, match="size 6, but size 9 was released"):
        async with Service.of(instance):
            pass
    async with examining(instance) as examiner:
        [found] = await examiner.every()
    assert found.verdict is Verdict.LOST
    assert found.released is not None
    assert found.released.head.size == 9


def test_looking_says_what_is_the_matter_and_changes_nothing(tmp_path: Path) -> None:
    instance = asyncio.run(robbed(tmp_path))
    before = state(instance)
    done = recover(instance)
    assert done.exit_code == 1
    for said in (
        "database   embedded: SQLite",
        f"log main ({ORIGIN}): lost",
        "released up to size 9",
        "database size 6",
        "the database ends at size 6, but size 9 was released",
        "recover --successor NAME",
        "Do not remove the guard",
    ):
        assert said in done.stdout.replace("\n", " "), said
    log = explained(instance)
    assert (log["verdict"], log["size"], log["released"]["size"]) == ("lost", 6, 9)
    assert state(instance) == before


def test_a_log_that_can_go_on_is_sound(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    done = recover(instance)
    assert done.exit_code == 0
    assert "main (log.example.com/main): sound" in done.stdout
    assert explained(instance)["recorded"] is None


def test_a_guard_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    instance = asyncio.run(robbed(tmp_path))
    FileGuard(instance.guard).path(ORIGIN).unlink()
    done = recover(instance)
    assert done.exit_code == 1
    assert "unguarded" in done.stdout
    for options in (["--accept-database"], ["--successor", "n", "--origin", NEW]):
        refused = recover(instance, *options)
        assert isinstance(refused.exception, ConfigurationError)
        assert "nobody here can say what was released" in str(refused.exception)
    shutil.rmtree(instance.guard)
    refused = recover(instance)
    assert isinstance(refused.exception, ConfigurationError)
    assert "there is no guard folder" in str(refused.exception)
    assert not instance.guard.exists(), "looking makes none"


def test_a_guard_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    FileGuard(instance.guard).path(ORIGIN).write_bytes(b"garbage")
    assert explained(instance)["verdict"] == "unreadable"
    assert recover(instance).exit_code == 1


MISUSES = (
    ["--successor", "n"],
    ["--origin", NEW],
    ["--accept-database", "--successor", "n", "--origin", NEW],
    ["--successor", "n", "--origin", NEW, "--log", "nowhere"],
    ["--successor", "n", "--origin", ORIGIN],
    ["--successor", "n", "--origin", "no good"],
    ["--successor", "No Good", "--origin", NEW],
    ["--successor", "main", "--origin", NEW],
    ["--successor", "taken", "--origin", NEW],
    ["--accept-database"],
)


def test_misuse_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    instance = asyncio.run(robbed(tmp_path))
    Keyring(instance.keys).create("taken", "log.example.com/taken")
    before = state(instance)
    for options in MISUSES:
        done = recover(instance, *options)
        refused = isinstance(done.exception, ConfigurationError)
        assert done.exit_code == 2 or refused, options
        assert state(instance) == before, options


def test_a_log_that_can_go_on_gets_no_successor(tmp_path: Path) -> None:
    instance = asyncio.run(filled(tmp_path))
    before = state(instance)
    done = recover(instance, "--successor", "n", "--origin", NEW)
    assert "goes on from what was released" in str(done.exception)
    assert state(instance) == before


async def test_an_origin_that_was_released_elsewhere_is_no_successor_s(
    tmp_path: Path,
) -> None:
    instance = await robbed(tmp_path)
    guard = FileGuard(instance.guard)
    await guard.replace(NEW, None, ReleasedHead(1, bytes(32)))
    with pytest.raises(ConfigurationError, match="would contradict it"):
        await succeed(instance)
    assert await guard.read(ORIGIN) is not None, "it is not retired"


async def test_a_successor_names_the_old_log_which_is_never_signed_again(
    tmp_path: Path,
) -> None:
    instance = await robbed(tmp_path)
    guard, keyring = FileGuard(instance.guard), Keyring(instance.keys)
    released = await guard.read(ORIGIN)
    assert released is not None
    made = await succeed(instance)
    assert (made.previous, made.sources) == (released, 1)
    assert await guard.inspect(ORIGIN) == GuardRecord(released, "main-2")
    assert keyring.retired("main") == "main-2"
    with pytest.raises(ConfigurationError, match="is retired"):
        keyring.load("main")
    async with Service.of(instance) as service:
        assert [log.record.name for log in service.open_logs()] == ["main-2"]
        assert await service.log("main") is None
        new = await service.log("main-2")
        assert new is not None
        [leaf] = await service.storage.leaves(new.id, 0, 1)
        assert parse_entry(leaf).body["previous"] == {
            "origin": ORIGIN,
            "size": 9,
            "root": encode_base64url(released.root),
        }
        assert await service.storage.sources(new.id) == [
            SourceRecord(SOURCE, SOURCE, None)
        ]
        await append(service, new, draft(new, "goes on"))
    assert set(file_modes(instance.folder).values()) == {0o600, 0o700}
    old_keys = keyring.load("main", retired=True)
    assert old_keys.signing.verifier().vkey() != made.new.log_key


async def test_the_check_of_what_is_stored_knows_a_retired_log(tmp_path: Path) -> None:
    # Which namespace and connector it has, stands in an entry of the old log alone.
    provider = SourceRecord("urn:okta:polled", SOURCE, "okta")
    instance = await robbed(tmp_path, provider)
    await succeed(instance)
    check = Pass(instance, thorough=True)
    for _ in check.steps():
        pass
    assert check.findings.kept == []
    assert any(
        "main is retired, released up to size 10" in note for note in check.notes
    )
    assert check.sizes == {"main": 7, "main-2": 1}


@pytest.mark.parametrize("place", ["create_log", "retire keys"])
async def test_a_successor_that_was_interrupted_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class DeathError(Exception):
        pass

    def die(*_: object, **__: object) -> None:
        raise DeathError

    instance = await robbed(tmp_path)
    if place == "create_log":
        monkeypatch.setattr(ways_out, "create_log", die)
    else:
        monkeypatch.setattr(Keyring, "retire", die)
    with pytest.raises(DeathError):
        await succeed(instance)
    monkeypatch.undo()
    # Whatever starts now does not sign the old log.
    async with Service.of(instance) as service:
        assert await service.log("main") is None
        new = await service.log("main-2")
        assert (new is None) is (place == "create_log")
        if new is not None:
            await append(service, new, draft(new, "goes on"))
    for name, origin in (("main-3", NEW), ("main-2", f"{NEW}b")):
        if name == "main-2" and place == "create_log":
            continue  # The name is what was promised; there is no such log yet.
        with pytest.raises(ConfigurationError):
            await succeed(instance, name, origin)
    made = await succeed(instance)
    assert made.previous.size == 9
    again = await succeed(instance)
    assert again.new == made.new
    async with Service.of(instance) as service:
        assert [log.record.name for log in service.open_logs()] == ["main-2"]


async def test_a_retired_log_stays_so_without_its_guard(tmp_path: Path) -> None:
    instance = await robbed(tmp_path)
    await succeed(instance)
    FileGuard(instance.guard).path(ORIGIN).unlink()
    async with Service.of(instance) as service:
        assert await service.log("main") is None
    async with examining(instance) as examiner:
        found = {each.record.name: each.verdict for each in await examiner.every()}
    assert found == {"main": Verdict.RETIRED, "main-2": Verdict.SOUND}


async def test_keys_of_another_machine_are_marked_when_it_starts(
    tmp_path: Path,
) -> None:
    instance = await robbed(tmp_path)
    shutil.copytree(instance.keys, tmp_path / "keys")
    await succeed(instance)
    shutil.copytree(instance.keys / "main-2", tmp_path / "keys" / "main-2")
    shutil.rmtree(instance.keys)
    (tmp_path / "keys").rename(instance.keys)
    assert Keyring(instance.keys).retired("main") is None
    async with Service.of(instance):
        pass
    assert Keyring(instance.keys).retired("main") == "main-2"


@pytest.mark.parametrize("slot", [0, 1])
async def test_no_damage_to_the_guard_s_file_brings_a_log_back(
    tmp_path: Path, slot: int
) -> None:
    guard = FileGuard(tmp_path)
    await guard.replace(ORIGIN, None, ReleasedHead(1, bytes(32)))
    head = ReleasedHead(2, bytes(32))
    await guard.replace(ORIGIN, ReleasedHead(1, bytes(32)), head)
    assert not await guard.retire(ORIGIN, ReleasedHead(1, bytes(32)), "next")
    assert await guard.retire(ORIGIN, head, "next")
    data = bytearray(guard.path(ORIGIN).read_bytes())
    data[slot * 512 + 20] ^= 1
    guard.path(ORIGIN).write_bytes(data)
    for each in (guard, FileGuard(tmp_path)):
        with pytest.raises(RetiredError):
            await each.read(ORIGIN)
        assert not await each.replace(ORIGIN, head, ReleasedHead(3, bytes(32)))


async def test_whoever_could_read_a_retired_log_is_told_its_successor(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as log:
        head = log.log.released
        assert await log.service.guard.retire(log.log.origin, head, "main-2")
        # It is open here, and notices when it looks at the guard.
        for _ in range(2):
            reply = await log.get("checkpoint")
            assert (reply.status, reply.slug) == (410, "retired")
            assert reply.json()["successor"] == "main-2"
        assert (await log.post({}, query="")).status == 410
        assert (await log.get("checkpoint", role=None)).status == 401
        assert (await log.get("entries/0")).status == 410
        assert (await log.get("/logs", role="admin")).status == 200
        with pytest.raises(UnavailableError):
            await log.log.release(ReleasedHead(2, bytes(32)), None)
    async with served(tmp_path / "public", public=True) as log:
        assert await log.service.guard.retire(log.log.origin, log.log.released, "n")
        assert (await log.get("checkpoint", role=None)).status == 410


async def test_a_start_with_a_retired_log_answers_for_it(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        made, head = log.made, log.log.released
        assert await log.service.guard.retire(log.log.origin, head, "main-2")
        async with Service.of(made.instance) as other:
            token = await other.storage.tokens(None)
            [monitor] = [each for each in token if each.roles == {"monitor"}][:1]
            assert other.logs.successor("main", monitor) == "main-2"
            assert other.logs.successor("main", None) is None
            stranger = replace(monitor, logs=frozenset({99}))
            assert other.logs.successor("main", stranger) is None


async def test_a_database_is_accepted_once_every_log_goes_on_in_it(
    tmp_path: Path,
) -> None:
    instance = await filled(tmp_path)
    records = DatabaseRecords(instance.guard)
    records.settle(ORIGIN, FIRST)
    with pytest.raises(ForkError, match="embedded database"):
        async with Service.of(instance):
            pass
    async with examining(instance) as examiner:
        [found] = await examiner.every()
        assert (found.verdict, found.recorded) == (Verdict.UNACCEPTED, FIRST)
        assert await accept_database(examiner) == ["main"]
    async with Service.of(instance) as service:
        assert service.open_logs()
    assert records.read(ORIGIN) is None
    # A record that cannot be read is mended too.
    records.path(ORIGIN).write_bytes(b"garbage")
    async with examining(instance) as examiner:
        [found] = await examiner.every()
        assert found.verdict is Verdict.UNACCEPTED
        await accept_database(examiner)
        [found] = await examiner.every()
        assert found.verdict is Verdict.SOUND


async def test_one_log_that_lost_entries_is_enough_to_accept_nothing(
    tmp_path: Path,
) -> None:
    instance = await filled(tmp_path)
    async with Service.of(instance) as service:
        await service.create_log("a", "log.example.com/a", public=False)
    records = DatabaseRecords(instance.guard)
    for origin in (ORIGIN, "log.example.com/a"):
        records.settle(origin, FIRST)
    guard = FileGuard(instance.guard)
    known = await guard.read(ORIGIN)
    await guard.replace(ORIGIN, known, ReleasedHead(99, bytes(32)))
    async with examining(instance) as examiner:
        with pytest.raises(ConfigurationError, match=r"main: .*nothing was"):
            await accept_database(examiner)
    assert records.read("log.example.com/a") == FIRST


@pytest.mark.needs("postgres")
def test_a_promoted_database_is_explained_and_accepted(
    tmp_path: Path, postgres_url: str
) -> None:
    folder, guard = str(tmp_path / "data"), tmp_path / "guard"
    where = ["--dir", folder, "--guard", str(guard)]
    run = CliRunner()
    options = ["--origin", ORIGIN, "--source", "urn:x", "--database", postgres_url]
    assert run.invoke(commands, ["init", *where, *options]).exit_code == 0
    records = DatabaseRecords(guard)
    now = records.read(ORIGIN)
    assert now is not None
    records.settle(ORIGIN, replace(now, timeline=now.timeline + 1))
    listed = run.invoke(commands, ["log", "list", *where])
    assert isinstance(listed.exception, ForkError)
    done = run.invoke(commands, ["recover", *where])
    assert done.exit_code == 1
    assert f"database   {now}" in done.stdout
    assert f"came from PostgreSQL system {now.system} on timeline" in done.stdout
    done = run.invoke(commands, ["recover", *where, "--accept-database"])
    assert done.exit_code == 0
    assert f"accepted: {now}, for main" in done.stdout
    assert run.invoke(commands, ["log", "list", *where]).exit_code == 0


def test_the_command_opens_a_successor(tmp_path: Path) -> None:
    instance = asyncio.run(robbed(tmp_path))
    options = ["--successor", "main-2", "--origin", NEW]
    done = recover(instance, *options)
    assert done.exit_code == 0
    assert f"succeeds   {ORIGIN}, size 9" in done.stdout
    assert "token create --dir DIR --log main-2" in done.stdout
    again = json.loads(recover(instance, *options, "--json").stdout)
    assert again["name"] == "main-2"
    assert again["previous"]["size"] == 9
    assert again["log_key"] in done.stdout
    assert encode_base64(bytes(32)) != again["previous"]["root"]
    assert recover(instance).exit_code == 0
