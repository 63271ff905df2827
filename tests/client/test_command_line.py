"""The command `provlog`: what it prints, what it stores, and its exit codes."""

import io
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from provlog.client.cli.output import progress
from support.lying_log import LyingLog, Served, event

SECRET = "plt_abc_verysecretindeed"
Run = Callable[..., Result]


@pytest.fixture
def run(
    served: Served, log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    env = {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_TOKEN": SECRET,
        "PROVLOG_STATE": str(tmp_path / "state"),
        "PROVLOG_PATIENCE": "0.2",
    }

    def call(*arguments: str, input: bytes | None = None, **more: str | None) -> Result:  # noqa: A002
        result = CliRunner().invoke(
            cli, list(arguments), input=input, env={**env, **more}
        )
        assert SECRET not in result.output
        if result.exception is not None:
            assert isinstance(result.exception, SystemExit), result.exc_info
        return result

    return call


def write(path: str, *events: object) -> str:
    Path(path).write_text("".join(json.dumps(each) + "\n" for each in events))
    return path


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_events_are_submitted_and_their_receipts_verify(run: Run) -> None:
    write("in.ndjson", event(id="a"), event(id="b"))
    result = run("submit", "in.ndjson", "--receipts", "kept")
    assert result.exit_code == 0, result.output
    assert "logged   1  role.assign  a" in result.stdout
    paths = sorted(Path("kept").iterdir())
    assert [each.name for each in paths] == ["1.receipt.json", "2.receipt.json"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in paths} == {0o600}
    verified = run("verify", *map(str, paths))
    assert verified.exit_code == 0, verified.output
    assert verified.stdout.count("ok ") == 2


def test_output_names_nobody_unless_asked(run: Run) -> None:
    write("in.json", event())
    submitted = run("submit", "in.json", "--receipts", "kept")
    verified = run("verify", "kept/1.receipt.json")
    assert "bob@example.com" not in submitted.output + verified.output
    assert "bob@example.com" in run("verify", "--show", "kept/1.receipt.json").stdout


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([event(id="a"), event(id="b")], indent=1),
        json.dumps(event(id="a")) + "\r\n\n" + json.dumps(event(id="b"), indent=2),
    ],
    ids=["array", "lines"],
)
def test_input_is_an_array_or_one_value_after_another(text: str, run: Run) -> None:
    result = run("submit", "-", "--json", input=text.encode())
    assert [each["id"] for each in lines(result)] == ["a", "b"]
    assert all("receipt" in each for each in lines(result))


def test_a_refused_event_is_named_and_the_others_are_logged(run: Run) -> None:
    write("in.ndjson", event(id="a"), event(type="?"), event(id="c"))
    result = run("submit", "in.ndjson")
    assert result.exit_code == 2
    assert "refused  event 2: /type:" in result.stdout
    assert "2 logged, 0 known before, 1 refused" in result.stderr
    as_json = lines(run("submit", "in.ndjson", "--json"))
    assert [each["status"] for each in as_json] == [200, 422, 200]
    assert as_json[1]["pointer"] == "/type"


def test_input_that_is_not_json_is_refused_with_its_place(run: Run) -> None:
    result = run("submit", "-", input=b'{"id":"a"}\n{"id":oops}\n')
    assert result.exit_code == 2
    assert "line 2, column 7" in result.stderr
    assert "oops" not in result.output


def test_records_of_a_provider(run: Run) -> None:
    Path("okta.ndjson").write_bytes(
        b'{"uuid":"u1"}\n{broken\n{"uuid":"u2","eventType":"user.lifecycle.create"}\n'
        b'{"uuid":"u3","name":"\xff"}\n'
    )
    result = run("submit", "okta.ndjson", "--format", "okta", "--source", "urn:a")
    assert result.exit_code == 0, result.output
    assert "logged   2  other.unparsed  sha256:" in result.stdout
    assert "logged   3  account.create  u2" in result.stdout
    assert "4 logged" in result.stderr
    assert run("submit", "okta.ndjson", "--format", "okta").exit_code == 2


def test_records_in_no_known_form_are_refused_before_anything_is_sent(
    run: Run, log: LyingLog
) -> None:
    options = ("--format", "okta", "--source", "urn:a")
    result = run("submit", "-", *options, input=b"secret\n{}")
    assert result.exit_code == 2
    assert "neither a JSON array" in result.stderr
    assert "secret" not in result.output
    assert log.requests == []


def test_another_logs_receipt_is_not_overwritten(run: Run) -> None:
    Path("kept").mkdir()
    Path("kept/1.receipt.json").write_text('{"origin":"elsewhere"}')
    write("in.json", event())
    result = run("submit", "in.json", "--receipts", "kept")
    assert result.exit_code == 2
    assert "is not overwritten" in result.stderr
    assert "elsewhere" in Path("kept/1.receipt.json").read_text()


def test_unavailable_says_how_to_go_on(run: Run, log: LyingLog) -> None:
    log.faults.append(lambda request: web.Response(status=503))
    write("in.json", event())
    result = run("submit", "in.json")
    assert result.exit_code == 3
    assert "Submit the same file again" in result.stderr


def test_events_without_id_are_kept_with_the_id_they_were_given(
    run: Run, log: LyingLog
) -> None:
    log.faults.append(lambda request: web.Response(status=503))
    write("in.json", {"source": "urn:a", "type": "account.create"})
    result = run("submit", "in.json")
    assert result.exit_code == 3
    (path,) = Path("state/unsettled").iterdir()
    assert str(path) in result.stderr
    assert json.loads(path.read_bytes()) == json.loads(log.bodies[0])[0]
    assert run("submit", str(path)).exit_code == 0


def test_a_lie_is_exit_code_1_and_the_evidence_is_named(
    run: Run, log: LyingLog, served: Served
) -> None:
    fork = log.fork()
    log.append(event(id="a"))
    assert run("checkpoint").exit_code == 0
    fork.append(event(id="b"))
    served.switch(fork)
    result = run("checkpoint", PROVLOG_URL=served.url)
    assert result.exit_code == 1
    assert "VERIFICATION FAILED" in result.stderr
    (path,) = Path("state/evidence").iterdir()
    assert str(path) in result.stderr.replace("\n", "")


def test_a_checkpoint_is_printed_as_it_is(run: Run, log: LyingLog) -> None:
    assert run("checkpoint").stdout_bytes == log.note()
    (line,) = lines(run("checkpoint", "--json"))
    assert line["note"] == log.note().decode()
    assert line["size"] == 1


def test_an_entry_is_described_or_stored(run: Run, log: LyingLog) -> None:
    log.append(event())
    described = run("entry", "1")
    assert "role.assign from urn:okta:acme" in described.stdout
    result = run("entry", "--source", "urn:okta:acme", "--id", "e-1", "--output", "one")
    assert result.exit_code == 0, result.output
    assert run("verify", "one").exit_code == 0
    (line,) = lines(run("entry", "1", "--json"))
    assert line["index"] == 1


@pytest.mark.parametrize(
    "command", [["entry"], ["entry", "--json"], ["proof", "inclusion"]]
)
def test_an_entry_whose_id_is_withheld_is_said_to_be_claimed(
    command: list[str], run: Run, log: LyingLog
) -> None:
    log.append(event())
    asked = (*command, "--source", "urn:okta:acme", "--id", "e-1")
    assert "NOT PROVED" not in run(*asked).output
    log.rewrite = lambda path, body: body.update(
        {"disclosures": []} if path == "entry" else {}
    )
    result = run(*asked)
    assert result.exit_code == 0, result.output
    assert "NOT PROVED" in result.stderr
    assert "NOT PROVED" not in result.stdout
    assert "NOT PROVED" not in run("entry", "1").output


def test_an_inclusion_proof_verifies_with_its_leaf(run: Run, log: LyingLog) -> None:
    log.append(event())
    Path("leaf").write_bytes(log.leaves[1])
    for arguments in (["1"], ["--source", "urn:okta:acme", "--id", "e-1"]):
        result = run("proof", "inclusion", *arguments, "--output", "proof")
        assert result.exit_code == 0, result.output
        assert run("verify", "proof", "--leaf", "leaf").exit_code == 0
    Path("leaf").write_bytes(log.leaves[0])
    assert run("verify", "proof", "--leaf", "leaf").exit_code == 1
    assert run("verify", "proof").exit_code == 2
    (line,) = lines(run("proof", "inclusion", "0", "--size", "1"))
    assert line["size"] == 1


def test_consistency_is_proved_between_files(run: Run, log: LyingLog) -> None:
    Path("older").write_bytes(log.note())
    log.append(event())
    Path("newer").write_bytes(log.note())
    result = run("proof", "consistency", "older", "newer")
    assert result.stdout == "consistent: the log of 2 begins with the log of 1\n"
    (line,) = lines(run("proof", "consistency", "older", "--json"))
    assert (line["from"], line["to"]) == (1, 2)


def test_verify_says_which_file_fails(run: Run, log: LyingLog) -> None:
    log.append(event())
    receipt = log.receipt(1)
    write("good", receipt)
    write("bad", {**receipt, "index": 0})
    result = run("verify", "good", "bad")
    assert result.exit_code == 1
    assert "FAILED  bad: receipt: its index is not the proof's" in result.stdout
    found = lines(run("verify", "good", "bad", "--json"))
    assert [each["verified"] for each in found] == [True, False]
    assert found[0]["opened"] != []


@pytest.mark.parametrize("command", [["verify", "good"], ["checkpoint"]])
def test_without_a_key_nothing_is_verified(
    command: list[str], run: Run, log: LyingLog
) -> None:
    write("good", log.receipt(0))
    result = run(*command, PROVLOG_LOG_KEY=None)
    assert result.exit_code == 2
    assert "--log-key" in result.stderr


def test_a_false_key_is_a_mistake_of_configuration(run: Run) -> None:
    result = run("checkpoint", "--log-key", "log.example+00+AA==")
    assert result.exit_code == 2
    assert "vkey" in result.stderr


def test_a_policy_says_what_is_enough(run: Run, log: LyingLog) -> None:
    Path("policy").write_text(f"log {log.vkey}\nquorum none\n")
    both = run("checkpoint", "--policy", "policy")
    assert both.exit_code == 0, both.output
    assert run("checkpoint", "--policy", "policy", PROVLOG_LOG_KEY=None).exit_code == 0
    other = LyingLog(seed=bytes(32))
    result = run("checkpoint", "--policy", "policy", "--log-key", other.vkey)
    assert result.exit_code == 2


def test_values_come_from_the_file_then_the_environment_then_the_option(
    run: Run, log: LyingLog, served: Served
) -> None:
    Path("policy").write_text(f"log {log.vkey}\nquorum none\n")
    Path("config/provlog").mkdir(parents=True)
    config = Path("config/provlog/config.toml")
    config.write_text(f'url = "{served.url}"\nlog = "none"\npolicy = "../../policy"\n')
    bare = {"PROVLOG_URL": None, "PROVLOG_LOG_KEY": None}
    assert run("checkpoint", **bare).exit_code == 2
    assert run("checkpoint", PROVLOG_LOG="main", **bare).exit_code == 0
    assert run("checkpoint", "--log", "none", PROVLOG_LOG="main").exit_code == 2
    assert run("checkpoint", "--log", "main", "--config", str(config)).exit_code == 0
    assert run("checkpoint", "--config", "absent").exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "tokn = 'x'",
        "url = 3",
        "patience = 'x'",
        "patience = true",
        "=",
        "insecure = 'yes'",
    ],
)
def test_a_configuration_with_a_mistake_is_refused(text: str, run: Run) -> None:
    Path("c.toml").write_text(text)
    result = run("checkpoint", "--config", "c.toml")
    assert result.exit_code == 2
    assert "c.toml" in result.stderr


@pytest.mark.parametrize(
    "command",
    [[], ["submit"], ["verify"], ["checkpoint"], ["entry"], ["proof", "inclusion"]],
)
def test_help_teaches(command: list[str], run: Run) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "provlog " in result.stdout


def test_progress_is_shown_on_a_terminal_and_not_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with progress("submitting", 2) as advance:
            advance(1)
        assert ("submitting" in stream.getvalue()) == shown


def test_a_hostile_answer_is_no_traceback(run: Run, log: LyingLog) -> None:
    log.faults.append(lambda request: web.Response(body=b"\x1b[2J<html>"))
    result = run("checkpoint")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "Traceback" not in result.output
