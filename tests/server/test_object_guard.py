"""The guard that several servers share in an object store."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from provlog.server.errors import (
    ConfigurationError,
    RetiredError,
    UnavailableError,
)
from provlog.server.guard import ReleasedHead
from provlog.server.guard.base import GuardRecord
from provlog.server.guard.object_store import ObjectGuard
from provlog.server.guard.record import SLOT, format_record, seal
from provlog.server.guard.store_client import StoreClient
from provlog.server.guard.store_url import StoreUrl, parse_guard
from provlog.server.instance import Instance, load_instance
from provlog.server.service import Service
from support.object_stores import StubStore, store_environment, stub_store
from support.services import ORIGIN, append, draft, make_instance

pytestmark = pytest.mark.needs("object-store")

PLACE = StoreUrl("s3", "bucket", "guard")
KEY = f"/bucket/guard/{sha256(ORIGIN.encode()).hexdigest()[:32]}.json"
ONE = ReleasedHead(1, bytes(range(32)))


def head(size: int) -> ReleasedHead:
    return ReleasedHead(size, bytes([size % 256]) * 32)


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StubStore]:
    async with stub_store(monkeypatch) as store:
        yield store
        store.gate.set()
        while made:
            await made.pop().close()


made = list[ObjectGuard]()


def stub_guard(seconds: float = 5) -> ObjectGuard:
    """Return a guard in the stub, which closes it."""
    made.append(ObjectGuard(StoreClient(PLACE, seconds)))
    return made[-1]


async def test_heads_are_recorded_by_compare_and_swap(bucket: StoreUrl) -> None:
    guard, other = (ObjectGuard(StoreClient(bucket)) for _ in range(2))
    await guard.prepare()
    assert await guard.read(ORIGIN) is None
    assert await guard.recall(ORIGIN) is None
    assert guard.size(ORIGIN) is None
    assert await guard.replace(ORIGIN, None, ONE)
    assert await other.read(ORIGIN) == await guard.recall(ORIGIN) == ONE
    assert await other.replace(ORIGIN, ONE, head(2))
    # It knows the one before, and is refused.
    assert await guard.recall(ORIGIN) == ONE
    assert not await guard.replace(ORIGIN, ONE, head(3))
    assert await guard.recall(ORIGIN) == head(2), "what was refused is not believed"
    assert not await guard.replace(ORIGIN, None, head(3))
    assert await guard.read(ORIGIN) == head(2)
    assert await guard.replace(ORIGIN, head(2), head(3))
    assert guard.size(ORIGIN) == 3
    assert await other.read("log.example.com/other") is None
    with pytest.raises(ValueError, match="advances"):
        await guard.replace(ORIGIN, head(3), head(3))
    assert guard.failures == other.failures == 0


async def test_of_sixteen_who_release_at_once_one_wins(bucket: StoreUrl) -> None:
    guards = [ObjectGuard(StoreClient(bucket)) for _ in range(16)]
    for known, size in ((None, 1), (head(1), 20)):
        for guard in guards:
            assert await guard.read(ORIGIN) == known
        heads = [ReleasedHead(size, bytes([n]) * 32) for n in range(16)]
        heads = [head(1)] * 16 if known is None else heads
        won = await asyncio.gather(
            *(
                guard.replace(ORIGIN, known, each)
                for guard, each in zip(guards, heads, strict=True)
            )
        )
        assert won.count(True) == 1
        assert await guards[0].read(ORIGIN) == heads[won.index(True)]


async def test_servers_that_start_at_once_find_the_store_reliable(
    bucket: StoreUrl,
) -> None:
    guards = [ObjectGuard(StoreClient(bucket)) for _ in range(3)]
    await asyncio.gather(*(guard.prepare() for guard in guards))


async def test_a_retired_log_is_advanced_by_nobody(bucket: StoreUrl) -> None:
    guard, other = (ObjectGuard(StoreClient(bucket)) for _ in range(2))
    assert not await guard.retire(ORIGIN, ONE, "next")
    await guard.replace(ORIGIN, None, ONE)
    assert await other.recall(ORIGIN) == ONE
    assert not await guard.retire(ORIGIN, head(2), "next")
    assert await guard.retire(ORIGIN, ONE, "next")
    assert await guard.retire(ORIGIN, ONE, "next")
    assert not await other.retire(ORIGIN, ONE, "another")
    assert not await other.replace(ORIGIN, ONE, head(2))
    for each in (guard, other):
        with pytest.raises(RetiredError) as retired:
            await each.read(ORIGIN)
        assert retired.value.successor == "next"
        with pytest.raises(RetiredError):
            await each.recall(ORIGIN)
        assert await each.inspect(ORIGIN) == GuardRecord(ONE, "next")


async def test_those_who_read_at_once_share_requests_and_read_nothing_old(
    stub: StubStore,
) -> None:
    guard = stub_guard()
    await guard.replace(ORIGIN, None, ONE)
    stub.gate.clear()
    early = [asyncio.create_task(guard.read(ORIGIN)) for _ in range(20)]
    await stub.reading.wait()
    # This request has been sent: it may miss what another server writes now.
    stub.objects[KEY] = format_record(ORIGIN, GuardRecord(head(2)))
    late = [asyncio.create_task(guard.read(ORIGIN)) for _ in range(20)]
    await asyncio.sleep(0)
    late[0].cancel()
    early[0].cancel()
    stub.gate.set()
    assert set(await asyncio.gather(*early[1:])) == {ONE}
    assert set(await asyncio.gather(*late[1:])) == {head(2)}
    assert stub.calls.count("GET") == 2


async def test_a_reader_that_goes_away_alone_leaves_nothing_behind(
    stub: StubStore,
) -> None:
    guard = stub_guard()
    stub.status = 500
    stub.gate.clear()
    reading = asyncio.create_task(guard.read(ORIGIN))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(UnavailableError):
        await guard.read(ORIGIN)


async def test_a_release_is_one_request_as_long_as_nobody_else_writes(
    stub: StubStore, tmp_path: Path
) -> None:
    async with serving(tmp_path) as (instance, service):
        log = await service.log("main")
        assert log is not None
        await append(service, log, draft(log, "first"))
        stub.calls.clear()
        for number in range(3):
            await append(service, log, draft(log, f"next-{number}"))
        assert stub.calls == ["PUT"] * 3
        async with Service.of(instance) as other:
            twin = await other.log("main")
            assert twin is not None
            await append(other, twin, draft(twin, "other"))
            await append(service, log, draft(log, "mine"))
            assert (await twin.refresh()) == log.released
            # Nothing happened: nobody is asked.
            stub.calls.clear()
            await service._tend_logs()
            assert stub.calls == []


@pytest.mark.parametrize("losses", [1, 2])
async def test_a_write_whose_answer_was_lost_is_found_by_reading(
    stub: StubStore, tmp_path: Path, losses: int
) -> None:
    async with serving(tmp_path) as (_, service):
        log = await service.log("main")
        assert log is not None
        # One loss is sent again by the library, and refused: it is there.
        stub.losses = losses
        await append(service, log, draft(log, "a"))
        assert log.released.size == 2
        # Two drops: neither came through. What is read says so, and it is sent again.
        stub.drops = 2
        await append(service, log, draft(log, "b"))
        assert await service.guard.read(ORIGIN) == log.released
        assert log.released.size == 3


async def test_nothing_is_released_while_the_store_is_down(
    stub: StubStore, tmp_path: Path
) -> None:
    async with serving(tmp_path) as (_, service):
        log = await service.log("main")
        assert log is not None
        stub.status = 503
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "a"))
        assert log.released.size == 1
        with pytest.raises(UnavailableError, match=r"s3://bucket/guard: cannot be"):
            await log.refresh()
        assert service.guard.failures > 0
        stub.status = None
        # It is there, and is found to be a repetition.
        await append(service, log, draft(log, "a"))
        assert (await log.refresh()).size == 2


@pytest.mark.parametrize(
    ("status", "said"), [(403, "do not allow"), (401, "does not know who asks")]
)
async def test_what_the_store_has_against_it_is_said(
    stub: StubStore, status: int, said: str
) -> None:
    stub.status = status
    guard = stub_guard()
    with pytest.raises(UnavailableError, match=said):
        await guard.prepare()
    with pytest.raises(UnavailableError, match=said):
        await guard.read(ORIGIN)
    assert not await guard.replace(ORIGIN, None, ONE)
    assert guard.failures == 3


async def test_a_store_that_hangs_is_given_up(stub: StubStore) -> None:
    stub.gate.clear()
    guard = stub_guard(0.2)
    stub.objects[KEY] = b"anything"
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
        await guard.read(ORIGIN)


async def test_a_store_that_is_not_there_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stub_store(monkeypatch):
        pass
    guard = ObjectGuard(StoreClient(PLACE))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await guard.prepare()
    await guard.close()


def test_a_process_that_gave_up_on_a_store_exits_as_it_should() -> None:
    program = f"""
import asyncio
from provlog.server.errors import UnavailableError
from provlog.server.guard.store_client import StoreClient
from provlog.server.guard.store_url import StoreUrl
client = StoreClient({PLACE!r})
try:
    asyncio.run(client.get("x", 9))
except UnavailableError:
    print("given up")
"""
    environment = {**os.environ, **store_environment("http://127.0.0.1:1")}
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "given up\n"), done.stderr


async def test_a_bucket_that_is_missing_is_said_to_be(bucket: StoreUrl) -> None:
    guard = ObjectGuard(StoreClient(replace(bucket, bucket="no-such-bucket")))
    with pytest.raises(UnavailableError, match="no such bucket"):
        await guard.prepare()


@pytest.mark.parametrize("lies", [{"If-Match"}, {"If-None-Match"}])
async def test_a_store_that_ignores_conditions_is_refused(
    stub: StubStore, lies: set[str], tmp_path: Path
) -> None:
    stub.lies = lies
    with pytest.raises(ConfigurationError, match="two histories"):
        await stub_guard().prepare()
    with pytest.raises(ConfigurationError, match="two histories"):
        await make_instance(tmp_path, guard=PLACE)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        bytes(SLOT),
        bytes(SLOT + 1),
        bytes(60_000),
        format_record("another", GuardRecord(ONE)),
        seal({"origin": ORIGIN, "size": True, "root": "A" * 43 + "="}),
        seal({"origin": ORIGIN, "size": 1, "root": "A" * 43}),
        seal({"origin": ORIGIN, "size": 1, "root": "A" * 43 + "=", "more": 1}),
        seal({"origin": ORIGIN, "size": 1, "root": "A" * 43 + "=", "successor": ""}),
        seal({"size": 1, "origin": ORIGIN, "root": "A" * 43 + "="}),
    ],
    ids=range(11),
)
async def test_an_object_that_is_no_record_is_no_missing_guard(
    stub: StubStore, data: bytes
) -> None:
    stub.objects[KEY] = data
    guard = stub_guard()
    with pytest.raises(ConfigurationError, match=rf"s3://bucket{KEY[7:]}"):
        await guard.read(ORIGIN)
    assert guard.failures == 1
    assert not await guard.replace(ORIGIN, None, ONE)
    assert stub.objects[KEY] == data


async def test_a_guard_in_a_bucket_is_recorded_and_opened_again(
    bucket: StoreUrl, tmp_path: Path
) -> None:
    instance = await make_instance(tmp_path, guard=bucket)
    text = (instance.folder / "provlog.json").read_text()
    assert f'"s3://{bucket.bucket}/provlog/guard"' in text
    loaded = load_instance(instance.folder, None)
    assert loaded.guard_url == bucket
    async with Service.of(loaded) as service:
        assert service.guard.shared
        assert str(bucket) in service.guard.describe(ORIGIN)
    with pytest.raises(ConfigurationError, match="would contradict"):
        await make_instance(tmp_path / "again", guard=bucket)


@pytest.mark.parametrize(
    "text",
    [
        "file:///var/guard",
        "memory:///",
        "http://bucket/x",
        "s3://key:secret@bucket/x",
        "s3://bucket/x?secret=1",
        "s3://bucket/x#secret",
        "s3://bucket/../x",
        "s3://bucket//x",
        "s3://Bucket/x",
        "s3:///x",
        "s3://bucket:80/x",
        "s3://bucket/ä",
        "s3://[/x",
        "s3://bucket/" + "x" * 600,
    ],
)
def test_what_names_no_place_in_a_store_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--guard") as refused:
        parse_guard(text)
    assert "secret" not in str(refused.value)


def test_a_place_in_a_store_is_written_as_it_is_read() -> None:
    for text in ("s3://bucket/a/b", "gs://bucket", "az://container/x"):
        assert str(parse_guard(text)) == text
    assert parse_guard("s3://bucket/a/") == StoreUrl("s3", "bucket", "a")
    assert parse_guard("some/folder") == Path("some/folder")


def test_stores_of_every_kind_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigurationError, match="lacks AZURE_STORAGE_ACCOUNT_NAME"):
        StoreClient(StoreUrl("az", "container", ""))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "no base64 !")
    with pytest.raises(ConfigurationError, match="no usable credentials for Azure"):
        StoreClient(StoreUrl("az", "container", ""))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "YWJj")
    StoreClient(StoreUrl("az", "container", "x"))
    StoreClient(StoreUrl("gs", "bucket", "x"))


def test_without_the_library_it_is_said_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"provlog-server\[object-store\]"):
        StoreClient(PLACE)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Instance, Service]]:
    """Make an instance whose guard is in the stub, and open its service."""
    instance = await make_instance(folder, guard=PLACE)
    async with Service.of(instance) as service:
        yield instance, service
