"""The clusters that tests of PostgreSQL rest on: killed, followed, promoted, gone."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from support import postgres_fixtures
from support.postgres import Cluster, dsn
from support.postgres_binaries import CHOICE, account, server_binaries
from support.postgres_fixtures import REQUIRED, lacking_postgres
from support.postgres_processes import processes_below
from support.standby import Standby

pytestmark = pytest.mark.needs("postgres")

LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster that these tests may stop and kill; each leaves it running."""
    with Cluster.create({"work_mem": "3MB"}, tcp=True) as made:
        yield made


@pytest.fixture
def url(cluster: Cluster) -> str:
    """Return the URL of a new database of `cluster`."""
    return cluster.dsn(cluster.create_database())


async def write_rows(url: str, well_under_way: asyncio.Event) -> int:
    """Insert row after row until the connection is lost; return how many are in."""
    connection = await asyncpg.connect(url)
    acknowledged = 0
    with contextlib.suppress(*LOST):
        while True:
            await connection.execute("INSERT INTO rows VALUES ($1)", acknowledged)
            acknowledged += 1
            if acknowledged == 20:
                well_under_way.set()
    return acknowledged


async def test_what_was_acknowledged_outlives_a_kill(
    cluster: Cluster, url: str
) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE rows (row bigint PRIMARY KEY)")
    under_way = asyncio.Event()
    writing = asyncio.create_task(write_rows(url, under_way))
    await under_way.wait()
    await asyncio.to_thread(cluster.kill)
    acknowledged = await writing
    assert processes_below(cluster.folder) == []
    with pytest.raises(LOST):
        await connection.fetchval("SELECT 1")
    cluster.start()
    connection = await asyncpg.connect(url)
    kept = await connection.fetchval("SELECT count(*) FROM rows")
    assert kept - acknowledged in (0, 1)  # one may have been on its way
    assert "was not properly shut down" in cluster.log_text()
    await connection.close()


async def test_a_frozen_one_answers_when_it_is_thawed(
    cluster: Cluster, url: str
) -> None:
    connection = await asyncpg.connect(url)
    cluster.freeze()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncpg.connect(url), 0.2)
    cluster.thaw()
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


def test_a_restart_keeps_the_port_and_the_settings(cluster: Cluster) -> None:
    port = cluster.dsn()
    cluster.restart()
    cluster.restart("immediate")
    assert cluster.dsn() == port
    assert cluster.execute("SHOW work_mem; SHOW fsync") == "3MB\non"


def test_a_start_that_fails_says_why(cluster: Cluster) -> None:
    cluster.stop()
    conf = cluster.data / "postgresql.conf"
    kept = conf.read_text()
    conf.write_text(kept + "no_such_setting = 1\n")
    with pytest.raises(RuntimeError, match="no_such_setting"):
        cluster.start()
    conf.write_text(kept)
    cluster.start()


async def test_a_standby_takes_over_what_was_committed(cluster: Cluster) -> None:
    with Standby.of(cluster, synchronous=True, tcp=True) as standby:
        cluster.execute("CREATE TABLE taken AS SELECT 7 AS row")
        cluster.kill()
        standby.promote()
        hosts = dsn([cluster, standby], target_session_attrs="read-write")
        connection = await asyncpg.connect(hosts)
        assert await connection.fetchval("SELECT row FROM taken") == 7
        timeline = "SELECT timeline_id FROM pg_control_checkpoint()"
        await connection.execute("CHECKPOINT")
        assert await connection.fetchval(timeline) == 2
        await connection.close()
    assert processes_below(standby.folder) == []
    assert not standby.folder.exists()
    cluster.start()
    standby.forget()


async def test_a_standby_cut_off_loses_what_came_after(cluster: Cluster) -> None:
    with Standby.of(cluster, synchronous=False) as standby:
        cluster.execute("CREATE TABLE lost AS SELECT 1 AS row")
        standby.wait_caught_up()
        standby.cut_off()
        cluster.execute("INSERT INTO lost VALUES (2)")
        assert standby.execute("SELECT count(*) FROM lost") == "1"
        standby.reconnect()
        standby.wait_caught_up()
        assert standby.execute("SELECT count(*) FROM lost") == "2"
        standby.cut_off()
        cluster.execute("INSERT INTO lost VALUES (3)")
        standby.promote()
        standby.execute("INSERT INTO lost VALUES (4)")
        assert standby.execute("SELECT row FROM lost") == "1\n2\n4"
        assert cluster.execute("SELECT row FROM lost") == "1\n2\n3"
    standby.forget()


async def test_a_role_with_a_password_has_to_show_it(
    postgres: Cluster, postgres_database: str
) -> None:
    role = postgres.create_role("owner", "right / & wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn(postgres_database, role, "wrong"))
    url = postgres.dsn(postgres_database, role, "right / & wrong")
    connection = await asyncpg.connect(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CREATE TABLE public.rows ()")
    await connection.close()


async def test_each_test_has_a_database_of_its_own(
    postgres: Cluster, postgres_url: str, postgres_database: str
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE rows ()")
    other = postgres.create_database()
    tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'rows'"
    assert postgres.execute(tables, postgres_database) == "1"
    assert postgres.execute(tables, other) == "0"
    copied = postgres.create_database(template=other)
    assert copied != other
    for name in (copied, other):
        postgres.drop_database(name)
    await connection.close()


def test_two_clusters_are_not_taken_for_one(
    postgres: Cluster, cluster: Cluster
) -> None:
    identity = "SELECT system_identifier FROM pg_control_system()"
    assert postgres.execute(identity) != cluster.execute(identity)


def test_nothing_stays_when_the_tests_are_killed() -> None:
    program = (
        "import os, signal\n"
        "from support.postgres import Cluster\n"
        "cluster = Cluster.create().start()\n"
        "print(cluster.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    folder = Path(done.stdout.strip())
    assert folder.is_absolute(), done.stderr
    deadline = time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
    assert processes_below(folder) == []


def test_programs_that_were_chosen_are_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CHOICE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        server_binaries.__wrapped__()


def test_without_programs_tests_are_skipped_unless_they_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres_fixtures, "server_binaries", lambda: None)
    monkeypatch.delenv(REQUIRED, raising=False)
    assert lacking_postgres() == "postgres: no server binaries found"
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=REQUIRED):
        lacking_postgres()


def test_it_does_not_run_as_root() -> None:
    assert account().user != 0
