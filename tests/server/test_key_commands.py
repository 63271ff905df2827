"""What an operator types and a reader asks for: keys, and the end of a log."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from provlog.merkle.announcements import follow
from provlog.merkle.keys import VerifierKey
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.cli import commands
from provlog.server.cli.common import exit_code
from provlog.server.files import write_private
from provlog.server.intake.cloudevents import BATCH
from provlog.server.key_changes import freeze, retire_keys
from support.events import event_json
from support.instances import Served, served
from support.rotations import rotate

ROUTE = "/logs/main/announcements"


class Operator:
    """Types commands about one new instance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        made = self.run("init", "--guard", str(folder / "guard"), "--dev")
        self.log_key = str(made["log_key"])

    def said(self, *arguments: str, typed: str | None = None) -> Result:
        """Run a command, and type what is asked for; return what it printed."""
        name, *others = arguments
        words = [name, *others, "--dir", str(self.folder)]
        return CliRunner().invoke(commands, words, input=typed)

    def run(self, *arguments: str) -> dict[str, object]:
        """Run a command that has to succeed; return what it said in JSON."""
        result = self.said(*arguments, "--json")
        assert result.exit_code == 0, result.output
        answer: dict[str, object] = json.loads(result.stdout)
        return answer

    def keys(self) -> list[tuple[str, object]]:
        """Return state and entry of each key, as `key list` has them."""
        result = self.said("key", "list", "--json")
        return [(each["state"], each["index"]) for each in json.loads(result.stdout)]


def test_a_rotation_from_the_first_command_to_the_last(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    assert operator.keys() == [("signing", 0)]
    prepared = operator.run("key", "prepare")
    path = Path(str(prepared["file"]))
    assert prepared["new"] is True
    assert path.stat().st_mode & 0o777 == 0o600
    assert "prepared before" in operator.said("key", "prepare").stderr
    assert operator.keys() == [("signing", 0), ("prepared", None)]
    announced = operator.said("key", "announce")
    assert announced.stdout == f"{prepared['log_key']}\n"
    assert "entry 1 of log main" in announced.stderr
    assert operator.run("key", "announce")["new"] is False
    assert operator.keys() == [("replaced", 0), ("signing", 1)]
    assert "retired" in operator.said("key", "retire").stdout
    assert operator.keys() == [("retired", 0), ("signing", 1)]
    assert operator.said("key", "retire", "--destroy").exit_code == 0
    assert operator.keys() == [("destroyed", 0), ("signing", 1)]
    assert not (path.parent / "signing.key").exists()
    table = operator.said("key", "list").stdout
    assert table.splitlines()[0].split() == ["STATE", "ENTRY", "LOG", "KEY"]
    mldsa = operator.said("key", "add-mldsa").stdout
    assert VerifierKey.parse(mldsa.strip()).name in operator.log_key
    assert operator.keys()[-1] == ("signing", None)
    secrets = [each.read_text().strip() for each in path.parent.glob("*.key")]
    assert not any(secret in table + mldsa for secret in secrets)


def test_a_log_is_ended_only_by_somebody_who_means_it(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    asked = operator.said("log", "freeze", "main")
    assert asked.exit_code == 1
    assert "End the log main for ever?" in asked.stderr
    said_no = operator.said("log", "freeze", "main", typed="n\n")
    assert said_no.exit_code == 2
    assert "not confirmed; nothing was changed" in said_no.stderr
    half = ("log", "freeze", "main", "--yes", "--successor-origin", "log.example.com/b")
    assert exit_code(lambda: operator.said(*half).exception or 0) == 0
    assert "has both" in str(operator.said(*half).exception)
    ended = operator.said("log", "freeze", "main", "--yes")
    assert ended.stdout == "log main ended with entry 1\n"
    assert operator.run("log", "freeze", "main", "--yes")["index"] == 1
    shown = operator.said("log", "show", "main").stdout
    assert f"signing    {operator.log_key}\n" in shown
    assert "ended      with entry 1; no other log goes on" in shown
    late = operator.said("token", "create", "--role", "monitor")
    assert "the log has ended" in str(late.exception)


def test_help_says_what_each_step_does() -> None:
    for words in (["key"], ["key", "prepare"], ["key", "retire"], ["log", "freeze"]):
        result = CliRunner().invoke(commands, [*words, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 10


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, sources=("*",)) as running:
        yield running


async def test_announcements_are_for_whoever_may_read_the_checkpoint(
    log: Served,
) -> None:
    for role, status in (
        ("monitor", 200),
        ("auditor", 200),
        ("submitter", 200),
        ("admin", 403),
        (None, 401),
    ):
        assert (await log.get(ROUTE, role=role)).status == status, role
    empty = (await log.get(ROUTE, role="monitor")).json()
    assert empty == {"v": 1, "origin": "log.example.com/main", "announcements": []}
    assert (await log.get(f"{ROUTE}?x=1", role="monitor")).status == 400


async def test_a_client_that_knew_the_first_key_is_led_to_the_newest(
    log: Served,
) -> None:
    first = Trust.from_log_key(log.log.record.log_key)
    await rotate(log.service, log.log)
    await retire_keys(log.log, destroy=True)
    key = await rotate(log.service, log.log)
    document = (await log.get(ROUTE, role="monitor")).body
    trust = follow(first, document).trust
    note = (await log.get("/logs/main/checkpoint", role="monitor")).body
    assert verify_checkpoint(note, trust).log_key == key
    shown = (await log.get("/logs/main", role="monitor")).json()
    assert shown["log_key"] == first.log_keys[0].vkey()
    assert [(each["state"], each["index"]) for each in shown["keys"]] == [
        ("destroyed", 0),
        ("replaced", 1),
        ("signing", 2),
    ]
    assert shown["keys"][-1]["log_key"] == key.vkey()


async def test_a_server_that_lacks_a_key_says_so_in_its_log_and_not_to_its_readers(
    log: Served, caplog: pytest.LogCaptureFixture
) -> None:
    key = await rotate(log.service, log.log)
    path = log.log.signer.files.key_path(key)
    secret = path.read_text()
    path.unlink()
    log.log.signer.look()
    for _ in range(2):
        for answer in (
            await log.post(event_json(id="late")),
            await log.get("/logs/main/checkpoint", role="monitor"),
            await log.get(ROUTE, role="monitor"),
            await log.get("/readyz", role=None),
        ):
            assert answer.status == 503
            assert str(path.parent).encode() not in answer.body
            assert path.name.encode() not in answer.body
    said = [each for each in caplog.records if path.name in each.getMessage()]
    assert len(said) == 1
    write_private(path, secret)
    assert (await log.post(event_json(id="late"))).status == 201
    assert (await log.get("/readyz", role=None)).status == 200


async def test_a_log_that_ended_says_so_to_writers_and_is_read_as_before(
    log: Served,
) -> None:
    event = event_json(id="before")
    assert (await log.post(event)).status == 201
    successor = {"origin": "log.example.com/next", "log_key": "k"}
    before = await log.get("/logs/main/checkpoint", role="monitor")
    await freeze(log.service, log.log, {**successor}, "test")
    refused = await log.post(event_json(id="late"))
    assert refused.status == 410
    assert refused.json()["type"] == "urn:provlog:problem:frozen"
    assert refused.json()["successor"] == successor
    many = [event_json(id="late"), event_json(id="later")]
    assert (await log.post(many, media_type=BATCH)).status == 410
    body = {"uri": "urn:new"}
    source = await log.post(
        body, role="admin", media_type="application/json", path="/logs/main/sources"
    )
    assert source.json()["type"] == "urn:provlog:problem:frozen"
    # What was acknowledged is answered again, and everything is read.
    assert (await log.post(event)).status == 200
    assert (await log.get("/logs/main/entries/1", role="auditor")).status == 200
    after = await log.get("/logs/main/checkpoint", role="monitor")
    assert after.status == before.status == 200
    assert (await log.get("/readyz", role=None)).status == 200
    shown = (await log.get("/logs/main", role="monitor")).json()
    assert shown["frozen"] == {"index": 3, "successor": successor}
