"""What a witness remembers: only ever growing, shared by processes, durable first."""

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from provlog.merkle.witness_messages import origin_hash
from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import SchemaError, StorageError
from provlog.server.witness.records import Head
from provlog.server.witness.schema import create_database
from provlog.server.witness.store import WitnessStore
from provlog.server.witness.writing import Writing
from support.asked_witnesses import asked_witness
from support.witnessed_logs import ORIGIN, MemoryLog

LOG = MemoryLog()


def head(size: int, time: int = 100, root: bytes = bytes(32)) -> Head:
    return Head(ORIGIN, size, root, b"text\n\n\xe2\x80\x94 x AAAA\n", "", time)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_database(tmp_path / "witness.db")
    return tmp_path / "witness.db"


@pytest.fixture
def store(path: Path) -> Iterator[WitnessStore]:
    store = WitnessStore(path)
    yield store
    store.close()


def put(store: WitnessStore, new: Head) -> None:
    store.settle(lambda writing: writing.put(new))


def test_a_head_is_found_by_origin_and_by_hash(store: WitnessStore) -> None:
    assert store.head(ORIGIN) is None
    put(store, head(5))
    assert store.head(ORIGIN) == head(5) == store.head_by_hash(origin_hash(ORIGIN))
    assert store.head("other") is None
    assert store.sizes(9) == [(ORIGIN, 5, 100)]


@pytest.mark.parametrize(
    "other", [head(4), head(5, 99), head(5, 100, bytes([1]) * 32), head(6, 99)]
)
def test_the_database_itself_lets_a_head_only_grow(
    store: WitnessStore, other: Head
) -> None:
    put(store, head(5))
    with pytest.raises(StorageError):
        put(store, other)
    assert store.head(ORIGIN) == head(5)
    put(store, head(6, 101))


def test_the_database_itself_forgets_no_head(store: WitnessStore, path: Path) -> None:
    put(store, head(5))
    connection = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError):
        connection.execute("DELETE FROM heads")
    connection.close()


def test_what_failed_left_nothing(store: WitnessStore) -> None:
    def fail(writing: Writing) -> None:
        writing.put(head(5))
        raise LookupError

    with pytest.raises(LookupError):
        store.settle(fail)
    assert store.head(ORIGIN) is None
    put(store, head(3))


def test_of_processes_that_check_and_write_at_once_each_sees_the_last(
    path: Path,
) -> None:
    # Each has a connection of its own, as another process would.
    def count(_: int) -> None:
        store = WitnessStore(path)

        def grow(writing: Writing) -> None:
            found = writing.head(ORIGIN)
            writing.put(head(1 if found is None else found.size + 1))

        for _ in range(20):
            store.settle(grow)
        store.close()

    threads = [threading.Thread(target=count, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = WitnessStore(path)
    found = store.head(ORIGIN)
    store.close()
    assert found is not None
    assert found.size == 60


def test_a_day_s_requests_come_back_over_the_day(store: WitnessStore) -> None:
    def spend(rate: int, now: int) -> float:
        return store.settle(lambda writing: writing.spend(ORIGIN, rate, now))

    assert [spend(2, 1000) for _ in range(2)] == [0, 0]
    assert spend(2, 1000) == 43_200
    assert spend(2, 1000 + 21_600) == pytest.approx(21_600)
    assert spend(2, 500) == pytest.approx(43_200)  # the clock was set back
    assert spend(2, 1000 + 43_200) == 0
    assert [spend(2, at) for at in (10_000_000, 500)] == [0, 0]
    assert spend(2, 10_000_000) > 0  # a clock that is right again gives nothing twice


def test_a_file_is_the_owner_s_alone_and_made_once(path: Path) -> None:
    assert not stat.S_IMODE(path.stat().st_mode) & 0o077
    with pytest.raises(FileExistsError):
        create_database(path)


def test_another_s_database_is_not_opened(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="witness init"):
        WitnessStore(tmp_path / "nothing.db")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(SchemaError, match="version 99"):
        WitnessStore(path)


async def test_what_could_not_be_committed_is_not_answered(tmp_path: Path) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        store = asking.served.witness.store
        assert store._writer is not None
        store._writer.set_commit_hook(lambda: True)  # which makes every commit fail
        status, _, text = await asking.post(LOG.request(0, 5))
        assert status == 503
        assert "—" not in text
        assert store.head(ORIGIN) is None
        store._writer.set_commit_hook(None)
        assert await asking.status(LOG.request(0, 5)) == 200


async def test_nothing_is_answered_before_it_is_committed(tmp_path: Path) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        store, seen = asking.served.witness.store, list[bool]()
        other = WitnessStore(tmp_path / "witness" / "witness.db")
        assert store._writer is not None

        def commits() -> bool:
            seen.append(other.head(ORIGIN) is None)
            return False

        store._writer.set_commit_hook(commits)
        assert await asking.status(LOG.request(0, 5)) == 200
        assert seen == [True]
        assert other.head(ORIGIN) is not None
        other.close()


async def test_while_another_process_writes_it_is_waited_for(tmp_path: Path) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        holder = apsw.Connection(str(tmp_path / "witness" / "witness.db"))
        holder.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, lambda: holder.execute("ROLLBACK"))
        release.start()
        assert await asking.status(LOG.request(0, 5)) == 200
        release.join()
        holder.close()
