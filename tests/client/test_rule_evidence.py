"""The file of signed entries that break the log's rules, judged by its key alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.rule_evidence import (
    MAX_ITEMS,
    MAX_RULE_EVIDENCE,
    is_rule_evidence,
    judge_rule_evidence,
)
from provlog.merkle.encoding import canonical_json, encode_base64, format_time
from provlog.merkle.errors import (
    ContentError,
    MalformedError,
    MerkleError,
    ProofError,
    ReplacedKeyError,
    SignatureError,
)
from provlog.merkle.keys import SigningKey
from provlog.merkle.proof_file import format_proof
from provlog.merkle.trust import ReplacedKey, Trust
from support.altering import altered
from support.commands import verify_alone
from support.lying_log import LyingLog
from support.tiled_logs import (
    KEY,
    ORIGIN,
    START_MS,
    event_leaf,
    good_leaves,
    other_leaf,
    params_leaf,
)

TO_NEXT = other_leaf("key", n=1, log_key=KEY + "A", replaces=KEY)


def log_of(leaves: Sequence[bytes]) -> LyingLog:
    log = LyingLog(origin=ORIGIN)
    log.leaves[:] = leaves
    return log


def exhibit(log: LyingLog, index: int, size: int | None = None) -> dict[str, Any]:
    """Return a leaf with its proof in the tree of that size, by default the whole."""
    size = size or len(log.leaves)
    proof = format_proof(index, log.inclusion(index, size), log.note(size))
    leaf = encode_base64(log.leaves[index])
    return {"index": index, "leaf": leaf, "proof": proof}


def kept(log: LyingLog, leaves: Sequence[dict[str, Any]], **changes: Any) -> bytes:  # noqa: ANN401
    """Return the file that a monitor keeps."""
    whole = {
        "v": 1,
        "what": "broken-rules",
        "origin": log.origin,
        "checkpoint": log.note().decode(),
        "findings": [{"place": "entry 3", "problem": "n is 9", "index": 3}],
        "leaves": list(leaves),
        "served": {"tile/entries/000.p/7": "AAAA"},
    }
    return json.dumps({**whole, **changes}).encode()


def judged(log: LyingLog, *indexes: int) -> list[str]:
    """Return what the proofs of these leaves convict the log of."""
    data = kept(log, [exhibit(log, each) for each in indexes])
    return [each.sentence() for each in judge_rule_evidence(data, log.trust).breaches]


def epoch_entry(epoch: int, n: int) -> bytes:
    more = {"commit_e": "A" * 43, "suites": {"1": 1, "2": 1, "7": 1}}
    return other_leaf("epoch", n=n, epoch=epoch, **more)


def unknown(n: int, version: int = 1, **more: Any) -> bytes:  # noqa: ANN401
    recorded = format_time(START_MS + n)
    common: dict[str, Any] = {"epoch": 1, "kind": "weather", "n": n}
    return canonical_json({**common, "recorded": recorded, "v": version, **more})


ALONE = {
    "spaces": (3, b'{"v": 1, "kind": "event"}', "not in canonical form"),
    "no JSON": (3, b"alice@example.com", "entry: "),
    "empty": (3, b"", "not of 2 to"),
    "members": (3, event_leaf(2).replace(b'"tags":[],', b""), "'tags' is missing"),
    "no params": (0, event_leaf(0), "entry 0 is not the log's params"),
    "another": (0, params_leaf("log.example/other"), "params of another origin"),
    "params again": (3, params_leaf(n=2, at=2), "params again"),
    "epoch": (0, params_leaf().replace(b'"epoch":1', b'"epoch":2'), "where 1 is due"),
    "n": (3, event_leaf(4), "n is 4, and 0 to 3 events"),
    "its end": (3, other_leaf("freeze", n=2), "whose signed tree has 7 leaves"),
}


@pytest.mark.parametrize(("index", "leaf", "problem"), ALONE.values(), ids=ALONE)
def test_one_proved_entry_convicts(index: int, leaf: bytes, problem: str) -> None:
    leaves = good_leaves(7)
    leaves[index] = leaf
    (said,) = judged(log_of(leaves), index)
    assert said.startswith(f"entry {index}: ")
    assert problem in said


TOGETHER = {
    "recorded": ([event_leaf(1), event_leaf(2, at=-1)], "before its predecessor"),
    "n again": ([event_leaf(1), event_leaf(1)], "n is 1, and 2 events"),
    "n without event": ([epoch_entry(2, 1), event_leaf(2, epoch=2)], "n is 2, and 1"),
    "epoch": ([event_leaf(1), event_leaf(2, epoch=2)], "of epoch 2, where 1 is due"),
    "epoch entry": ([event_leaf(1), epoch_entry(3, 2)], "of epoch 3, where 2 is due"),
    "key": ([TO_NEXT, TO_NEXT], "replaces a key that is not the log's"),
}


@pytest.mark.parametrize(("pair", "problem"), TOGETHER.values(), ids=TOGETHER)
def test_two_neighbours_convict_and_not_alone(pair: list[bytes], problem: str) -> None:
    log = log_of([*good_leaves(2), *pair, event_leaf(9)])
    (said,) = judged(log, 2, 3)
    assert said.startswith("entry 3: ")
    assert problem in said
    for index in (2, 3):
        with pytest.raises(ContentError, match="nothing in the file shows"):
            judged(log, index)


def test_an_entry_behind_the_end_convicts_beside_it() -> None:
    leaves = [*good_leaves(2), other_leaf("freeze", n=1), event_leaf(1)]
    assert judged(log_of(leaves), 2, 3) == [
        "entry 2: ended the log, whose signed tree has 4 leaves",
        "entry 3: stands behind entry 2, which ended the log",
    ]
    with pytest.raises(ContentError):
        judged(log_of(leaves[:3]), 1, 2)


def test_leaves_of_two_trees_or_with_a_gap_are_not_held_to_one_another() -> None:
    log = log_of([*good_leaves(3), event_leaf(2, at=-1), event_leaf(3)])
    two_trees = [exhibit(log, 2, 4), exhibit(log, 3, 5)]
    for leaves in (two_trees, [exhibit(log, 1), exhibit(log, 3)]):
        with pytest.raises(ContentError):
            judge_rule_evidence(kept(log, leaves), log.trust)
    assert judged(log, 2, 3)


def test_what_the_file_says_and_does_not_prove_convicts_nobody() -> None:
    log = log_of(good_leaves(7))
    false = {"index": 3, "leaf": encode_base64(event_leaf(77))}
    two, three = exhibit(log, 2), exhibit(log, 3)
    with pytest.raises(ContentError, match="of 2 entries in it 1 are proved"):
        judge_rule_evidence(kept(log, [two, false]), log.trust)
    with pytest.raises(ProofError):
        judge_rule_evidence(kept(log, [{**three, **false}]), log.trust)
    with pytest.raises(ContentError, match="proved at another index"):
        judge_rule_evidence(kept(log, [{**three, "index": 0}]), log.trust)


def test_of_what_was_served_only_the_checkpoint_is_signed() -> None:
    log = log_of(good_leaves(7))
    with pytest.raises(ContentError, match=r"convicts nobody; .* 7 leaves is truly"):
        judge_rule_evidence(kept(log, [], what="wrong-content"), log.trust)
    # What a file calls itself is not signed either: a proof convicts all the same.
    log.leaves[3] = event_leaf(5)
    data = kept(log, [exhibit(log, 3)], what="wrong-content")
    assert judge_rule_evidence(data, log.trust).breaches


def test_no_other_key_speaks_for_the_log() -> None:
    log = log_of(good_leaves(7))
    thief = log.fork()
    thief.leaves[3] = event_leaf(77)
    new = SigningKey.from_seed(ORIGIN, bytes(32)).verifier()
    old = log.key.verifier()
    trust = Trust((old, new), ORIGIN, replaced=(ReplacedKey(old, 4, new),))
    # The tree of 7 entries holds the one that replaced the key: it may be anybody's.
    for header in (thief.note(), log.note(4)):
        data = kept(thief, [exhibit(thief, 3)], checkpoint=header.decode())
        with pytest.raises(ReplacedKeyError):
            judge_rule_evidence(data, trust)
    with pytest.raises(SignatureError):
        judge_rule_evidence(data, Trust((new,), ORIGIN))
    stranger = LyingLog(origin=ORIGIN, seed=bytes(32))
    stranger.leaves[:] = thief.leaves
    with pytest.raises(SignatureError):
        judge_rule_evidence(kept(log, [exhibit(stranger, 3)]), log.trust)


ENTRY: dict[str, Any] = {"index": 1, "leaf": ""}
BAD_LEAVES: list[Any] = [
    *(None, [None], [{"index": 1}], [{**ENTRY, "why": ""}]),
    *([{**ENTRY, "index": each}] for each in (True, -1, 1 << 63, "1")),
    *([{**ENTRY, "leaf": each}] for each in (5, "A" * 87_384, "e30")),
    *([{**ENTRY, "proof": each}] for each in (None, "", "index 1")),
    *([{**ENTRY, "index": each} for each in pair] for pair in ((2, 1), (2, 2))),
    [{**ENTRY, "index": each} for each in range(MAX_ITEMS + 1)],
]
BAD: list[tuple[str, Any]] = [
    *(("leaves", each) for each in BAD_LEAVES),
    *(("v", 2), ("v", True), ("what", "alice"), ("what", []), ("more", 1)),
    *(("checkpoint", ""), ("checkpoint", None), ("origin", None), ("served", [])),
    *(("findings", {}), ("findings", [0] * (MAX_ITEMS + 1))),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_is_not_of_the_form_is_refused(name: str, value: Any) -> None:  # noqa: ANN401
    log = log_of(good_leaves(2))
    data = json.dumps({**json.loads(kept(log, [])), name: value}).encode()
    with pytest.raises(MalformedError):
        judge_rule_evidence(data, log.trust)


def test_the_file_is_bounded_before_it_is_read() -> None:
    with pytest.raises(MalformedError, match="longer than"):
        judge_rule_evidence(b"[" * (MAX_RULE_EVIDENCE + 1), LyingLog().trust)
    assert not is_rule_evidence(b"[" * 99)
    assert not is_rule_evidence(b'["what","leaves","served"]')


@st.composite
def honest(draw: st.DrawFn) -> list[bytes]:
    """Return the leaves of a log that keeps its rules, some of them of a newer one."""
    newer = unknown(0, 2, kind="params")
    leaves = [draw(st.sampled_from([params_leaf(), unknown(0), newer]))]
    n, epoch, key = 0, 1, KEY
    kinds = st.sampled_from(["event", "epoch", "key", "weather", "newer", "params"])
    for kind in draw(st.lists(kinds, max_size=9)):
        epoch += kind == "epoch"
        new = f"{key}A"
        leaves.append(
            {
                "event": event_leaf(n, epoch=epoch),
                "epoch": epoch_entry(epoch, n),
                "key": other_leaf("key", n=n, epoch=epoch, log_key=new, replaces=key),
                "weather": unknown(n, epoch=epoch),
                "newer": unknown(1 << 40, 7, recorded={"at": [0]}),
                "params": newer,
            }[kind]
        )
        n, key = n + (kind == "event"), new if kind == "key" else key
    if draw(st.booleans()):
        leaves.append(other_leaf("freeze", n=n, epoch=epoch))
    return leaves


@given(st.data())
@settings(max_examples=60)
def test_no_file_convicts_an_honest_log(data: st.DataObject) -> None:
    """However leaves, indexes, proofs and trees of it are put together."""
    log = log_of(data.draw(honest()))
    size = len(log.leaves)
    place = st.integers(0, size - 1)
    tree = st.just(size) | st.integers(1, size)
    forged = st.sampled_from([event_leaf(77), b"{}", *log.leaves])
    changes = ["", "leaf", "index", "proof"] if data.draw(st.booleans()) else [""]
    leaves = []
    for index in sorted(data.draw(st.sets(place, min_size=1))):
        change = data.draw(st.sampled_from(changes))
        each = exhibit(log, index, max(index + 1, data.draw(tree)))
        if change == "leaf":
            each["leaf"] = encode_base64(data.draw(forged))
        elif change == "index":
            each["index"] = index + 1
        elif change == "proof":
            each["proof"] = exhibit(log, data.draw(place))["proof"]
        leaves.append(each)
    what = data.draw(st.sampled_from(["broken-rules", "wrong-content"]))
    file = kept(log, leaves, what=what, checkpoint=log.note(data.draw(tree)).decode())
    if data.draw(st.booleans()):
        file = altered(file, data.draw(st.integers(0, len(file) - 1)))
    with pytest.raises(MerkleError):
        judge_rule_evidence(file, log.trust)


def test_the_command_judges_it_offline(tmp_path: Path) -> None:
    log = log_of([*good_leaves(3), event_leaf(9, at=-1), event_leaf(3)])
    path = tmp_path / "a.broken-rules.json"
    path.write_bytes(kept(log, [exhibit(log, 2), exhibit(log, 3)]))
    done = verify_alone(log.vkey, path)
    first, *rest = done.stdout.splitlines()
    assert first == f"CONVICTED  {path}: {ORIGIN} signed what breaks its own rules"
    assert "entry 3: n is 9, and 2 events stand before it" in rest[0]
    assert "before its predecessor" in rest[1]
    assert rest[2].strip() == f"signed: 5 leaves, root {encode_base64(log.root(5))}"
    done = verify_alone(log.vkey, path, "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["verified"], shown["convicted"]) == (1, True, True)
    assert {each["index"] for each in shown["breaches"]} == {3}
    path.write_bytes(kept(log, [], what="wrong-content"))
    done = verify_alone(log.vkey, path, "--json")
    assert (done.returncode, '"convicted": false' in done.stdout) == (1, True)
