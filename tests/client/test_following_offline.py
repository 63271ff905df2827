"""Offline, the first key is enough: by what is remembered, or by files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.evidence import judge_evidence, verify_evidence
from provlog.client.freeze_evidence import FreezeConviction, FreezeEvidence
from provlog.client.memory import Evidence
from provlog.merkle.announcements import follow, format_announcements
from provlog.merkle.errors import (
    ContentError,
    FrozenError,
    MalformedError,
    MerkleError,
    ReplacedKeyError,
    SignatureError,
)
from support.commands import verify_alone
from support.lying_log import Served, event, serving
from support.rotating_logs import RotatingLog, filled, run

NEXT = ("log.example/next", "log.example/next+00000000+AQ")


@pytest.fixture
def log() -> RotatingLog:
    return filled()


@pytest.fixture
def served(log: RotatingLog) -> Iterator[Served]:
    with serving(log) as running:
        yield running


def receipt_file(log: RotatingLog, folder: Path) -> Path:
    path = folder / "2.receipt.json"
    path.write_text(json.dumps(log.receipt(2)))
    return path


def test_a_receipt_is_verified_offline_with_the_first_key_and_a_file(
    log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    receipt, announced = receipt_file(log, tmp_path), tmp_path / "announcements"
    announced.write_bytes(log.announcements_document())
    state = ["--state", str(tmp_path / "none")]
    alone = verify_alone(log.vkey, receipt, *state)
    assert alone.returncode == 1
    assert "--announcements" in alone.stdout
    done = verify_alone(log.vkey, receipt, "--announcements", announced, *state)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "none").exists()


def test_a_receipt_is_verified_offline_by_what_other_commands_remember(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    receipt = receipt_file(log, tmp_path)
    assert run(served, log, tmp_path, "monitor", "--once").exit_code == 0
    state = tmp_path / "state"
    assert verify_alone(log.vkey, receipt, "--state", state).returncode == 0


def test_whatever_works_offline_goes_by_what_is_remembered(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    receipts = tmp_path / "receipts"
    receipts.mkdir()
    receipt_file(log, receipts)
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "r"\ntypes = ["role.assign"]\n')
    offline = (
        ["compare", "--offline", str(receipts)],
        ["rules", "try", str(rules), str(receipts)],
    )
    for command in offline:
        assert run(served, log, tmp_path, *command).exit_code == 1
    assert run(served, log, tmp_path, "monitor", "--once").exit_code == 0
    for command in offline:
        result = run(served, log, tmp_path, *command)
        assert result.exit_code in (0, 3, 4), result.output
        assert "signature" not in result.output


def test_a_file_of_announcements_that_does_not_verify_is_refused(
    log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    receipt, announced = receipt_file(log, tmp_path), tmp_path / "announcements"
    announced.write_bytes(
        log.announcements_document().replace(b'"index":4', b'"index":3')
    )
    done = verify_alone(log.vkey, receipt, "--announcements", announced)
    assert done.returncode == 1


def evidence(log: RotatingLog, larger: bytes, **changes: Any) -> bytes:  # noqa: ANN401
    document = log.announcements_document()
    kept = FreezeEvidence.of(log.origin, log.note(log.ended), larger, document)
    return json.dumps({**kept.to_json(), **changes}).encode()


def ended() -> RotatingLog:
    log = filled()
    log.rotate(1, retire=True)
    log.freeze(NEXT)
    log.append(event(id="behind"))
    return log


def test_the_file_convicts_in_the_hands_of_who_has_the_first_key(
    tmp_path: Path,
) -> None:
    log = ended()
    path = tmp_path / "e.inconsistency.json"
    path.write_bytes(evidence(log, log.note()))
    done = verify_alone(log.vkey, path)
    assert done.returncode == 1
    assert "CONVICTED" in done.stdout
    assert "ended with its entry 5, and signed a tree of 7 leaves" in done.stdout
    shown = verify_alone(log.vkey, path, "--json").stdout
    assert json.loads(shown)["frozen_at"] == 6


def test_a_freeze_proved_in_a_larger_tree_is_a_conviction_in_itself() -> None:
    log = ended()
    assert log.ended is not None
    last = log.announced(log.ended, [log.newest()], len(log.leaves))
    document = format_announcements(log.origin, [*log.announcements()[:1], last])
    data = evidence(log, log.note(), announcements=json.loads(document))
    found = judge_evidence(data, log.trust)
    assert isinstance(found, FreezeConviction)
    assert found.larger.checkpoint.size == len(log.leaves)


def test_a_fork_that_a_replaced_key_signed_is_not_the_logs_doing() -> None:
    log = filled()
    log.rotate(1, retire=True)
    fork = log.fork()
    log.append(event(id="true"))
    fork.append(event(id="forged"))
    thief = fork.note(keys=[log.key])
    data = json.dumps(Evidence(log.origin, log.note(), thief, None).to_json()).encode()
    trust = follow(log.trust, log.announcements_document()).trust
    with pytest.raises(ReplacedKeyError):
        verify_evidence(data, trust)
    own = Evidence(log.origin, log.note(), fork.note(), None).to_json()
    found = verify_evidence(json.dumps(own).encode(), trust)
    assert found.origin == log.origin


def test_nothing_less_convicts_a_log() -> None:
    log = ended()
    unended = json.loads(format_announcements(log.origin, log.announcements()[:1]))
    other = RotatingLog(seed=bytes(32))
    for data, error in (
        (evidence(log, log.note(6)), ContentError),
        (evidence(log, log.note(7), announcements=unended), ContentError),
        (evidence(log, log.note(7, [log.key])), SignatureError),
        (evidence(log, log.note(7, [other.key])), SignatureError),
        (evidence(log, log.note(7), announcements=[]), MalformedError),
        (evidence(log, log.note(7), announcements=None), MalformedError),
    ):
        with pytest.raises(error):
            judge_evidence(data, log.trust)
    with pytest.raises(MerkleError):
        judge_evidence(evidence(log, log.note()), other.trust)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_honest_frozen_log_is_not_convicted(data: st.DataObject) -> None:
    log = filled(2)
    for number in range(data.draw(st.integers(0, 2))):
        log.rotate(number + 1)
    log.freeze()
    size = data.draw(st.integers(0, len(log.leaves)))
    keys = data.draw(
        st.lists(st.sampled_from(log.signers(len(log.leaves))), unique=True)
    )
    with pytest.raises(MerkleError) as caught:
        judge_evidence(evidence(log, log.note(size, keys)), log.trust)
    assert not isinstance(caught.value, FrozenError)
