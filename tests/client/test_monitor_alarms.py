"""Alarms over time, and what the clocks of witnesses give away."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.errors import UsageError
from provlog.client.monitoring.alarm_file import AlarmFile
from provlog.client.monitoring.alarms import Alarms
from provlog.client.monitoring.freshness import (
    Freshness,
    judge_freshness,
    quorum_time,
)
from provlog.client.monitoring.symptoms import KINDS, SETTLE, Symptom
from provlog.merkle.encoding import loads_json
from provlog.merkle.errors import MalformedError
from provlog.merkle.policy import parse_policy
from provlog.merkle.trust import Cosignature, SignedCheckpoint, Trust, verify_checkpoint
from support.cosigners import Cosigner
from support.lying_log import LyingLog

NOW = 1_800_000_000
WITNESSES = [Cosigner.ed25519(f"w{n}.example", n) for n in range(1, 5)]
UNREACHABLE = Symptom("unreachable", "no answer")
FORKED = Symptom("forked", "two histories", {"evidence": "a file"})
RULE = Freshness(max_age=3600, tolerance=300)


def policy_of(log: LyingLog, quorum: str = "2") -> bytes:
    lines = [f"log {log.vkey}"]
    lines += [f"witness w{n} {each.key.vkey()}" for n, each in enumerate(WITNESSES)]
    lines += ["group inner any w2 w3", f"group all {quorum} w0 w1 inner"]
    return "\n".join([*lines, "quorum all", ""]).encode()


def cosigned(log: LyingLog, times: dict[int, int]) -> tuple[SignedCheckpoint, Trust]:
    note = log.note()
    for number, at in times.items():
        note = WITNESSES[number].cosign(note, at)
    trust = Trust.from_policy(policy_of(log))
    return verify_checkpoint(note, trust), trust


def observe(alarms: Alarms, *symptoms: Symptom, at: float) -> list[tuple[str, str]]:
    judged = {"unreachable", "forked"}
    return [(a.kind, a.phase) for a in alarms.observe(symptoms, judged, at)]


def test_an_alarm_begins_once_goes_on_daily_and_is_resolved_once() -> None:
    alarms = Alarms("o", repeat=86_400)
    assert observe(alarms, UNREACHABLE, at=0) == []
    assert observe(alarms, UNREACHABLE, at=299) == []
    assert observe(alarms, UNREACHABLE, at=300) == [("unreachable", "begins")]
    assert observe(alarms, UNREACHABLE, at=86_000) == []
    assert observe(alarms, UNREACHABLE, at=86_700) == [("unreachable", "goes on")]
    assert observe(alarms, at=86_710) == []
    assert observe(alarms, at=86_710 + SETTLE) == [("unreachable", "resolved")]
    assert observe(alarms, at=90_000) == []
    assert alarms.raised() == []


def test_a_log_that_comes_and_goes_sends_one_alert_and_not_many() -> None:
    alarms = Alarms("o")
    observe(alarms, UNREACHABLE, at=0)
    told = observe(alarms, UNREACHABLE, at=400)
    for second in range(500, 3000, 100):
        told += observe(alarms, *([UNREACHABLE] if second % 200 else []), at=second)
    assert told == [("unreachable", "begins")]


def test_what_was_short_is_no_alarm() -> None:
    alarms = Alarms("o")
    for second in range(0, 3000, 200):
        assert observe(alarms, UNREACHABLE, at=second) == []
        assert observe(alarms, at=second + 100) == []


def test_a_look_that_says_nothing_of_an_alarm_does_not_resolve_it() -> None:
    alarms = Alarms("o")
    alarms.observe([Symptom("rolled-back", "x")], (), 0)
    for second in range(0, 10_000, 1000):
        alarms.observe([UNREACHABLE], {"trouble"}, second)
    assert "rolled-back" in [each.symptom.kind for each in alarms.raised()]


def test_a_fork_is_never_resolved_and_keeps_the_evidence_it_began_with() -> None:
    alarms = Alarms("o", repeat=1000)
    assert observe(alarms, FORKED, at=0) == [("forked", "begins")]
    assert observe(alarms, Symptom("forked", "again", {"evidence": "b"}), at=1) == []
    assert observe(alarms, at=500) == []
    [again] = alarms.observe((), {"forked"}, 1000)
    assert (again.phase, again.text) == ("goes on", "two histories")
    assert again.details["evidence"] == "a file"


def test_alarms_live_on_in_a_file_and_are_not_told_again(tmp_path: Path) -> None:
    file = AlarmFile(tmp_path / "alarms.json", "o")
    alarms = Alarms("o")
    observe(alarms, FORKED, UNREACHABLE, at=0)
    file.save(alarms)
    again = Alarms("o")
    AlarmFile(tmp_path / "alarms.json", "o").load(again)
    assert again.to_json() == alarms.to_json()
    assert observe(again, FORKED, UNREACHABLE, at=10) == []
    # Since when it is unreachable is known as well.
    assert observe(again, FORKED, UNREACHABLE, at=300) == [("unreachable", "begins")]


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"v":1,"origin":"x","alarms":[]}'])
def test_a_damaged_file_of_alarms_is_not_passed_over(
    damage: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "alarms.json"
    path.write_bytes(damage)
    with pytest.raises(UsageError, match="damaged"):
        AlarmFile(path, "o").load(Alarms("o"))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2000),
            st.sets(st.sampled_from(sorted(KINDS))),
            st.sets(st.sampled_from(sorted(KINDS))),
        ),
        max_size=30,
    ),
    st.integers(0, 30),
)
@settings(max_examples=60)
def test_what_is_told_is_in_order_whatever_happens_and_wherever_it_is_interrupted(
    looks: list[tuple[int, set[str], set[str]]], restart: int
) -> None:
    alarms, now = Alarms("o", 5000), 0.0
    on: set[str] = set()
    for number, (passed, present, judged) in enumerate(looks):
        now += passed
        if number == restart:
            kept = loads_json(json.dumps(alarms.to_json()).encode())
            alarms = Alarms("o", 5000)
            alarms.restore(kept)
        symptoms = [Symptom(kind, "t") for kind in sorted(present)]
        for alert in alarms.observe(symptoms, judged, now):
            if alert.phase == "begins":
                assert alert.kind not in on
                on.add(alert.kind)
            else:
                assert alert.kind in on
            if alert.phase == "resolved":
                assert not KINDS[alert.kind].lasting
                assert alert.kind not in present
                on.remove(alert.kind)
        assert {each.symptom.kind for each in alarms.raised()} == on


@pytest.mark.parametrize(
    "value", [None, [1], [{"kind": "x"}], [{"kind": "forked", "since": True}]]
)
def test_what_is_no_state_of_alarms_is_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        Alarms("o").restore(value)  # type: ignore[arg-type]


@given(
    st.dictionaries(st.integers(0, 3), st.integers(0, 50), min_size=0),
    st.sampled_from(["1", "2", "3"]),
)
@settings(max_examples=60)
def test_the_quorum_time_is_the_newest_from_which_on_a_quorum_cosigned(
    times: dict[int, int], threshold: str
) -> None:
    policy = parse_policy(policy_of(LyingLog(), threshold))
    cosignatures = [
        Cosignature(f"w{number}", WITNESSES[number].key, at)
        for number, at in times.items()
    ]
    # By brute force: of each set that is a quorum, its oldest.
    quorums = [
        min(each.timestamp for each in chosen)
        for count in range(1, 5)
        for chosen in combinations(cosignatures, count)
        if policy.satisfied_by({each.witness for each in chosen})
    ]
    assert quorum_time(policy, cosignatures) == max(quorums, default=None)


def test_no_quorum_is_asked_for_and_so_none_has_a_time() -> None:
    policy = parse_policy(f"log {LyingLog().vkey}\nquorum none\n")
    assert quorum_time(policy, []) is None


def kinds(times: dict[int, int], recorded: int | None = None) -> list[str]:
    signed, trust = cosigned(LyingLog(), times)
    found = judge_freshness(signed, trust.policy, recorded, RULE, NOW)
    return [each.kind for each in found]


def test_a_head_is_as_old_as_its_quorum_and_not_as_its_newest_cosignature() -> None:
    assert kinds({0: NOW - 10, 1: NOW - 3600}) == []
    assert kinds({0: NOW - 10, 1: NOW - 3601}) == ["stale-witnesses"]
    assert kinds({0: NOW - 10, 1: NOW - 9999, 2: NOW - 20}) == []
    # Two members of one group are one.
    assert kinds({0: NOW - 9999, 2: NOW - 10, 3: NOW - 10}) == ["stale-witnesses"]


def test_an_entry_from_after_its_cosignatures_is_named() -> None:
    cosigning = NOW - 1000
    late = (cosigning + 301) * 1000
    assert kinds({0: cosigning, 1: cosigning}, late) == ["recorded-ahead"]
    assert kinds({0: cosigning, 1: cosigning}, late - 1000) == []
    # A quorum that cosigned later has seen it.
    assert kinds({0: cosigning, 1: NOW, 2: NOW}, late) == []


def test_cosignatures_from_the_future_are_told_from_a_clock_that_is_late() -> None:
    signed, trust = cosigned(LyingLog(), {0: NOW + 301, 1: NOW})
    [one] = judge_freshness(signed, trust.policy, None, RULE, NOW)
    assert one.kind == "cosignature-ahead"
    assert "that witness's clock is wrong, or this machine's" in one.text
    signed, trust = cosigned(LyingLog(), {0: NOW + 301, 1: NOW + 302})
    [all_of_them] = judge_freshness(signed, trust.policy, None, RULE, NOW)
    assert "set this machine's clock" in all_of_them.text
    signed, trust = cosigned(LyingLog(), {0: 2**63 - 1, 1: NOW})
    assert judge_freshness(signed, trust.policy, None, RULE, NOW)
