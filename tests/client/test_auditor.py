"""The auditor: a log without fault has no findings, and every fault is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.auditing import Auditor
from provlog.client.auditing_parts import MAX_LISTED, Finding, parts
from provlog.client.chain import LeafChain, split_entries
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MerkleError
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.tiles import Bundle, Tile, encode_bundle
from support.tiled_logs import (
    KEY,
    ORIGIN,
    audited,
    checkpoint_of,
    event_leaf,
    flipped,
    good_leaves,
    other_leaf,
    params_leaf,
    places,
    served_parts,
)

LEAVES = good_leaves(600)
SERVED = served_parts(LEAVES)
CHECKPOINT = checkpoint_of(LEAVES)
EDGE = "tile/0/002.p/88"
PARTIAL = "tile/entries/002.p/88"


def altered(path: str, data: bytes | None) -> list[Finding]:
    """Return what is found in the log of 600 when one part is served differently."""
    return audited(CHECKPOINT, {**SERVED, path: data})[1]


def offset(bundle: str, place: int) -> int:
    """Return where an entry's text begins in a bundle."""
    entries = list(split_entries(SERVED[bundle], place))
    return sum(len(each) + 2 for each in entries) + 2


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 600])
def test_a_log_without_fault_has_no_findings(size: int) -> None:
    leaves = LEAVES[:size]
    auditor, said = audited(checkpoint_of(leaves), served_parts(leaves))
    assert (said, auditor.total, auditor.done) == ([], 0, size)


def test_a_log_without_entries_has_no_findings() -> None:
    assert audited(Checkpoint(ORIGIN, 0, EMPTY_ROOT), {})[1] == []


def test_a_tree_of_three_levels() -> None:
    # Entries that are not understood are cheap, and the tree is the same.
    leaves = [b'{"kind":"x","v":%d}' % (n + 2) for n in range(65_536 + 300)]
    leaves[0] = params_leaf()
    checkpoint, served = checkpoint_of(leaves), served_parts(leaves)
    assert audited(checkpoint, served)[1] == []
    assert {"tile/2/000.p/1", "tile/1/001.p/1", "tile/1/000"} < set(served)
    served["tile/1/000"] = flipped(served["tile/1/000"], 32 * 77)
    served["tile/0/077"] = flipped(served["tile/0/077"], 3)
    served["tile/entries/080"] = flipped(served["tile/entries/080"], 15)
    said = audited(checkpoint, served)[1]
    assert "tile/1/000" in places(said)
    assert "tile/0/077" in places(said)
    assert f"entry {80 * 256}" in places(said)


def test_parts_are_those_of_the_tree_and_tiles_come_first() -> None:
    assert list(parts(600)) == [
        Tile(1, 0, 2),
        Tile(0, 2, 88),
        Tile(0, 0),
        Bundle(0),
        Tile(0, 1),
        Bundle(1),
        Bundle(2, 88),
    ]
    assert list(parts(256)) == [Tile(1, 0, 1), Tile(0, 0), Bundle(0)]
    assert list(parts(0)) == []


def test_memory_does_not_grow_with_the_log() -> None:
    auditor = Auditor(CHECKPOINT)
    for part in auditor.remaining():
        auditor.feed(part, SERVED[part.path()])
    assert len(auditor._held) + len(auditor._edge) <= 4
    assert len(json.dumps(auditor.to_json())) < 20_000


@pytest.mark.parametrize(
    ("bundle", "first"), [("tile/entries/001", 256), (PARTIAL, 512)]
)
def test_a_flipped_byte_in_a_leaf_is_named(bundle: str, first: int) -> None:
    said = altered(bundle, flipped(SERVED[bundle], offset(bundle, 17) + 20))
    assert places(said) == [f"entry {first + 17}", "checkpoint"]
    assert said[0].index == first + 17
    assert "commits to" in said[0].problem


@pytest.mark.parametrize("path", ["tile/0/001", EDGE, "tile/1/000.p/2"])
def test_a_flipped_byte_in_a_tile_is_named_and_no_entry_is(path: str) -> None:
    assert places(altered(path, flipped(SERVED[path], 40))) == [path]


@pytest.mark.parametrize(("bundle", "first"), [("tile/entries/000", 0), (PARTIAL, 512)])
def test_a_missing_entry_is_named_and_the_others_are_not(
    bundle: str, first: int
) -> None:
    entries = list(split_entries(SERVED[bundle], 256))
    said = altered(bundle, encode_bundle(entries[:9] + entries[10:]))
    assert places(said) == [bundle, f"entry {first + 9}"]
    assert said[1].problem == f"is not in {bundle}"


@pytest.mark.parametrize("path", sorted(SERVED))
@pytest.mark.parametrize("data", [None, b"", b"x" * 33])
def test_a_part_that_is_not_served_is_named_and_the_rest_is_checked(
    path: str, data: bytes | None
) -> None:
    other = "tile/entries/000" if path != "tile/entries/000" else "tile/entries/001"
    wrong = flipped(SERVED[other], offset(other, 3) + 20)
    _, said = audited(CHECKPOINT, {**SERVED, path: data, other: wrong})
    assert path in places(said)
    assert f"entry {3 if other.endswith('000') else 259}" in places(said)


def test_a_tile_and_its_entries_both_missing_leave_a_gap_that_is_said() -> None:
    gap = {"tile/0/000": None, "tile/entries/000": None}
    _, said = audited(CHECKPOINT, {**SERVED, **gap})
    assert places(said)[-1] == "checkpoint"
    assert "cannot be recomputed" in said[-1].problem
    assert "entry 255" in places(said)
    assert "entry 256" not in places(said)


def test_tiles_and_entries_of_another_log_do_not_lead_to_the_checkpoint() -> None:
    other = Checkpoint(ORIGIN, 600, bytes(32))
    assert places(audited(other, SERVED)[1]) == ["checkpoint"]


def in_the_tree(*leaves: bytes) -> list[tuple[str, str]]:
    """Return what is found in a log that did log these leaves, and serves them."""
    said = audited(checkpoint_of(leaves), served_parts(leaves))[1]
    return [(each.place, each.problem) for each in said]


def test_a_wrong_count_is_named_once() -> None:
    start = [params_leaf(), event_leaf(0), event_leaf(1)]
    [alone] = in_the_tree(*start, event_leaf(7, at=2), event_leaf(3), event_leaf(4))
    assert alone == ("entry 3", "n is 7, and 2 events stand before it")
    [shift] = in_the_tree(*start, event_leaf(7), event_leaf(8), event_leaf(9))
    assert shift[0] == "entry 3"


def test_an_entry_that_is_no_event_does_not_count() -> None:
    root = other_leaf("admin", n=1, action="token.create", members={})
    assert in_the_tree(params_leaf(), event_leaf(0), root, event_leaf(1)) == []
    [(place, _)] = in_the_tree(params_leaf(), event_leaf(0), root, event_leaf(2))
    assert place == "entry 3"


def test_a_time_that_decreases_is_named_once() -> None:
    [found] = in_the_tree(
        params_leaf(), event_leaf(0, at=9), event_leaf(1, at=8), event_leaf(2, at=8)
    )
    assert found[0] == "entry 2"
    assert "before its predecessor" in found[1]


def test_params_stand_at_0_only_and_are_of_the_origin() -> None:
    again = params_leaf(n=1, at=5)
    [found] = in_the_tree(params_leaf(), event_leaf(0), again)
    assert found == ("entry 2", "params again, which stand at 0 only")
    [found] = in_the_tree(event_leaf(0), event_leaf(1))
    assert found == ("entry 0", "entry 0 is not the log's params")
    [found] = in_the_tree(params_leaf("other.example/main"))
    assert found == ("entry 0", "params of another origin")


def test_nothing_follows_a_freeze() -> None:
    freeze = other_leaf("freeze", n=1)
    assert in_the_tree(params_leaf(), event_leaf(0), freeze) == []
    found = in_the_tree(params_leaf(), event_leaf(0), freeze, event_leaf(1))
    assert found == [("entry 3", "stands behind entry 2, which ended the log")]


def test_epochs_come_in_order() -> None:
    def epoch(number: int, n: int) -> bytes:
        suites = {"1": 1, "2": 1, "7": 1}
        commit = "A" * 43
        return other_leaf("epoch", n=n, epoch=number, commit_e=commit, suites=suites)

    start = [params_leaf(), event_leaf(0)]
    assert in_the_tree(*start, epoch(2, 1), event_leaf(1, epoch=2)) == []
    assert places_of(*start, epoch(3, 1), event_leaf(1, epoch=3)) == ["entry 2"]
    assert places_of(*start, epoch(2, 1), event_leaf(1)) == ["entry 3"]
    assert places_of(*start, event_leaf(1, epoch=2), event_leaf(2)) == ["entry 2"]


def test_a_new_key_replaces_the_one_before() -> None:
    good = other_leaf("key", n=0, log_key="k2", replaces=KEY)
    bad = other_leaf("key", n=0, log_key="k3", replaces=KEY)
    assert in_the_tree(params_leaf(), good) == []
    assert places_of(params_leaf(), good, bad) == ["entry 2"]
    same = other_leaf("key", n=0, log_key=KEY, replaces=KEY)
    assert in_the_tree(params_leaf(), same) == [("entry 1", "replaces a key by itself")]


def test_a_leaf_that_is_not_in_canonical_form_is_named() -> None:
    loose = event_leaf(1).replace(b'","', b'", "', 1)
    found = in_the_tree(params_leaf(), event_leaf(0), loose, event_leaf(2))
    assert found == [("entry 2", "entry: not in canonical form")]


def test_an_entry_that_is_not_understood_is_no_fault_and_may_count() -> None:
    later = b'{"kind":"event","v":2}'
    assert in_the_tree(params_leaf(), event_leaf(0), later, event_leaf(1)) == []
    assert in_the_tree(params_leaf(), event_leaf(0), later, event_leaf(2)) == []
    assert places_of(params_leaf(), event_leaf(0), later, event_leaf(3)) == ["entry 3"]


def places_of(*leaves: bytes) -> list[str]:
    return [place for place, _ in in_the_tree(*leaves)]


def test_the_list_of_findings_is_bounded_and_the_count_is_not() -> None:
    leaves = [b"no entry %d" % place for place in range(MAX_LISTED + 50)]
    auditor, said = audited(checkpoint_of(leaves), served_parts(leaves))
    assert len(auditor.findings) == len(said) == MAX_LISTED
    assert auditor.total == MAX_LISTED + 50


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_byte_is_flipped_its_place_is_named(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(SERVED)))
    at = data.draw(st.integers(0, len(SERVED[path]) - 1))
    said = altered(path, flipped(SERVED[path], at))
    if not path.startswith("tile/entries/"):
        assert places(said) == [path]
        return
    first = int(path[13:16]) * 256
    ends = 0
    for place, entry in enumerate(split_entries(SERVED[path], 256)):
        ends += len(entry) + 2
        if at < ends:
            assert f"entry {first + place}" in places(said)
            return


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 2), path=st.sampled_from(sorted(SERVED)), at=st.integers(0))
def test_an_audit_that_goes_on_finds_what_one_in_one_go_finds(
    cut: int, path: str, at: int
) -> None:
    served = {**SERVED, path: flipped(SERVED[path], at % len(SERVED[path]))}
    whole, _ = audited(CHECKPOINT, served)
    auditor = Auditor(CHECKPOINT)
    for part in auditor.remaining():
        if isinstance(part, Bundle) and part.index == cut:
            break
        auditor.feed(part, served[part.path()])
    state = json.loads(json.dumps(auditor.to_json()))
    resumed = Auditor.from_json(CHECKPOINT, state)
    assert resumed.done == cut * 256
    for part in resumed.remaining():
        resumed.feed(part, served[part.path()])
    resumed.finish()
    assert set(resumed.findings) == set(whole.findings)
    assert resumed.total == whole.total


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)))
@settings(max_examples=40, deadline=None)
def test_what_is_no_state_is_refused(value: object) -> None:
    state: dict[str, object] = {**Auditor(CHECKPOINT).to_json()}
    with pytest.raises((MerkleError, ValueError, TypeError)):
        Auditor.from_json(CHECKPOINT, value)  # type: ignore[arg-type]
    for name in ("size", "edge", "chain", "findings"):
        # Of any value alone: three of the right kind are a finding.
        broken = {**state, name: [value, 0]}
        with pytest.raises((MerkleError, ValueError, TypeError)):
            Auditor.from_json(CHECKPOINT, broken)  # type: ignore[arg-type]


def test_the_end_of_a_log_and_its_newest_key_are_known_after_an_interruption_too() -> (
    None
):
    successor: dict[str, JsonValue] = {"origin": "log.example.com/next", "log_key": "k"}
    chain = LeafChain(ORIGIN)
    leaves = [
        params_leaf(),
        other_leaf("key", n=0, log_key="k2", replaces=KEY),
        other_leaf("freeze", n=0, successor=successor),
    ]
    assert [chain.check(index, leaf) for index, leaf in enumerate(leaves)] == [[]] * 3
    again = LeafChain.from_json(ORIGIN, json.loads(json.dumps(chain.to_json())))
    for each in (chain, again):
        assert each.frozen == {"size": 3, "successor": successor}
        assert each.key == "k2"
        assert each.check(3, event_leaf(0)) == [
            "stands behind entry 2, which ended the log"
        ]
    with pytest.raises(MerkleError):
        LeafChain.from_json(ORIGIN, {**chain.to_json(), "successor": {"origin": "x"}})


def test_what_a_log_succeeds_is_known_after_an_interruption_too() -> None:
    previous: dict[str, JsonValue] = {
        "origin": "log.example.com/old",
        "size": 9,
        "root": "A" * 43,
    }
    chain = LeafChain(ORIGIN)
    assert chain.check(0, params_leaf(previous=previous)) == []
    state = json.loads(json.dumps(chain.to_json()))
    assert LeafChain.from_json(ORIGIN, state).previous == previous
    del state["previous"]  # as an earlier version wrote it
    assert LeafChain.from_json(ORIGIN, state).previous is None
    with pytest.raises(MerkleError):
        LeafChain.from_json(ORIGIN, {**state, "previous": {"origin": "x"}})
