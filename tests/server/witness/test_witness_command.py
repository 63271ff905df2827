"""`provlog-server witness`: what its commands print, change and refuse."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from provlog.merkle.keys import VerifierKey
from provlog.merkle.policy import parse_policy
from provlog.server.cli import commands
from provlog.server.errors import ConfigurationError
from support.vectors import REPOSITORY
from support.witnessed_logs import ORIGIN, MemoryLog
from support.witnesses import NAME, note_keys, witness_command

VKEY = MemoryLog().vkey
WITNESS = commands.commands["witness"]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    folder = tmp_path / "some" / "witness"
    witness_command("init", "--dir", str(folder), "--name", NAME)
    note_keys(folder)
    return str(folder)


def refusal(*arguments: str) -> str:
    """Return what a command that has to be refused says (exit code 2)."""
    done = CliRunner().invoke(commands, ["witness", *arguments])
    assert done.exit_code != 0
    if isinstance(done.exception, ConfigurationError):
        return str(done.exception)
    assert done.exit_code == 2
    return done.output


def test_a_new_witness_tells_what_others_need(tmp_path: Path) -> None:
    where = ("--dir", f"{tmp_path}/w", "--name", NAME, "--json")
    url = "https://witness.example.com"
    made = json.loads(witness_command("init", *where, "--public-url", url))
    [generation] = made["generations"]
    kinds = [VerifierKey.parse(each).key_type for each in generation["vkeys"]]
    assert kinds == [4, 6]
    policy = parse_policy("\n".join([*made["policy"], f"quorum {NAME}", ""]))
    assert {each.url for each in policy.witnesses} == {url}
    assert "PRIVATE" not in str(made)


def test_a_folder_holds_one_witness(folder: str) -> None:
    assert "already" in refusal("init", "--dir", folder, "--name", "other")


@pytest.mark.parametrize(
    "url", ["http://witness.example.com", "https://w.example.com/?a=b", "bananas"]
)
def test_a_public_url_is_one_that_logs_can_reach(tmp_path: Path, url: str) -> None:
    where = ("--dir", f"{tmp_path}/w", "--name", NAME, "--public-url", url)
    assert "public URL" in refusal("init", *where)
    assert not (tmp_path / "w").exists()


def test_logs_are_added_listed_and_removed(folder: str) -> None:
    where = ("--dir", folder)
    added = witness_command("log", "add", *where, "--rate", "24/day", VKEY)
    assert added == f"log {ORIGIN}\n"
    [listed] = json.loads(witness_command("log", "list", *where, "--json"))
    assert listed["origin"] == ORIGIN
    assert listed["rate"] == 24
    assert listed["vkeys"] == [VKEY]
    assert listed["size"] is None
    assert ORIGIN in witness_command("log", "list", *where)
    assert witness_command("log", "remove", *where, VKEY) == "removed\n"
    assert "no such log" in refusal("log", "remove", *where, VKEY)


@pytest.mark.parametrize("rate", ["24", "0/day", "1.5/day", "24/hour", f"{2**31}/day"])
def test_a_rate_is_a_number_for_a_day(folder: str, rate: str) -> None:
    said = refusal("log", "add", "--dir", folder, "--rate", rate, VKEY)
    assert "write 8640/day" in said


def test_what_is_no_key_is_refused_by_all_commands(folder: str) -> None:
    for command in ("add", "remove"):
        assert "vkey" in refusal("log", command, "--dir", folder, "bananas")


def test_keys_are_listed_rotated_and_retired(folder: str) -> None:
    where = ("--dir", folder)
    rotated = json.loads(witness_command("key", "rotate", *where, "--json"))
    note_keys(Path(folder))
    assert [each["number"] for each in rotated["generations"]] == [2, 1]
    assert json.loads(witness_command("key", "list", *where, "--json")) == rotated
    assert "signs nothing" in witness_command("key", "retire", *where, "1")
    [left] = json.loads(witness_command("key", "list", *where, "--json"))["generations"]
    assert left["number"] == 2
    assert "rotate first" in refusal("key", "retire", *where, "2")
    assert "no generation 1" in refusal("key", "retire", *where, "1")


def test_where_there_is_no_witness_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    for command in (("serve",), ("log", "list"), ("evidence",)):
        assert "witness init" in refusal(*command, "--dir", str(tmp_path))
    assert "no keys" in refusal("key", "list", "--dir", str(tmp_path))


def test_plain_http_is_served_on_this_machine_alone(folder: str) -> None:
    said = refusal("serve", "--dir", folder, "--listen", "0.0.0.0:0")
    assert "--tls-cert" in said


def every(group: click.Command, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command's own, with their names."""
    if not isinstance(group, click.Group):
        yield " ".join(names), group
        return
    for name, command in group.commands.items():
        yield from every(command, *names, name)


@pytest.mark.parametrize(("name", "command"), [*every(WITNESS)])
def test_every_command_and_option_is_explained(
    name: str, command: click.Command
) -> None:
    assert command.help
    page = (REPOSITORY / "docs" / "reference.md").read_text()
    [section] = re.findall(r"^### witness\n(.*?)(?=^##)", page, re.M | re.S)
    assert f"`witness {name}`" in section
    options = {
        option
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    named = set(re.findall(r"--[a-z0-9-]+", section))
    assert options <= named
