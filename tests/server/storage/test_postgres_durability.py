"""What a change of PostgreSQL's configuration must not take away from commits."""

from collections.abc import Iterator

import pytest

from provlog.server.storage.postgres.connecting import fetch
from provlog.server.storage.postgres.storage import PostgresStorage
from support.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def weakened(postgres: Cluster) -> Iterator[Cluster]:
    yield postgres
    postgres.configure(synchronous_commit="on")


@pytest.mark.parametrize("weak", ["off", "local", "remote_write"])
async def test_a_reloaded_configuration_weakens_no_session_that_is_open(
    postgres_tables: str, weakened: Cluster, weak: str
) -> None:
    storage = PostgresStorage(postgres_tables)
    await storage.open()
    try:
        async with storage._connection(storage._writers) as connection:
            weakened.configure(synchronous_commit=weak)
            # Sessions read the configuration anew between two statements.
            weakened.await_answer("SHOW synchronous_commit", weak)
            for _ in range(20):
                [(mode,)] = await fetch(
                    connection,
                    "SELECT current_setting('synchronous_commit') FROM pg_sleep(0.01)",
                )
                assert mode == "on"
    finally:
        await storage.close()


async def test_a_stronger_configuration_is_kept(
    postgres_tables: str, weakened: Cluster
) -> None:
    weakened.configure(synchronous_commit="remote_apply")
    weakened.await_answer("SHOW synchronous_commit", "remote_apply")
    storage = PostgresStorage(postgres_tables)
    await storage.open()
    try:
        async with storage._connection(storage._writers) as connection:
            [(mode,)] = await fetch(connection, "SHOW synchronous_commit")
            assert mode == "remote_apply"
    finally:
        await storage.close()
