"""Leaves: golden bytes for each kind, canonical form, and every refusal."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue, canonical_json
from provlog.merkle.entries import (
    KINDS,
    MAX_ENTRY,
    build_entry,
    event_template,
    parse_entry,
)
from provlog.merkle.entry_shapes import check_body
from provlog.merkle.errors import MalformedError
from support.golden_entries import (
    HASH,
    RECORDED,
    digests,
    event_leaf,
    golden_leaves,
)

GOLDEN = Path(__file__).parent / "golden"
LEAVES = golden_leaves()


def rewritten(leaf: bytes, **changes: JsonValue) -> bytes:
    """Return a canonical leaf with members replaced; None removes one."""
    body = json.loads(leaf) | changes
    return canonical_json({k: v for k, v in body.items() if v is not None})


def test_there_is_a_golden_file_for_each_kind_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.leaf")} == set(LEAVES)
    assert {parse_entry(leaf).kind for leaf in LEAVES.values()} == set(KINDS)


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_has_the_bytes_it_always_had(name: str) -> None:
    assert LEAVES[name] == (GOLDEN / f"{name}.leaf").read_bytes()


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_is_what_rfc_8785_makes_of_it(name: str) -> None:
    assert rfc8785.dumps(json.loads(LEAVES[name])) == LEAVES[name]


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_is_understood_and_keeps_its_bytes(name: str) -> None:
    entry = parse_entry(LEAVES[name])
    assert entry.understood
    assert entry.data == LEAVES[name]


def test_an_event_tells_its_parts() -> None:
    entry = parse_entry(LEAVES["event"])
    assert (entry.version, entry.epoch, entry.n) == (1, 1, 1234)
    assert entry.recorded == 1_795_283_636_001
    assert entry.members == digests()
    assert list(entry.tags) == sorted(entry.tags)
    assert len(entry.tags) == 3


def test_the_template_writes_what_the_serialiser_writes() -> None:
    body = json.loads(LEAVES["event"])
    for name in ("epoch", "kind", "n", "recorded", "v"):
        del body[name]
    built = build_entry("event", epoch=1, n=1234, recorded=RECORDED, body=body)
    assert built == LEAVES["event"]


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": 2, "epoch": None, "members": None},
        {"kind": "merger"},
        {"kind": "merger", "anything": ["goes", 1]},
    ],
)
def test_an_unknown_version_or_kind_is_not_understood_and_no_error(
    changes: dict[str, JsonValue],
) -> None:
    assert not parse_entry(rewritten(LEAVES["event"], **changes)).understood


BAD_EVENTS: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "no recorded": {"recorded": None},
    "a member more": {"subject": "alice"},
    "id too short": {"id": HASH[:-1]},
    "id not canonical": {"id": HASH[:-1] + "9"},
    "epoch 0": {"epoch": 0},
    "epoch above u32": {"epoch": 2**32},
    "n not a number": {"n": "5"},
    "seq a string": {"seq": "17"},
    "no milliseconds": {"time": "2026-11-21T17:53:55Z"},
    "no such day": {"time": "2026-02-30T17:53:55.516Z"},
    "another zone": {"recorded": "2026-11-21T17:53:55.516+01:00"},
    "type in upper case": {"type": "Role.assign"},
    "type without a dot": {"type": "role"},
    "type too long": {"type": "a." + "b" * 127},
    "source empty": {"source": ""},
    "source too long": {"source": "u" * 257},
    "members a list": {"members": []},
    "a member's name in upper case": {"members": {"Actor": HASH}},
    "33 members": {"members": {f"m{i}": HASH for i in range(33)}},
    "a digest twice": {"members": {"a": HASH, "b": HASH}},
    "tags out of order": {"tags": sorted(parse_entry(LEAVES["event"]).tags)[::-1]},
    "a tag twice": {"tags": [HASH, HASH]},
    "nine tags": {
        "tags": sorted("A" * 41 + f"{i:x}A" for i in range(9)),
    },
}


@pytest.mark.parametrize("changes", BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_a_bad_event_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        parse_entry(rewritten(LEAVES["event"], **changes))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("event", {"v": 1.0}),
        ("event", {"n": 5.0}),
        ("event", {"n": True}),
        ("params", {"suites": {"1": 1.0, "2": 1, "7": 1}}),
        ("params", {"suites": {"1": True, "2": 1, "7": 1}}),
    ],
)
def test_integers_are_of_no_other_type(name: str, changes: dict[str, Any]) -> None:
    body = json.loads(LEAVES[name])
    assert check_body(body)
    with pytest.raises(MalformedError):
        check_body(body | changes)


BAD_OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "params without origin": ("params", {"origin": None}),
    "params without leaf versions": ("params", {"leaf_versions": []}),
    "params with a suite of no kind": ("params", {"suites": {"1": 1, "2": 1, "9": 1}}),
    "params with suite 3": ("params", {"suites": {"1": 1, "2": 1, "7": 3}}),
    "params with half a predecessor": ("params", {"previous": {"origin": "a"}}),
    "an index root without its size": ("root", {"index_size": None}),
    "an erasure of text": ("erasure", {"count": "2"}),
    "an action without a dot": ("admin", {"action": "create"}),
    "a key that replaces nothing": ("key", {"replaces": None}),
    "a freeze with a string": ("freeze", {"successor": "log.example.com/new"}),
    "an event's members in a freeze": ("freeze", {"source": "urn:x"}),
}


@pytest.mark.parametrize(("name", "changes"), BAD_OTHERS.values(), ids=BAD_OTHERS)
def test_a_bad_entry_of_another_kind_is_refused(
    name: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(MalformedError):
        parse_entry(rewritten(LEAVES[name], **changes))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'"text"',
        LEAVES["event"] + b"\n",
        b" " + LEAVES["event"],
        LEAVES["event"].replace(b'"epoch":1,', b'"epoch":1, '),
        LEAVES["event"].replace(b'"epoch":1,', b'"epoch":1.0,'),
        LEAVES["event"].replace(b'"epoch":1,', b'"epoch":1,"epoch":1,'),
        LEAVES["event"].replace(b'"epoch":1,', b"").replace(b'"v":1', b'"v":1,"a":1'),
        LEAVES["event"].replace(b"role.assign", b"role.\\u0061ssign"),
        LEAVES["event"].replace(b'"seq":17', b'"seq":null'),
        LEAVES["event"].replace(b'"seq":17', b'"seq":9007199254740992'),
        LEAVES["event"].replace(b'"seq":17', b'"seq":-1'),
        LEAVES["event"].replace(b'"n":1234', b'"n":true'),
        LEAVES["event"].replace(b'"v":1', b'"v":true'),
        LEAVES["event"].replace(b"urn:okta", "urn:ökta".encode()),
        b'{"kind":"x","v":1,"w":"' + b"a" * MAX_ENTRY + b'"}',
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_entry(data)


@given(st.data())
def test_one_changed_byte_is_refused_or_seen(data: st.DataObject) -> None:
    leaf = bytearray(LEAVES["event"])
    place = data.draw(st.integers(0, len(leaf) - 1))
    leaf[place] ^= data.draw(st.integers(1, 255))
    try:
        entry = parse_entry(bytes(leaf))
    except MalformedError:
        return
    assert entry.data != LEAVES["event"]
    assert canonical_json(dict(entry.body)) == bytes(leaf)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_entry(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"entry_id": "short"},
        {"source": 'urn:"x'},
        {"source": ""},
        {"type": "role"},
        {"type": "a." + "b" * 127},
        {"time": "2026-11-21T17:53:55Z"},
        {"seq": 2**53},
        {"seq": -1},
        {"tags": [HASH, HASH]},
        {"tags": ["x"]},
        {"members": {"Actor": HASH}},
        {"members": {f"m{i}": HASH for i in range(33)}},
    ],
)
def test_a_template_refuses_what_a_verifier_would(changes: dict[str, Any]) -> None:
    fitting: dict[str, Any] = {
        "entry_id": HASH,
        "members": {},
        "source": "urn:x",
        "tags": [],
        "time": RECORDED,
        "type": "a.b",
    }
    assert parse_entry(event_template(**fitting).finish(1, 0, RECORDED)).understood
    with pytest.raises(ValueError, match=r"event entry|unique"):
        event_template(**(fitting | changes))


def test_build_entry_refuses_what_a_verifier_would() -> None:
    for kind, body in (("freeze", {"x": 1}), ("merger", {}), ("admin", {})):
        with pytest.raises(ValueError, match=r"entry|entries"):
            build_entry(kind, epoch=1, n=0, recorded=RECORDED, body=body)


def test_an_event_leaf_is_small() -> None:
    # Tiles are public and kept for ever: a leaf that grows is a cost without end.
    assert len(event_leaf()) < 800
