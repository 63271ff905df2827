"""`export`, `import`, `backup` and `restore` as an operator calls them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provlog.server.cli import commands
from support.servers import run_server_command


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands, [*map(str, arguments)])


def answer(*arguments: str | Path) -> Any:  # noqa: ANN401
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def instance(tmp_path: Path) -> list[str | Path]:
    """Return the options that name an instance of one log."""
    options: list[str | Path] = ["--dir", tmp_path / "data"]
    done = invoke("init", *options, "--guard", tmp_path / "guard", "--dev")
    assert done.exit_code == 0
    return options


def test_a_log_moves_house(instance: list[str | Path], tmp_path: Path) -> None:
    to, new = tmp_path / "to", tmp_path / "new"
    exported = answer("export", *instance, "--to", to)
    source = ("--from", to, "--keys", tmp_path / "data" / "keys" / "main")
    imported = answer("import", *source, "--dir", new, "--guard", tmp_path / "guard")
    for member in ("origin", "size", "root"):
        assert exported[member] == imported[member]
    assert (imported["log"], imported["tokens_left_out"]) == ("main", 0)
    assert answer("fsck", "--dir", new)["clean"]
    other = ("--dir", tmp_path / "other", "--guard", tmp_path / "other-guard")
    done = invoke("import", *source, *other, "--log", "renamed")
    assert "log renamed, provlog.local/" in done.stdout
    assert "never be served again from where it came" in done.stderr
    (to / "checkpoint").write_text("changed\n")
    refused = run_server_command("import", *source, "--dir", tmp_path / "third")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: checkpoint: ")
    assert not (tmp_path / "third").exists()


def test_an_export_says_what_it_holds(
    instance: list[str | Path], tmp_path: Path
) -> None:
    done = invoke("export", *instance, "--to", tmp_path / "to")
    assert ": 1 entry, root " in done.stdout
    assert "holds personal data, and no keys" in done.stderr
    again = invoke("export", *instance, "--to", tmp_path / "to")
    assert "is not empty" in str(again.exception)


def test_a_backup_and_what_a_restored_one_means(
    instance: list[str | Path], tmp_path: Path
) -> None:
    with_keys, bare = tmp_path / "with-keys", tmp_path / "bare"
    made = answer("backup", *instance, "--to", with_keys, "--with-keys")
    assert (made["with_keys"], made["logs"][0]["size"]) == (True, 1)
    done = invoke("backup", *instance, "--to", bare)
    assert "holds personal data, without keys" in done.stderr
    # One entry more: from here on both backups are older than the log.
    assert invoke("token", "create", *instance, "--role", "monitor").exit_code == 0
    guard = ("--guard", tmp_path / "guard")
    restored = answer("restore", "--from", with_keys, "--dir", tmp_path / "a", *guard)
    assert restored["logs"][0]["released"] == 2
    done = invoke("restore", "--from", bare, "--dir", tmp_path / "b", *guard)
    assert done.exit_code == 0
    assert "size 2 was released, so serve will refuse this one" in done.stderr
    assert "The backup has no keys" in done.stderr
    refused = run_server_command("serve", "--dir", tmp_path / "a")
    assert refused.returncode == 2
    assert "older than what others have seen; provlog-server recover" in refused.stderr
    going_on = ("--successor", "main-2", "--origin", "log.example.com/main-2")
    assert answer("recover", "--dir", tmp_path / "a", *going_on)
    refused = run_server_command("serve", *instance)
    assert refused.returncode == 2
    assert "retired logs alone; serve what holds their successors" in refused.stderr
    empty = ("--guard", tmp_path / "empty")
    done = invoke("restore", "--from", bare, "--dir", tmp_path / "c", *empty)
    assert "the guard knows nothing of it" in done.stderr
