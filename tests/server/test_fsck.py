"""`provlog-server fsck`: what is missing, what is too much, and how it is told."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from provlog.merkle.edge import RightEdge
from provlog.merkle.encoding import encode_base64url, format_time
from provlog.merkle.entries import build_entry
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.tiles import Tile
from provlog.server.cli import commands
from provlog.server.cli.progress import Progress
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.instance import Instance, record_instance
from provlog.server.selfcheck.findings import MAX_KEPT, Findings
from provlog.server.selfcheck.passes import Pass
from provlog.server.selfcheck.reader import TABLES_OF_LOGS
from provlog.server.selfcheck.rows import TileRow
from provlog.server.selfcheck.sqlite_reader import SqliteReader
from provlog.server.selfcheck.tree import TreeCheck
from provlog.server.service import Service
from provlog.server.storage.base import Extension, Head, NewEntry
from provlog.server.storage.sqlite import SqliteStorage
from provlog.server.tree import TileCache, Tree
from support.checked_instance import (
    ENTRIES,
    check,
    copy_of,
    make_checked_instance,
    unprotected,
)
from support.servers import run_server_command
from support.services import fill, make_instance

ASSIGM = (
    "UPDATE entries SET leaf = CAST(replace(CAST(leaf AS TEXT), 'role.assign',"
    " 'role.assigm') AS BLOB) WHERE log = 1 AND idx = 17"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def copied(clean: Instance, tmp_path: Path) -> Instance:
    copied = copy_of(clean, tmp_path / "copy")
    record_instance(copied)
    return copied


def damage(instance: Instance, statement: str) -> list[str]:
    """Change a database behind its triggers and return what is found then."""
    with unprotected(instance.database) as connection:
        connection.execute(statement)
    return [finding.text() for finding in check(instance)]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            ASSIGM,
            "log main, entries 17, leaf: the leaf does not have the hash that tile 0/0"
            " holds",
        ),
        (
            f"UPDATE heads SET size = {ENTRIES - 1} WHERE log = 1",
            f"log main, entries {ENTRIES - 1} and above: 1 rows that no entry of the"
            " log has",
        ),
        (
            f"UPDATE heads SET size = {ENTRIES + 2**40} WHERE log = 1",
            f"log main, heads, size: {ENTRIES + 2**40}, but the entries end at"
            f" {ENTRIES}",
        ),
        (
            "DELETE FROM entries WHERE log = 1 AND idx = 5",
            "log main, entries 5: the entry is missing",
        ),
        (
            "DELETE FROM tiles WHERE log = 1",
            "log main, tiles 0/0: the tile is missing",
        ),
        (
            "INSERT INTO tiles SELECT log, 0, 1, root, hashes FROM tiles",
            "log main, tiles level 0, outside of 0 to 0: 1 rows that no entry of the"
            " log has",
        ),
        (
            "DELETE FROM private WHERE log = 1 AND idx = 9",
            "log main, private 9: the row is gone, and no erasure was logged after the"
            " entry",
        ),
        (
            "INSERT INTO private VALUES (1, 0, '', NULL, NULL)",
            "log main, private 0: stands beside a params entry, which has no members",
        ),
        (
            "UPDATE private SET disclosures = substr(disclosures, 1,"
            " length(disclosures) - instr(disclosures, '~')) WHERE log = 1 AND idx = 1",
            "log main, private 1, disclosures: nothing opens the leaf's source",
        ),
        (
            "DELETE FROM openings WHERE log = 1 AND idx = 200",
            "log main, openings 200: the openings of the tags are missing",
        ),
        (
            "INSERT INTO openings VALUES (1, 1, 1, zeroblob(16), zeroblob(0))",
            "log main, openings 1: the entry has no tags to open",
        ),
        (
            f"INSERT INTO keys VALUES (1, x'{'ab' * 32}', 20)",
            f"log main, keys {'ab' * 32}, id: not the id of entry 20, at which it"
            " points",
        ),
        (
            f"INSERT INTO keys VALUES (1, x'{'ab' * 32}', 5000)",
            f"log main, keys {'ab' * 32}, idx: points at 5000, outside of the log",
        ),
        (
            "DELETE FROM sources WHERE uri = 'urn:okta:acme' AND log = 1",
            "log main, sources urn:okta:acme: not registered before entry 3, an event"
            " of it",
        ),
        (
            "INSERT INTO sources VALUES (1, 'urn:x', 'urn:x', NULL, 7)",
            "log main, sources urn:x: entry 7 does not register the source",
        ),
        (
            "INSERT INTO tokens SELECT 'abcdefghijkl', digest, logs, roles, sources,"
            " note, rate, created, expires, revoked FROM tokens WHERE note = 'init'"
            " AND roles LIKE '%admin%'",
            "tokens @: no entry made the token, nor did init",
        ),
        (
            "UPDATE tokens SET revoked = created WHERE roles LIKE '%admin%'",
            "tokens @, revoked: no entry revoked the token",
        ),
        (
            "DROP TRIGGER private_keep",
            "schema private_keep: not as this program makes it",
        ),
    ],
)
def test_each_damage_is_said_where_it_is(
    copied: Instance, statement: str, found: str
) -> None:
    if statement.startswith("DROP"):
        connection = apsw.Connection(str(copied.database))
        connection.execute(statement)
        connection.close()
        lines = [finding.text() for finding in check(copied)]
    else:
        lines = damage(copied, statement)
    ids = _token_ids(copied)
    assert any(line == found.replace("@", each) for line in lines for each in ids), (
        lines
    )


def _token_ids(instance: Instance) -> list[str]:
    connection = apsw.Connection(str(instance.database))
    return [row[0] for row in connection.execute("SELECT id FROM tokens")]


def test_one_changed_leaf_is_one_finding(copied: Instance) -> None:
    changed = damage(copied, ASSIGM)
    # The comparison names the type as well.
    assert len(changed) == 2
    assert "private 17, compare_digest" in changed[0]


def test_damage_to_the_file_itself_is_found_and_never_a_crash(copied: Instance) -> None:
    data, rng, rows = copied.database.read_bytes(), random.Random(7), _dump(copied)
    hit = 0
    for _ in range(16):
        place = rng.randrange(4096, len(data) - 64)
        changed = bytearray(data)
        changed[place : place + 64] = rng.randbytes(64)
        copied.database.write_bytes(changed)
        found = check(copied)
        if _dump(copied) != rows:  # the others hit what no row uses
            hit += 1
            assert found, place
    assert hit >= 4
    copied.database.write_bytes(b"not a database at all" * 400)
    assert [finding.table for finding in check(copied)] == ["database"]


def _dump(instance: Instance) -> list[object] | None:
    connection = apsw.Connection(str(instance.database))
    tables = ("logs", "heads", "sources", "tokens", *TABLES_OF_LOGS)
    try:
        return [
            sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in tables
        ]
    except (apsw.Error, UnicodeDecodeError):
        return None
    finally:
        connection.close()


async def test_rows_are_gone_for_good_only_with_a_later_erasure(
    copied: Instance,
) -> None:
    await _append_erasure(copied)
    assert check(copied) == []
    with unprotected(copied.database) as connection:
        connection.execute(f"DELETE FROM private WHERE log = 1 AND idx < {ENTRIES}")
    assert check(copied) == []


async def _append_erasure(instance: Instance) -> None:
    storage = SqliteStorage(instance.database)
    async with storage.transaction() as transaction:
        head = await transaction.lock(1)
        leaf = build_entry(
            "erasure",
            epoch=1,
            n=head.events,
            recorded=format_time(head.recorded),
            body={"count": 1, "tree": encode_base64url(bytes(32)), "members": {}},
        )
        growth = (await Tree(storage, 1, TileCache(0)).edge(head.size)).grow(
            [leaf_hash(leaf)]
        )
        grown = Head(head.size + 1, growth.root, head.events, 1, head.recorded)
        entry = NewEntry(head.size, leaf, None, None, None)
        await transaction.extend(Extension(1, grown, [entry], growth.tiles))
        await transaction.commit()
    await storage.close()


def test_the_guard_is_held_against_the_entries(clean: Instance, tmp_path: Path) -> None:
    origin = "log.example.com/main"
    other = Instance(clean.folder, tmp_path / "guard")
    run = Pass(other)
    assert list(run.steps())
    assert run.findings.kept == []
    assert "there is no guard to compare with" in run.notes[0]
    guard = FileGuard(other.guard)
    first, second = ReleasedHead(100, bytes(32)), ReleasedHead(9999, bytes(32))
    assert asyncio.run(guard.replace(origin, None, first))
    assert [item.text() for item in check(other)] == [
        "log main, guard: the entries do not have the root released at size 100"
    ]
    assert asyncio.run(guard.replace(origin, first, second))
    [found] = check(other)
    assert found.what == f"size 9999 was released, the database ends at {ENTRIES}"
    guard.path(origin).write_bytes(b"damaged")
    [found] = check(other)
    assert found.table == "guard"


async def test_it_runs_beside_a_server_that_goes_on_writing(clean: Instance) -> None:
    async with Service.of(clean) as service:
        log = await service.log("other")
        assert log is not None
        run = Pass(clean)
        for number, _ in enumerate(run.steps()):
            if number % 8 == 0:
                await fill(service, log, 3, prefix=f"beside-{number}")
    assert run.findings.kept == []
    assert check(clean) == []


async def test_a_log_that_is_made_meanwhile_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await make_instance(tmp_path)
    async with Service.of(instance) as service:
        await service.create_log("second", "log.example.com/second", public=False)
        snapshot = SqliteReader(instance.database).snapshot()
        await service.create_log("third", "log.example.com/third", public=False)
        monkeypatch.setattr(SqliteReader, "snapshot", lambda _: snapshot)
        assert check(instance) == []


@pytest.fixture(scope="module")
def tall() -> dict[Tile, TileRow]:
    growth = RightEdge.empty().grow(_hashes())
    return {tile: TileRow(root, data) for tile, data, root in growth.tiles}


SIZE = 256 * 256 + 300


def _hashes() -> list[bytes]:
    return [sha256(number.to_bytes(4, "big")).digest() for number in range(SIZE)]


def _tree_findings(
    tiles: dict[Tile, TileRow], wrong: int | None = None
) -> tuple[list[str], dict[int, bytes | None]]:
    findings, hashes = Findings(), _hashes()
    if wrong is not None:
        hashes[wrong] = bytes(32)
    tree = TreeCheck(
        findings.of(None),
        lambda level, index: tiles.get(Tile(level, index)),
        [0, 1, 255, 256, 257, 256 * 256, SIZE],
    )
    for start in range(0, SIZE, 256):
        tree.add([*hashes[start : start + 256]])
    return [item.text() for item in findings.kept], tree.roots


def test_tiles_of_every_level_and_roots_at_any_size(tall: dict[Tile, TileRow]) -> None:
    found, roots = _tree_findings(tall)
    assert found == []
    assert len(tall) == 256 + 1 + 1
    for size, root in roots.items():
        assert root == RightEdge.empty().grow(_hashes()[:size]).root
    assert len(roots) == 7


def test_each_part_of_a_tile_of_a_higher_level_is_checked(
    tall: dict[Tile, TileRow],
) -> None:
    high, low = Tile(1, 0), Tile(0, 3)
    root, hashes = tall[high]
    changed = tall | {high: TileRow(bytes(32), hashes)}
    assert _tree_findings(changed)[0] == [
        "tiles 1/0, root: not the root of the tile's hashes"
    ]
    changed = tall | {high: TileRow(root, bytes(32) + hashes[32:])}
    assert _tree_findings(changed)[0] == [
        "tiles 1/0, hashes: hash 0 is not that of what stands below"
    ]
    changed = tall | {low: tall[Tile(0, 4)]}
    assert _tree_findings(changed)[0] == [
        "tiles 0/3: the tile is not the one that what stands below makes"
    ]
    assert _tree_findings(tall, wrong=70)[0] == [
        "entries 70, leaf: the leaf does not have the hash that tile 0/0 holds"
    ]
    rewritten = tall | {low: _rewritten(70)}
    del rewritten[high]
    assert "tiles 1/0: the tile is missing" in _tree_findings(rewritten)[0]


def test_a_leaf_changed_together_with_its_tile_is_found_in_the_tile_above(
    tall: dict[Tile, TileRow],
) -> None:
    found, roots = _tree_findings(tall | {Tile(0, 0): _rewritten(70)}, wrong=70)
    assert found == ["tiles 0/0: the tile does not have the root that tile 1/0 holds"]
    assert roots[SIZE] == _tree_findings(tall)[1][SIZE]


def _rewritten(place: int) -> TileRow:
    hashes = _hashes()[:256]
    hashes[place] = bytes(32)
    [tile] = RightEdge.empty().grow(hashes).tiles
    return TileRow(tile.root, tile.data)


def test_findings_are_kept_in_bounded_number_and_all_counted() -> None:
    findings = Findings()
    for index in range(MAX_KEPT + 5):
        findings.of("main")("entries", index, None, "missing")
    assert (len(findings.kept), findings.total) == (MAX_KEPT, MAX_KEPT + 5)


def fsck(instance: Instance, *options: str) -> Result:
    arguments = ["fsck", "--dir", str(instance.folder), *options]
    return CliRunner().invoke(commands, arguments)


def test_the_command_says_what_it_found_and_exits_with_1(
    clean: Instance, copied: Instance
) -> None:
    done = fsck(clean)
    assert (done.exit_code, done.stdout) == (0, "clean\n")
    assert f"log main: {ENTRIES} entries read" in done.stderr
    assert "\r" not in done.output
    damage(copied, "UPDATE sources SET ns = 'x' WHERE connector = 'okta'")
    done = fsck(copied, "--log", "main")
    assert done.exit_code == 1
    assert "log main, sources urn:okta:records, ns: not what entry" in done.stdout
    answer = json.loads(fsck(copied, "--json").stdout)
    assert (answer["clean"], answer["logs"]["main"]) == (False, ENTRIES)
    assert "sources" in [finding["table"] for finding in answer["findings"]]
    assert answer["total"] == len(answer["findings"])
    assert fsck(copied, "--log", "other").exit_code == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_rate_and_time_left_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    progress = Progress()
    progress.show("log main", 0, 2_000_000)
    now[0] += 10
    progress.show("log main", 20_000, 2_000_000)
    progress.clear()
    shown = "20,000 of 2,000,000 entries, 2,000/s, 0:16:30 left"
    assert (shown in capsys.readouterr().err) == terminal


def test_usage_and_absence_have_their_own_exit_codes(
    copied: Instance, tmp_path: Path
) -> None:
    folder = copied.folder
    assert run_server_command("fsck", "--dir", folder, "--log", "x").returncode == 2
    assert run_server_command("fsck", "--dir", tmp_path).returncode == 2
    copied.database.unlink()
    done = run_server_command("fsck", "--dir", folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no database" in done.stderr
