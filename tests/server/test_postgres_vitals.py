"""What PostgreSQL says of itself and its standbys, and to whom."""

import time
from collections.abc import Iterator

import pytest

from provlog.server.storage.base import Vitals
from provlog.server.storage.postgres.schema import create_database
from provlog.server.storage.postgres.storage import PostgresStorage
from support.postgres import Cluster
from support.standby import Standby

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster of these tests' own: others have standbys too."""
    with Cluster.create() as made:
        yield made


async def vitals(url: str) -> Vitals:
    storage = PostgresStorage(url)
    try:
        await storage.open()
        assert await storage.polled(10) == []
        return await storage.vitals()
    finally:
        await storage.close()


async def test_standbys_are_shown_to_whom_may_see_them(cluster: Cluster) -> None:
    name, role = cluster.create_database(), cluster.create_role("server")
    owner, server = cluster.dsn(name), cluster.dsn(name, role)
    await create_database(owner, grant_to=role)
    alone = await vitals(owner)
    assert alone.standbys == 0
    assert (alone.lag_bytes, alone.lag_seconds) == (None, None)
    assert alone.size is not None
    assert alone.size > 1_000_000
    assert alone.clock is not None
    assert abs(alone.clock / 1000 - time.time()) < 60
    with Standby.of(cluster, synchronous=False) as standby:
        # It tells where it is now and then.
        told = "SELECT count(replay_lsn) FROM pg_stat_replication"
        cluster.await_answer(told, "1")
        standby.freeze()
        cluster.execute("CREATE TABLE behind AS SELECT generate_series(1, 10000)")
        behind = await vitals(owner)
        standby.thaw()
        assert behind.standbys == 1
        assert behind.lag_bytes is not None
        assert behind.lag_bytes > 100_000
        # Whoever may not see them is told of none, rather than that there are none.
        strange = await vitals(server)
        assert strange.size is not None
        assert (strange.standbys, strange.lag_bytes) == (None, None)
        cluster.execute(f"GRANT pg_monitor TO {role}")
        assert (await vitals(server)).standbys == 1
