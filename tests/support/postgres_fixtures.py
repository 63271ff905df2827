"""Fixtures for tests that need PostgreSQL: a cluster a worker, a database a test."""

import os
from collections.abc import Iterator

import pytest

from support.postgres import Cluster
from support.postgres_binaries import server_binaries

REQUIRED = "PROVLOG_TEST_REQUIRE_POSTGRES"
_ABSENT = "postgres: no server binaries found"


def lacking_postgres() -> str | None:
    """Return why there is no PostgreSQL for tests, or None if there is.

    Where PROVLOG_TEST_REQUIRE_POSTGRES is 1, its absence is a failure: a run that
    promises to have tried it must not pass by skipping.
    """
    if server_binaries() is not None:
        return None
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{_ABSENT}, and {REQUIRED}=1", pytrace=False)
    return _ABSENT


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Yield a cluster that runs, made when the first test of a worker needs it.

    Shared by tests: whoever stops, kills or reconfigures one makes one of their own
    (`Cluster.create`).
    """
    if reason := lacking_postgres():
        pytest.skip(reason)
    with Cluster.create() as cluster:
        yield cluster


@pytest.fixture
def postgres_database(postgres: Cluster) -> Iterator[str]:
    """Yield the name of a new, empty database of `postgres`, dropped after the test."""
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def postgres_url(postgres: Cluster, postgres_database: str) -> str:
    """Return the superuser's URL of `postgres_database`."""
    return postgres.dsn(postgres_database)
