"""The embedded store: what is insert-only, what is flushed, what is derived."""

from pathlib import Path

import apsw
import pytest

from provlog.merkle.edge import RightEdge, edge_shape
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.tiles import Tile
from provlog.server.storage.base import (
    AlreadyExistsError,
    Extension,
    Head,
    LogRecord,
    NewEntry,
    SourceRecord,
    StorageError,
)
from provlog.server.storage.sqlite import SqliteStorage, create_database
from provlog.server.tree import TileCache, Tree
from support.naive_tree import NaiveTree
from support.services import fill, make_instance, running

FORBIDDEN = {
    "entries": ("leaf", "x'7b7d'"),
    "tiles": ("root", "zeroblob(32)"),
    "keys": ("idx", "0"),
}


@pytest.mark.parametrize("table", FORBIDDEN)
async def test_entries_tiles_and_keys_are_insert_only(
    tmp_path: Path, table: str
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await fill(service, log, 300)
        storage = service.storage
        assert isinstance(storage, SqliteStorage)
        column, value = FORBIDDEN[table]
        columns = ", ".join(
            name
            for _, name, *_ in storage._writer.execute(f"PRAGMA table_info({table})")
        )
        for statement in (
            f"UPDATE {table} SET {column} = {value}",
            f"DELETE FROM {table}",
            f"INSERT OR REPLACE INTO {table} SELECT {columns} FROM {table} LIMIT 1",
            f"REPLACE INTO {table} SELECT {columns} FROM {table} LIMIT 1",
        ):
            with pytest.raises(apsw.ConstraintError, match="insert-only"):
                storage._writer.execute(statement)


FINAL = (
    "UPDATE logs SET origin = 'example.com/x'",
    "DELETE FROM logs",
    "INSERT OR REPLACE INTO logs SELECT * FROM logs",
    "INSERT OR REPLACE INTO heads SELECT log, 0, root, 0, 1, 0, 0 FROM heads",
    "UPDATE sources SET ns = 'urn:y'",
    "DELETE FROM sources",
    "INSERT OR REPLACE INTO sources SELECT log, uri, 'y', NULL, idx FROM sources",
    "UPDATE tokens SET roles = '[]'",
    "UPDATE tokens SET revoked = 1, rate = 5",
    "UPDATE tokens SET revoked = NULL",
    "DELETE FROM tokens",
    "INSERT OR REPLACE INTO tokens SELECT * FROM tokens",
    "UPDATE private SET disclosures = ''",
    "UPDATE openings SET nonce = zeroblob(16)",
)


@pytest.mark.parametrize("statement", FINAL)
async def test_what_is_registered_stays_as_it_is_from_any_connection(
    tmp_path: Path, statement: str
) -> None:
    instance = await make_instance(tmp_path)
    async with running(instance) as (service, log):
        await fill(service, log, 2)
        await service.source(log, "urn:x", "test")
    # Another program's connection has none of our settings.
    connection = apsw.Connection(str(instance.database))
    before = list(connection.execute("SELECT * FROM logs, heads, tokens"))
    with pytest.raises(apsw.ConstraintError):
        connection.execute(statement)
    assert list(connection.execute("SELECT * FROM logs, heads, tokens")) == before
    connection.execute("UPDATE tokens SET revoked = 5")
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "size = size - 1",
        "root = zeroblob(32)",
        "events = events - 1",
        "recorded = recorded - 1",
        "log = log + 1",
        "size = size + 1, events = size + 2",
    ],
)
async def test_a_head_only_grows(tmp_path: Path, change: str) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await fill(service, log, 2)
        assert isinstance(service.storage, SqliteStorage)
        with pytest.raises(apsw.ConstraintError):
            service.storage._writer.execute(f"UPDATE heads SET {change}")
        with pytest.raises(apsw.ConstraintError):
            service.storage._writer.execute("DELETE FROM heads")


async def test_a_commit_is_flushed_and_what_is_deleted_is_overwritten(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    storage = SqliteStorage(instance.database)
    for connection in (storage._writer, storage._connection):
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("secure_delete") == 1
        assert connection.pragma("recursive_triggers") == 1
    await storage.close()


def test_a_database_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "provlog.db"
    create_database(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AlreadyExistsError):
        create_database(path)


async def test_a_transaction_that_is_left_changes_nothing(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    storage = SqliteStorage(instance.database)
    log = await storage.log("main")
    assert log is not None
    before = await storage.head(log.id)
    async with storage.transaction() as transaction:
        head = Head(2, bytes(32), 0, 1, before.recorded)
        entry = NewEntry(1, b"{}", None, None, None)
        source = SourceRecord("urn:x", "urn:x", None)
        await transaction.extend(Extension(log.id, head, [entry], [], [(1, source)]))
        assert await transaction.head(log.id) == head
        assert await storage.head(log.id) == before
    assert await storage.head(log.id) == before
    assert await storage.source(log.id, "urn:x") is None
    with pytest.raises(StorageError, match="1 rows of entries are missing"):
        await storage.leaves(log.id, 0, 2)
    await storage.close()


async def test_a_barrier_returns_the_head_and_leaves_it(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    storage = SqliteStorage(instance.database)
    log = await storage.log("main")
    assert log is not None
    assert await storage.barrier(log.id) == await storage.head(log.id)
    marks = "SELECT barrier FROM heads"
    [(mark,)] = storage._connection.execute(marks)
    await storage.barrier(log.id)
    assert list(storage._connection.execute(marks)) == [(mark + 1,)]
    await storage.close()


async def grown(path: Path, sizes: list[int]) -> tuple[SqliteStorage, int, NaiveTree]:
    """Return a store with a log of small leaves, written in steps of `sizes`."""
    create_database(path)
    storage = SqliteStorage(path)
    edge = RightEdge.empty()
    leaves: list[bytes] = []
    async with storage.transaction() as transaction:
        record = LogRecord(0, "big", "example.com/big", "key", False, "now")
        log = await transaction.create_log(record)
        for size in sizes:
            new = [b"%08d" % index for index in range(edge.size, size)]
            growth = edge.grow([leaf_hash(leaf) for leaf in new])
            entries = [
                NewEntry(index, leaf, None, None, None)
                for index, leaf in enumerate(new, edge.size)
            ]
            head = Head(size, growth.root, 0, 1, 0)
            await transaction.extend(Extension(log, head, entries, growth.tiles))
            edge, leaves = growth.edge, leaves + new
        await transaction.commit()
    return storage, log, NaiveTree([leaf_hash(leaf) for leaf in leaves])


async def test_tiles_of_every_size_and_level_are_stored_or_derived(
    tmp_path: Path,
) -> None:
    # Past 65,536 leaves there are full tiles of level 1 and a partial one of level 2.
    size = 66_000
    storage, log, naive = await grown(tmp_path / "big.db", [1, 255, 300, 65_535, size])
    tree = Tree(storage, log, TileCache(8))
    for at in (1, 255, 256, 257, 300, 65_535, 65_536, 65_537, size):
        assert await tree.root(at) == naive.root(at)
        edge = await tree.edge(at)
        assert edge.root() == naive.root(at)
        for level, width in enumerate(edge_shape(at)):
            if not width:
                continue
            index = at >> 8 * (level + 1)
            data = await tree.tile(Tile(level, index, width))
            span = 256**level
            first = index * 256 * span
            assert data == b"".join(
                naive.mth(first + place * span, first + (place + 1) * span)
                for place in range(width)
            )
    with pytest.raises(StorageError):
        await tree.tile(Tile(0, size // 256))
    await storage.close()
