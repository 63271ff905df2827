"""`provlog-server fsck` and the self-check on PostgreSQL: what they find, and say."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provlog.server.instance import Instance, record_instance
from provlog.server.metrics import Metrics
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.selfcheck.passes import Pass
from provlog.server.selfcheck.postgres_reader import PostgresReader
from provlog.server.selfcheck.postgres_schema import expected_schema
from provlog.server.service import Service
from provlog.server.storage.postgres.schema import create_database, migrate_database
from support.checked_database import CheckedDatabase
from support.checked_instance import ENTRIES, check, make_checked_instance
from support.postgres import Cluster
from support.selfchecks import until
from support.servers import run_server_command
from support.services import fill

pytestmark = pytest.mark.needs("postgres")

ROOT = Path(__file__).parents[2]
PARTITION = ROOT / "deploy" / "postgres" / "partition-by-log.sql"
KEY = "ab" * 32
SCHEMA = {
    "ALTER TABLE private DISABLE TRIGGER private_stay": {
        "trigger private.private_stay"
    },
    "ALTER TABLE tiles ENABLE REPLICA TRIGGER tiles_stay": {"trigger tiles.tiles_stay"},
    "DROP TRIGGER keys_stay ON keys": {"trigger keys.keys_stay"},
    "ALTER TABLE heads DISABLE TRIGGER ALL": {
        'trigger heads of heads_log_fkey, "RI_FKey_check_ins"',
        'trigger heads of heads_log_fkey, "RI_FKey_check_upd"',
        "trigger heads.heads_only_grow",
        "trigger heads.heads_stay",
    },
    "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
    " SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'": {
        "function refuse()"
    },
    "ALTER FUNCTION only_grow() SECURITY DEFINER": {"function only_grow()"},
    "ALTER TABLE openings SET UNLOGGED": {"table openings"},
    "ALTER TABLE entries ENABLE ROW LEVEL SECURITY": {"table entries"},
    "CREATE POLICY few ON entries USING (idx < 9)": {"policy entries.few"},
    "CREATE RULE lose AS ON INSERT TO keys DO INSTEAD NOTHING": {"rule keys.lose"},
    "ALTER TABLE tiles DROP CONSTRAINT tiles_root_check": {
        "constraint tiles.tiles_root_check"
    },
    "ALTER TABLE tiles DROP CONSTRAINT tiles_hashes_check; ALTER TABLE tiles ADD"
    " CONSTRAINT tiles_hashes_check CHECK (length(hashes) = 8192) NOT VALID": {
        "constraint tiles.tiles_hashes_check"
    },
    "ALTER TABLE private ALTER disclosures DROP NOT NULL": {
        "column private.disclosures"
    },
    "ALTER TABLE sources ADD more text": {"column sources.more"},
    "CREATE INDEX more ON sources (idx)": {"index sources.more"},
    "UPDATE pg_index SET indisvalid = false"
    " WHERE indexrelid = 'provlog.tokens_pkey'::regclass": {"index tokens.tokens_pkey"},
    "CREATE VIEW other AS SELECT 1 AS one": {
        "relation of kind v other",
        "column other.one",
        'rule other."_RETURN"',
    },
    "CREATE TABLE public.child () INHERITS (provlog.cursors)": {
        "inheritance provlog.cursors, public.child"
    },
    "CREATE DOMAIN word AS text": {"type provlog.word"},
}
"""Changes of the schema, each with the names that have to be told then."""

DAMAGE = {
    "DELETE FROM entries WHERE log = 1 AND idx = 5": (
        "log main, entries 5: the entry is missing"
    ),
    "INSERT INTO tiles SELECT log, 0, 1, root, hashes FROM tiles": (
        "log main, tiles level 0, outside of 0 to 0: 1 rows that no entry of the log"
        " has"
    ),
    "DELETE FROM private WHERE log = 1 AND idx = 9": (
        "log main, private 9: the row is gone, and no erasure was logged after the"
        " entry"
    ),
    "DELETE FROM openings WHERE log = 1 AND idx = 200": (
        "log main, openings 200: the openings of the tags are missing"
    ),
    f"INSERT INTO keys VALUES (1, '\\x{KEY}', 20)": (
        f"log main, keys {KEY}, id: not the id of entry 20, at which it points"
    ),
    "INSERT INTO private VALUES (99, 0, '', NULL, NULL)": (
        "private of log 99, log: there is no such log"
    ),
    "INSERT INTO cursors SELECT 77, source, position, updated, digest FROM cursors"
    " WHERE log = 1": "cursors of log 77, log: there is no such log",
}

CELLS = {
    "logs": "created",
    "heads": "root",
    "entries": "leaf",
    "tiles": "root",
    "keys": "idx",
    "private": "disclosures",
    "openings": "nonce",
    "sources": "ns",
    "tokens": "roles",
    "cursors": "position",
}
"""A column of each table that is not part of its key."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster that these tests may stop and damage."""
    with Cluster.create() as made:
        yield made


@pytest.fixture(scope="module")
def role(cluster: Cluster) -> str:
    """Return a role that may serve, and show its password for it."""
    return cluster.create_role("server", "open sesame")


@pytest.fixture(scope="module")
def clean(
    cluster: Cluster, role: str, tmp_path_factory: pytest.TempPathFactory
) -> Instance:
    """Return an instance that nobody is connected to: it can be copied."""
    url = cluster.dsn(cluster.create_database())
    folder = tmp_path_factory.mktemp("clean")
    return asyncio.run(make_checked_instance(folder, url, role))


@pytest.fixture
def copied(cluster: Cluster, clean: Instance) -> Iterator[CheckedDatabase]:
    """Yield a copy of the clean database, to be damaged."""
    instance = copy_of(clean, cluster)
    with CheckedDatabase(instance) as made:
        yield made
    cluster.drop_database(name_of(instance))


def copy_of(instance: Instance, cluster: Cluster) -> Instance:
    name = cluster.create_database(template=name_of(instance))
    return replace(instance, database_url=cluster.dsn(name))


def name_of(instance: Instance) -> str:
    assert instance.database_url is not None
    return urlsplit(instance.database_url).path[1:]


def seen_by(cluster: Cluster, instance: Instance, role: str, word: str) -> Instance:
    """Return an instance as a role sees it."""
    url = cluster.dsn(name_of(instance), role, word)
    return replace(instance, database_url=url)


def texts(instance: Instance) -> list[str]:
    return [finding.text() for finding in check(instance)]


def schema_found(url: str) -> list[str]:
    with PostgresReader(url) as reader:
        return reader.schema()


def test_a_role_that_may_only_serve_can_check_everything(
    cluster: Cluster, clean: Instance, role: str
) -> None:
    run = Pass(seen_by(cluster, clean, role, "open sesame"), thorough=True)
    assert list(run.steps())
    assert run.findings.kept == []
    assert run.sizes["main"] == ENTRIES
    assert [note for note in run.notes if "the database role" in note] == []
    assert any("the extension amcheck" in note for note in run.notes)


def test_more_rights_than_needed_are_noted(
    cluster: Cluster, copied: CheckedDatabase, role: str
) -> None:
    run = Pass(copied.instance, thorough=True)
    assert list(run.steps())
    assert any("the database role postgres is a superuser" in n for n in run.notes)
    copied.execute(f"GRANT UPDATE (leaf) ON entries TO {role}")
    run = Pass(seen_by(cluster, copied.instance, role, "open sesame"), thorough=True)
    assert list(run.steps())
    assert run.findings.kept == []
    assert any(f"{role} may change and delete entries" in note for note in run.notes)


def test_each_damage_is_said_where_it_is(copied: CheckedDatabase) -> None:
    for statement in DAMAGE:
        copied.execute(statement)
    found = texts(copied.instance)
    assert [text for text in DAMAGE.values() if text not in found] == []


@pytest.mark.parametrize("value", ["NULL", "'\\xff00'::bytea"])
def test_what_no_column_takes_is_found_and_never_a_crash(
    copied: CheckedDatabase, value: str
) -> None:
    copied.allow_anything()
    texts_alone = value != "NULL"
    changed = set()
    for table, column in CELLS.items():
        if texts_alone and not copied.is_text(table, column):
            continue
        # Not of one entry: beside a leaf that cannot be read nothing is held to it.
        place = "min" if table == "entries" else "max"
        cell = f"{value}::text" if texts_alone else value
        copied.execute(
            f"ALTER TABLE {table} ALTER {column} DROP NOT NULL;"
            f"UPDATE {table} SET {column} = {cell}"
            f" WHERE ctid = (SELECT {place}(ctid) FROM {table})"
        )
        changed.add(table)
    assert changed <= {finding.table for finding in check(copied.instance)}
    assert len(changed) >= 5


def test_a_head_that_does_not_fit_the_entries_is_found(
    copied: CheckedDatabase,
) -> None:
    copied.execute(f"UPDATE heads SET size = {ENTRIES - 1} WHERE log = 1")
    expected = (
        f"log main, entries {ENTRIES - 1} and above: 1 rows that no entry of the log"
        " has"
    )
    assert expected in texts(copied.instance)
    copied.execute(f"UPDATE heads SET size = {2**62} WHERE log = 1")
    expected = f"log main, heads, size: {2**62}, but the entries end at {ENTRIES}"
    assert expected in texts(copied.instance)


def test_every_change_of_the_schema_is_named(copied: CheckedDatabase) -> None:
    for statement in SCHEMA:
        copied.execute(statement)
    assert copied.instance.database_url is not None
    found = schema_found(copied.instance.database_url)
    assert set(found) == set().union(*SCHEMA.values())
    assert found == sorted(found)


def test_partitions_are_checked_one_by_one(
    cluster: Cluster, copied: CheckedDatabase
) -> None:
    url = copied.instance.database_url
    assert url is not None
    cluster.execute(PARTITION.read_text(), name_of(copied.instance))
    assert texts(copied.instance) == []
    copied.execute("ALTER TABLE entries_3 DISABLE TRIGGER entries_stay")
    copied.execute("DROP TRIGGER keys_stay ON keys_7")
    copied.execute("ALTER TABLE private_15 SET UNLOGGED")
    assert schema_found(url) == [
        "table private",
        "trigger entries.entries_stay",
        "trigger keys.keys_stay",
    ]
    copied.execute("ALTER TABLE openings DETACH PARTITION openings_2")
    assert "table openings_2" in schema_found(url)


def test_rows_that_are_hidden_from_the_role_are_findings(
    cluster: Cluster, copied: CheckedDatabase, role: str
) -> None:
    copied.execute(
        "ALTER TABLE entries ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY most ON entries USING (idx <> 9)"
    )
    found = texts(seen_by(cluster, copied.instance, role, "open sesame"))
    assert "schema table entries: not as this program makes it" in found
    assert "log main, entries 9: the entry is missing" in found


def test_tables_that_cannot_be_read_as_ours_are_findings(
    copied: CheckedDatabase,
) -> None:
    copied.execute("DROP TABLE cursors")
    found = check(copied.instance)
    assert {"table cursors", "trigger cursors.cursors_keep"} <= {f.key for f in found}
    assert [f.what for f in found if f.table == "database"][-1:] == [
        "PostgreSQL: UndefinedTableError, 42P01"
    ]


async def test_the_schema_from_scratch_is_the_one_by_migrations_and_as_written_down(
    postgres: Cluster, tmp_path: Path
) -> None:
    for version in (1, 2):
        url = postgres.dsn(postgres.create_database())
        await create_database(url, version=version)
        await migrate_database(url)
        described = await asyncio.to_thread(description, url)
        (tmp_path / "postgres-schema.txt").write_text(described)
        assert described == expected_schema(), f"see {tmp_path}"


def description(url: str) -> str:
    with PostgresReader(url) as reader:
        return reader.description()


def test_keys_that_stand_in_two_rows_are_found_without_an_index(
    copied: CheckedDatabase,
) -> None:
    copied.execute("ALTER TABLE keys DROP CONSTRAINT keys_pkey")
    copied.execute("INSERT INTO keys SELECT * FROM keys LIMIT 1")
    expected = "database: keys: 1 keys (log, id) stand in more than one row"
    assert expected in texts(copied.instance)


def test_amcheck_finds_a_row_that_its_index_does_not_have(
    cluster: Cluster, copied: CheckedDatabase, role: str
) -> None:
    if not copied.rows("SELECT FROM pg_available_extensions WHERE name = 'amcheck'"):
        pytest.skip("postgres: without its extension amcheck")
    cluster.execute(as_documented(role), name_of(copied.instance))
    run = Pass(seen_by(cluster, copied.instance, role, "open sesame"), thorough=True)
    assert list(run.steps())
    assert run.findings.kept == []
    assert not any("not looked at" in note for note in run.notes)
    ready = (
        "UPDATE pg_index SET indisready = {}"
        " WHERE indexrelid = 'provlog.private_pkey'::regclass"
    )
    copied.execute(ready.format("false"))
    copied.execute("INSERT INTO private VALUES (1, 7, '', NULL, NULL)")
    copied.execute(ready.format("true"))
    found = [text for text in texts(copied.instance) if text.startswith("database")]
    assert any("private_pkey" in text and "lacks matching" in text for text in found)


def as_documented(role: str) -> str:
    """Return how docs/operations.md lets a role run amcheck."""
    page = (ROOT / "docs" / "operations.md").read_text()
    _, _, rest = page.partition("```sql\nCREATE EXTENSION amcheck")
    block, _, _ = rest.partition("```")
    return f"CREATE EXTENSION amcheck{block}".replace("provlog_server", role)


def test_damage_to_files_is_found_and_never_a_crash(
    cluster: Cluster, clean: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    copied = copy_of(clean, cluster)
    with CheckedDatabase(copied) as database:
        entries, keys, tiles = (
            cluster.data / database.rows(f"SELECT {path}")[0][0]
            for path in (
                "pg_relation_filepath('entries')",
                "pg_relation_filepath('keys')",
                "pg_relation_filepath(reltoastrelid) FROM pg_class"
                " WHERE oid = 'tiles'::regclass",
            )
        )
    cluster.stop()
    with entries.open("r+b") as file:
        file.write(b"\xff" * 512)
    keys.unlink()
    tiles.write_bytes(b"")
    cluster.start()
    found = texts(copied)
    for place, state in (
        ("log main, entries 0: the rows of entries 0 to 255: ", "XX001"),
        ("log main, tiles 0/0: ", "XX001"),
        ("log main, keys: the ids of entries ", "58P01"),
        ("database: entries: ", "XX001"),
        ("database: keys: ", "58P01"),
    ):
        assert any(t.startswith(place) and state in t for t in found), (place, found)


async def test_it_runs_beside_a_server_that_goes_on_writing(
    copied: CheckedDatabase, tmp_path: Path
) -> None:
    guard = shutil.copytree(copied.instance.guard, tmp_path / "guard")
    instance = replace(copied.instance, guard=guard)
    async with Service.of(instance) as service:
        log = await service.log("other")
        assert log is not None
        checking = asyncio.create_task(asyncio.to_thread(check, instance))
        rounds = 0
        while not checking.done():
            await fill(service, log, 3, prefix=f"beside-{rounds}")
            rounds += 1
        assert await checking == []
        assert rounds > 1
    assert await asyncio.to_thread(check, instance) == []


def test_the_command_tells_what_it_found_and_no_password(
    cluster: Cluster,
    copied: CheckedDatabase,
    role: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = seen_by(cluster, copied.instance, role, "open sesame")
    (tmp_path / "keys").symlink_to(instance.keys)
    instance = replace(instance, folder=tmp_path)
    record_instance(instance)
    copied.execute("UPDATE sources SET ns = 'x' WHERE connector = 'okta'")
    monkeypatch.setenv("PGPASSWORD", "open sesame")
    done = run_server_command("fsck", "--dir", instance.folder, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["logs"]["main"]) == (1, ENTRIES)
    assert "sources" in [finding["table"] for finding in answer["findings"]]
    monkeypatch.setenv("PGPASSWORD", "close sesame")
    done = run_server_command("fsck", "--dir", instance.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "refuses the user, or the password" in done.stderr
    assert "sesame" not in done.stderr


async def test_the_background_check_outlives_its_database(
    cluster: Cluster, clean: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    selfcheck = SelfCheck(clean, metrics, rate=1e6, pause=0.02)
    selfcheck.start()
    try:
        await until(metrics, "passes_total", 1)
        await asyncio.to_thread(cluster.stop, "immediate")
        await until(metrics, "failures_total", 2)
        assert selfcheck.trouble() is None, caplog.text
        await asyncio.to_thread(cluster.start)
        await until(metrics, "passes_total", 3)
        assert selfcheck.trouble() is None, caplog.text
    finally:
        await asyncio.to_thread(selfcheck.stop)
