"""The file that convicts a log: judged offline, by anybody who has the log's key."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client import FileMemory
from provlog.client.answers import read_inclusion
from provlog.client.cli import cli
from provlog.client.evidence import verify_evidence
from provlog.client.freeze_evidence import FreezeEvidence
from provlog.client.heads import Heads
from provlog.merkle.announcements import format_announcements
from provlog.merkle.consistency import build_consistency
from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import (
    ContentError,
    InconsistencyError,
    MalformedError,
    MerkleError,
    SignatureError,
)
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.notes import SignatureLine, add_signatures
from provlog.merkle.receipts import MAX_RECEIPT
from provlog.merkle.trust import verify_checkpoint
from support.commands import verify_alone
from support.lying_log import LyingLog, event
from support.rotating_logs import RotatingLog


def two_histories(old: int, new: int) -> tuple[LyingLog, LyingLog]:
    """Return a log of `old` entries, and another one of its key of `new` entries."""
    log = LyingLog()
    fork = log.fork()
    for place in range(old - 1):
        log.append(event(id=f"a{place}"))
    for place in range(new - 1):
        fork.append(event(id=f"b{place}"))
    return log, fork


def evidence(log: LyingLog, fork: LyingLog, **changes: Any) -> bytes:  # noqa: ANN401
    """Return the evidence that a client keeps of these two."""
    old, new = len(log.leaves), len(fork.leaves)
    whole: dict[str, Any] = {
        "v": 1,
        "origin": log.origin,
        "older": log.note().decode(),
        "newer": fork.note().decode(),
        "consistency": None,
        "inclusion": None,
    }
    if old < new:
        nodes = fork.tree(new).nodes
        proof = build_consistency(old, new, nodes)
        whole["consistency"] = [encode_base64(each) for each in proof]
        whole["inclusion"] = {
            "index": old - 1,
            "leaf_hash": encode_base64(leaf_hash(fork.leaves[old - 1])),
            "hashes": [encode_base64(each) for each in fork.inclusion(old - 1, new)],
        }
    return json.dumps({**whole, **changes}).encode()


@pytest.mark.parametrize(
    ("old", "new"), [(2, 2), (2, 3), (2, 4), (3, 4), (3, 7), (4, 5), (5, 5), (8, 13)]
)
def test_two_histories_convict(old: int, new: int) -> None:
    log, fork = two_histories(old, new)
    found = verify_evidence(evidence(log, fork), log.trust)
    assert found.older.note == log.note()
    assert found.newer.note == fork.note()
    assert found.begins == fork.root(old) != log.root(old)


@pytest.mark.parametrize(("old", "new"), [(3, 4), (3, 7), (6, 13)])
def test_the_logs_own_consistency_proof_convicts_it(old: int, new: int) -> None:
    log, fork = two_histories(old, new)
    data = evidence(log, fork, inclusion=None)
    assert verify_evidence(data, log.trust).begins == fork.root(old)


def test_what_is_not_shown_does_not_convict() -> None:
    log, fork = two_histories(3, 7)
    data = evidence(log, fork, inclusion=None, consistency=None)
    with pytest.raises(ContentError, match="nothing in the file shows"):
        verify_evidence(data, log.trust)


def test_a_log_that_only_grew_cannot_be_convicted() -> None:
    log, _ = two_histories(3, 3)
    later = log.fork()
    for place in range(4):
        later.append(event(id=f"c{place}"))
    for changes in ({}, {"consistency": None}, {"inclusion": None}):
        with pytest.raises(ContentError):
            verify_evidence(evidence(log, later, **changes), log.trust)
    with pytest.raises(ContentError, match="one tree"):
        verify_evidence(evidence(log, log), log.trust)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_honest_log_is_not_convicted_by_any_hashes(data: st.DataObject) -> None:
    log, other = two_histories(5, 9)
    later = log.fork()
    for place in range(4):
        later.append(event(id=f"c{place}"))
    pool = [*later.tree(9).nodes.values(), *other.tree(9).nodes.values()]
    hashes = st.lists(st.sampled_from(pool), max_size=5).map(
        lambda chosen: [encode_base64(each) for each in chosen]
    )
    # As long as a true path is, or its root would not even be computed.
    path = later.inclusion(4, 9)
    for place in data.draw(st.sets(st.integers(0, len(path) - 1))):
        path[place] = data.draw(st.sampled_from(pool))
    inclusion = {
        "index": 4,
        "leaf_hash": encode_base64(data.draw(st.sampled_from(pool))),
        "hashes": [encode_base64(each) for each in path],
    }
    forged = evidence(log, later, consistency=data.draw(hashes), inclusion=inclusion)
    with pytest.raises(ContentError):
        verify_evidence(forged, log.trust)


def test_a_checkpoint_that_the_log_did_not_sign_convicts_nobody() -> None:
    log, fork = two_histories(3, 3)
    fork.key = LyingLog(seed=bytes(32)).key
    with pytest.raises(SignatureError):
        verify_evidence(evidence(log, fork), log.trust)
    other = LyingLog(origin="log.example/other")
    with pytest.raises(MerkleError):
        verify_evidence(evidence(log, other), log.trust)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"older": None},
        {"consistency": "x"},
        {"consistency": ["x"]},
        {"consistency": [1]},
        {"consistency": ["A" * 44] * 100},
        {"inclusion": []},
        {"inclusion": {"index": 2}},
        {"inclusion": {"index": 1, "leaf_hash": "A" * 43 + "=", "hashes": []}},
        {"more": 1},
    ],
)
def test_what_is_not_in_the_format_is_refused(changes: dict[str, Any]) -> None:
    log, fork = two_histories(3, 7)
    with pytest.raises(MalformedError):
        verify_evidence(evidence(log, fork, **changes), log.trust)


def only_file(folder: Path) -> bytes:
    (path,) = folder.rglob("*.inconsistency.json")
    return path.read_bytes()


@pytest.mark.parametrize("old", [2, 4, 5])
async def test_evidence_that_a_client_keeps_convicts_the_log(
    old: int, tmp_path: Path
) -> None:
    log, fork = two_histories(old, 7)

    async def prove(older: int, newer: int) -> tuple[bytes, ...]:
        return tuple(build_consistency(older, newer, fork.tree(newer).nodes))

    async def prove_leaf(index: int, size: int) -> Any:  # noqa: ANN401
        body = {
            "index": index,
            "size": size,
            "leaf_hash": encode_base64(leaf_hash(fork.leaves[index])),
            "hashes": [encode_base64(each) for each in fork.inclusion(index, size)],
        }
        return read_inclusion(json.dumps(body).encode(), log.trust)

    heads = Heads(log.trust, FileMemory(tmp_path), prove, prove_leaf)
    await heads.accept(verify_checkpoint(log.note(), log.trust))
    with pytest.raises(InconsistencyError):
        await heads.accept(verify_checkpoint(fork.note(), log.trust))
    assert verify_evidence(only_file(tmp_path), log.trust).begins == fork.root(old)


def verify(data: bytes, log: LyingLog, folder: Path, *options: str) -> Result:
    path = folder / "e.inconsistency.json"
    path.write_bytes(data)
    arguments = ["verify", str(path), "--log-key", log.vkey, *options]
    environment = {"XDG_CONFIG_HOME": str(folder)}
    return CliRunner().invoke(cli, arguments, env=environment)


def test_the_command_says_who_is_convicted_and_of_what(tmp_path: Path) -> None:
    log, fork = two_histories(4, 6)
    shown = verify(evidence(log, fork), log, tmp_path)
    assert shown.exit_code == 1
    assert "CONVICTED" in shown.stdout
    assert "6 leaves does not begin with its signed tree of 4" in shown.stdout
    (line,) = verify(evidence(log, fork), log, tmp_path, "--json").stdout.splitlines()
    judged = json.loads(line)
    assert (judged["verified"], judged["convicted"]) == (True, True)
    assert judged["begins"] == encode_base64(fork.root(4))


def test_the_command_tells_a_file_that_proves_nothing(tmp_path: Path) -> None:
    log, fork = two_histories(4, 6)
    data = evidence(log, fork, consistency=None, inclusion=None)
    assert "FAILED" in verify(data, log, tmp_path).stdout
    result = verify(data, log, tmp_path, "--json")
    judged = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (judged["verified"], judged["convicted"]) == (False, False)


def test_judging_takes_no_network(tmp_path: Path) -> None:
    log, fork = two_histories(4, 6)
    path = tmp_path / "e.json"
    path.write_bytes(evidence(log, fork))
    done = verify_alone(log.vkey, path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "CONVICTED" in done.stdout


def test_announcements_as_long_as_can_be_do_not_save_a_log_that_went_on(
    tmp_path: Path,
) -> None:
    log = RotatingLog()
    for number in range(1, 8):
        log.rotate(number)
    log.freeze()
    padded = [
        SignatureLine(f"w{number}.example", bytes(4), bytes(7_000))
        for number in range(90)
    ]
    announced = []
    for each in log.announcements():
        head, empty, note = each.proof.partition(b"\n\n")
        proof = head + empty + add_signatures(note, padded)
        announced.append(replace(each, proof=proof))
    document = format_announcements(log.origin, announced)
    assert len(document) > MAX_RECEIPT
    log.append(event(id="after the end"))
    kept = FreezeEvidence.of(log.origin, log.note(9), log.note(), document)
    path = FileMemory(tmp_path).convict(kept)
    done = CliRunner().invoke(cli, ["verify", "--log-key", log.vkey, path])
    assert (done.exit_code, "CONVICTED" in done.stdout) == (1, True), done.output
