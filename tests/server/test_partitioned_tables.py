"""The plan of docs/scaling.md: the large tables, spread over partitions by log."""

from pathlib import Path

import asyncpg
import pytest

from provlog.server.batch import Repeated
from provlog.server.initialise import Place, initialise
from provlog.server.service import Service
from support.postgres import Cluster
from support.services import SOURCE, append, draft, fill, now_ms

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres" / "partition-by-log.sql"
SPREAD = ("entries", "tiles", "keys", "private", "openings")


async def test_a_log_goes_on_in_partitions_of_its_tables(
    tmp_path: Path, postgres: Cluster, postgres_database: str
) -> None:
    url = postgres.dsn(postgres_database)
    made = await initialise(
        Place(tmp_path / "data", tmp_path / "guard", url),
        origin="log.example.com/main",
        sources=(SOURCE,),
        now=now_ms(),
    )
    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        await fill(service, log, 300)

    postgres.execute(SCRIPT.read_text(), postgres_database)

    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        assert await append(service, log, draft(log, "fill-7")) == [Repeated(8)]
        await fill(service, log, 300, prefix="more")
        assert log.released.size == 601
        assert await log.tree.root(601) == log.released.root
    for table in SPREAD:
        kind = f"SELECT relkind FROM pg_class WHERE oid = 'provlog.{table}'::regclass"
        assert postgres.execute(kind, postgres_database) == "p"


@pytest.mark.parametrize("table", SPREAD)
async def test_partitions_cannot_be_changed_either(
    tmp_path: Path, postgres: Cluster, postgres_database: str, table: str
) -> None:
    url = postgres.dsn(postgres_database)
    await initialise(
        Place(tmp_path / "data", tmp_path / "guard", url),
        origin="log.example.com/main",
        sources=(SOURCE,),
        now=now_ms(),
    )
    postgres.execute(SCRIPT.read_text(), postgres_database)
    connection = await asyncpg.connect(url)
    try:
        for name in (table, f"{table}_3"):
            for change in (f"UPDATE provlog.{name} SET log = 2", "TRUNCATE"):
                statement = change if " " in change else f"{change} provlog.{name}"
                with pytest.raises(asyncpg.RestrictViolationError):
                    await connection.execute(statement)
    finally:
        await connection.close()
