"""Two primaries that both take writes, and one guard: one history is signed at most."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from provlog.server.batch import Appended
from provlog.server.clock import Clock
from provlog.server.errors import HaltedError, UnavailableError
from provlog.server.guard import FileGuard, Guard, ReleasedHead
from provlog.server.guard.object_store import ObjectGuard
from provlog.server.guard.store_client import StoreClient
from provlog.server.guard.store_url import StoreUrl
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import StorageError
from provlog.server.storage.postgres.storage import PostgresStorage
from provlog.server.storage.postgres.transaction import PostgresTransaction
from provlog.server.tree import TileCache, Tree
from support.failovers import Pair
from support.services import ORIGIN, append, draft, now_ms

pytestmark = pytest.mark.needs("postgres")

REFUSALS = (UnavailableError, StorageError)


class SlowGuard(FileGuard):
    """A guard that lets whoever is about to release a head wait until it may go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.asked = asyncio.Event()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let them wait meanwhile."""
        self.go_on.clear()
        self.asked.clear()
        try:
            yield
        finally:
            self.go_on.set()

    async def recall(self, origin: str) -> ReleasedHead | None:
        self.asked.set()
        await self.go_on.wait()
        return await super().recall(origin)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(synchronous=False) as made:
        yield made


@pytest.fixture
async def instance(tmp_path: Path, pair: Pair) -> Instance:
    place = Place(tmp_path / "data", tmp_path / "guard", pair.primary.dsn())
    made = await initialise(place, origin=ORIGIN, sources=("*",), now=now_ms())
    return made.instance


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> set[ReleasedHead]:
    """Return what grows by each head that is signed, by whatever server."""
    heads = set()
    sign = Log.note

    def note(log: Log, head: ReleasedHead) -> str:
        heads.add(head)
        return sign(log, head)

    monkeypatch.setattr(Log, "note", note)
    return heads


@asynccontextmanager
async def serving(
    instance: Instance, url: str, guard: Guard | None = None
) -> AsyncIterator[tuple[Service, Log]]:
    """Serve the log from a database, with a guard that all servers share."""
    service = Service(
        PostgresStorage(url),
        Keyring(instance.keys),
        guard or FileGuard(instance.guard),
        Clock(),
    )
    async with service:
        log = await service.log("main")
        assert log is not None
        yield service, log


async def holds(url: str, heads: set[ReleasedHead]) -> bool:
    """Tell whether a database's tree went through all of these heads."""
    storage = PostgresStorage(url)
    await storage.open()
    try:
        [record] = await storage.logs()
        size = (await storage.head(record.id)).size
        tree = Tree(storage, record.id, TileCache(0))
        return all(
            [
                head.size <= size and await tree.root(head.size) == head.root
                for head in heads
            ]
        )
    finally:
        await storage.close()


@pytest.mark.parametrize(
    ("late", "others"), [(1, 2), (3, 2), (1, 0)], ids=["below", "above", "first"]
)
async def test_a_commit_whose_release_is_late_does_not_fork_the_log(
    pair: Pair,
    instance: Instance,
    signed: set[ReleasedHead],
    late: int,
    others: int,
) -> None:
    guard = SlowGuard(instance.guard)
    async with serving(instance, pair.url, guard) as (service, log):
        await append(service, log, draft(log, "both"))
        await pair.lose_track()
        async with AsyncExitStack() as stack:
            with guard.holding():
                drafts = [draft(log, f"late-{number}") for number in range(late)]
                committed = asyncio.create_task(service.sequencer.submit(log, drafts))
                await guard.asked.wait()
                await asyncio.to_thread(pair.standby.promote)
                other, same = await stack.enter_async_context(
                    serving(instance, pair.standby.dsn())
                )
                for number in range(others):
                    await append(other, same, draft(same, f"other-{number}"))
                await asyncio.to_thread(pair.primary.kill)
            [outcome] = await asyncio.gather(committed, return_exceptions=True)
            if others:
                assert isinstance(outcome, UnavailableError)
                await append(other, same, draft(same, "after"))
                # The old primary is dead: this server goes on with the others.
                await append(service, log, draft(log, "again"))
                assert await holds(pair.standby.dsn(), signed)
            else:
                # The first one wins, and the other one may not go on.
                assert not isinstance(outcome, BaseException)
                with pytest.raises(HaltedError):
                    await append(other, same, draft(same, "after"))
                with pytest.raises(HaltedError):
                    await append(service, log, draft(log, "again"))
                pair.primary.start()
                assert await holds(pair.primary.dsn(), signed)


async def test_a_head_of_another_server_that_was_lost_is_not_released(
    pair: Pair,
    instance: Instance,
    signed: set[ReleasedHead],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = SlowGuard(instance.guard)
    async with (
        serving(instance, pair.url, guard) as (slow, same),
        serving(instance, pair.url) as (service, log),
    ):
        await append(slow, same, draft(same, "both"))
        await log.refresh()
        await pair.lose_track()
        with guard.holding():
            held = asyncio.create_task(append(slow, same, draft(same, "lost")))
            await guard.asked.wait()
            commit = PostgresTransaction.commit

            async def fail_over_and_commit(transaction: PostgresTransaction) -> None:
                monkeypatch.setattr(PostgresTransaction, "commit", commit)
                await pair.fail_over()
                await commit(transaction)

            monkeypatch.setattr(PostgresTransaction, "commit", fail_over_and_commit)
            # Found to be there already, by the head that the other server committed.
            with pytest.raises(UnavailableError, match="send the same events again"):
                await append(service, log, draft(log, "lost"))
            assert "a bug" not in caplog.text
            [outcome] = await append(service, log, draft(log, "lost"))
            assert isinstance(outcome, Appended)
        [late] = await asyncio.gather(held, return_exceptions=True)
        assert isinstance(late, UnavailableError)
        assert await holds(pair.standby.dsn(), signed)


@pytest.mark.needs("object-store")
@pytest.mark.parametrize("kept", ["on one machine", "in an object store"])
async def test_two_servers_on_two_primaries_sign_one_history(
    pair: Pair,
    instance: Instance,
    signed: set[ReleasedHead],
    bucket: StoreUrl,
    kept: str,
) -> None:
    def guard() -> Guard:
        if kept == "on one machine":
            return FileGuard(instance.guard)
        return ObjectGuard(StoreClient(bucket))

    async def write(service: Service, log: Log) -> int:
        for number in range(20):
            try:
                await append(service, log, draft(log, f"{id(service)}-{number}"))
            except REFUSALS:
                return number
        return 20

    async with serving(instance, pair.primary.dsn(), guard()) as (service, log):
        await append(service, log, draft(log, "both"))
        await pair.lose_track()
        await asyncio.to_thread(pair.standby.promote)
        async with serving(instance, pair.standby.dsn(), guard()) as (other, same):
            counts = await asyncio.gather(write(service, log), write(other, same))
            assert sorted(counts) == [0, 20]
            assert [bool(log.halted), bool(same.halted)] == [not n for n in counts]
    assert len(signed) > 20
    histories = [
        await holds(cluster.dsn(), signed) for cluster in (pair.primary, pair.standby)
    ]
    assert sorted(histories) == [False, True]
