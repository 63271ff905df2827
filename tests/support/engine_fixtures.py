"""Fixtures of the storages that one suite is run against."""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.server.storage.postgres.schema import create_database
from support.engines import (
    ENGINES,
    Engine,
    memory_engine,
    postgres_engine,
    sqlite_engine,
)
from support.homes import Home, make_home, make_memory_home
from support.postgres import Cluster

_NEEDS = {"postgres": pytest.mark.needs("postgres")}


def engine_params() -> list[object]:
    """Return every engine's name, marked with what it needs."""
    return [pytest.param(name, marks=_NEEDS.get(name, ())) for name in ENGINES]


@pytest.fixture(scope="session")
def postgres_tables(postgres: Cluster) -> str:
    """Return the superuser's URL of a database that has its tables, one a worker."""
    url = postgres.dsn(postgres.create_database())
    with asyncio.Runner() as runner:
        runner.run(create_database(url))
    return url


@pytest.fixture(params=engine_params())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Return each engine in turn. PostgreSQL's holds logs of other tests, too."""
    if request.param == "sqlite":
        return sqlite_engine(tmp_path)
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_tables")
        assert isinstance(url, str)
        return postgres_engine(url)
    return memory_engine()


@pytest_asyncio.fixture(params=engine_params())
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Return a new instance on each engine in turn."""
    if request.param == "memory":
        return await make_memory_home(tmp_path)
    if request.param == "postgres":
        return await make_home(tmp_path, request.getfixturevalue("postgres_url"))
    return await make_home(tmp_path)
