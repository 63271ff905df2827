"""Tessera's client, fsck and hammer on our log: served, exported, and damaged."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.interop import LONG
from support.interop_logs import (
    ask_json,
    fill,
    flipped_byte,
    handed_out,
    prefix,
    run_program,
)
from support.servers import Server, provlog_server

pytestmark = pytest.mark.needs("interop")

SIZE = 700
"""More than two full tiles and a partial one, params and all."""
SECONDS = 120 if LONG else 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("tessera")
    made = Server.init(base, "--dev", "--source", "*", "--public")
    made.options = ("--compat-add", "urn:interop:hammer")
    with made as running:
        fill(running, 1, SIZE - 1)
        yield running


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.init(tmp_path_factory.mktemp("private")) as running:
        fill(running, 1, 5)
        yield running


@pytest.fixture(scope="module")
def key_file(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "log.vkey"
    path.write_text(server.log_key)
    return path


@pytest.fixture(scope="module")
def mirror(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `export --public` writes."""
    folder = tmp_path_factory.mktemp("www")
    where = ("--dir", server.folder, "--guard", server.guard, "--to", folder)
    provlog_server("export", "--public", *where)
    return folder


def _fsck(url: str, key_file: Path, *more: str) -> bool:
    """Return whether fsck finds the log whole, by its words.

    Its exit code is 0 either way in this version; and with one worker it waits for ever
    where a tile that is not the last is false, for that ends the worker.
    """
    where = ("--storage_url", url, "--public_key", key_file)
    done = run_program("fsck", "--ui=false", "--N=8", "--logtostderr", *where, *more)
    whole = "Successfully fsck'd log" in done.stderr
    assert whole != ("fsck failed" in done.stderr), done.stderr
    return whole


def test_its_client_and_sumdb_prove_our_leaves_from_our_tiles(
    server: Server, tmp_path: Path
) -> None:
    where = ("--url", prefix(server), "--key", server.log_key)
    first = run_program("judge", "read", *where, "--save", tmp_path / "first")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["size"] >= SIZE
    assert min(report["inclusion"], report["consistency"], report["sumdb"]) >= 40
    fill(server, 10_000, 30)
    # It goes on from the checkpoint that it has, over a proof that it builds itself.
    second = run_program("judge", "read", *where, "--since", tmp_path / "first")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["size"] >= report["size"] + 30


def test_a_checkpoint_of_another_history_stops_its_client(
    server: Server, private: Server, tmp_path: Path
) -> None:
    note = tmp_path / "other"
    where = ("--url", prefix(private), "--key", private.log_key)
    token = ("--token", private.tokens["monitor"])
    saved = run_program("judge", "read", *where, *token, "--save", note)
    assert saved.returncode == 0, saved.stderr
    where = ("--url", prefix(server), "--key", server.log_key)
    refused = run_program("judge", "read", *where, "--since", note)
    assert refused.returncode == 1
    assert "checkpoint" in refused.stderr


def test_fsck_passes_on_our_log(server: Server, key_file: Path) -> None:
    assert _fsck(prefix(server), key_file)


def test_fsck_passes_on_a_private_log_with_a_token(
    private: Server, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(private.log_key)
    token = ("--bearer_token", private.tokens["monitor"])
    assert _fsck(prefix(private), key_file, *token)
    assert not _fsck(prefix(private), key_file)


def test_fsck_passes_on_what_export_public_writes(mirror: Path, key_file: Path) -> None:
    with handed_out(mirror) as url:
        assert _fsck(f"{url}/logs/main/", key_file)


@pytest.mark.parametrize(
    "part",
    ["tile/0/000", "tile/0/001", "tile/1/000.p/2", "tile/entries/001", "checkpoint"],
)
def test_fsck_fails_on_one_flipped_byte(
    mirror: Path, key_file: Path, part: str
) -> None:
    log = mirror / "logs" / "main"
    with handed_out(mirror) as url, flipped_byte(log / part, 40):
        assert not _fsck(f"{url}/logs/main/", key_file)


def _hammer(server: Server, *more: str) -> tuple[int, str]:
    where = ("--log_url", prefix(server), "--log_public_key", server.log_key)
    rest = ("--show_ui=false", "--logtostderr", *more)
    done = run_program("hammer", *where, *rest, seconds=SECONDS + 90)
    return done.returncode, done.stderr


def _complaints(said: str) -> list[str]:
    """Return the warnings and errors in what it logged.

    What it breaks off itself, when its time has come, is none.
    """
    lines = (line for line in said.splitlines() if re.match(r"[WEF]\d{4} ", line))
    return [line for line in lines if not line.endswith("context canceled")]


def _tiles_served(server: Server) -> float:
    """Return how many tiles and bundles it has handed out."""
    return sum(
        value
        for name, value in server.metrics().items()
        if name.startswith("provlog_request_seconds_count{") and "/tile/" in name
    )


def test_the_readers_of_its_hammer_meet_no_error(server: Server) -> None:
    before = _tiles_served(server)
    code, said = _hammer(server, "--max_read_ops=400", f"--max_runtime={SECONDS}s")
    # To run out of time is what it calls a failure; it has none but that.
    assert (code, _complaints(said)) == (1, [])
    assert "Max runtime reached" in said
    assert _tiles_served(server) > before + 10
    size = ask_json(server, "proofs/inclusion?index=0")["size"]
    assert size >= SIZE


def test_the_writers_of_its_hammer_meet_no_error(server: Server) -> None:
    before = ask_json(server, "proofs/inclusion?index=0")["size"]
    goal = 5_000 if LONG else 150
    write = ("--num_writers=8", "--max_write_ops=100", f"--leaf_write_goal={goal}")
    token = f"--bearer_token_write={server.tokens['submitter']}"
    most = f"--max_runtime={SECONDS + 60}s"
    code, said = _hammer(server, *write, "--max_read_ops=200", token, most)
    assert (code, _complaints(said)) == (0, [])
    # It sends some leaves twice, and each stands once.
    assert ask_json(server, "proofs/inclusion?index=0")["size"] >= before + goal
