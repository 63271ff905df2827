"""Receipts: what verifies, and every way in which one must not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.disclosures import make_disclosure
from provlog.merkle.encoding import canonical_json, encode_base64
from provlog.merkle.errors import (
    ContentError,
    MalformedError,
    MerkleError,
    ProofError,
    SignatureError,
)
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.keys import SigningKey
from provlog.merkle.labels import LabelKind
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof
from provlog.merkle.receipts import Openings, receipt_json, verify_receipt
from provlog.merkle.trust import Trust
from support.golden_entries import (
    LABELS,
    NONCE,
    ORIGIN,
    disclosures,
    event_leaf,
    golden_leaves,
    params_leaf,
)
from support.naive_tree import NaiveTree

KEY = SigningKey.from_seed(ORIGIN, bytes(32))
TRUST = Trust.from_log_key(KEY.verifier().vkey())
OPENINGS = Openings(NONCE, LABELS)

Receipt = dict[str, Any]


def make(
    leaves: list[bytes],
    index: int,
    texts: list[str],
    openings: Openings | None = None,
    origin: str = ORIGIN,
    key: SigningKey = KEY,
) -> Receipt:
    """Return a receipt of one of a log's leaves, by the naive tree."""
    tree = NaiveTree([leaf_hash(leaf) for leaf in leaves])
    point = Checkpoint(origin, len(leaves), tree.root())
    note = sign_note(point.text(), [key])
    proof = format_proof(index, tree.path(index, len(leaves)), note)
    return receipt_json(origin, index, leaves[index], texts, proof, openings)


LEAVES = [params_leaf(), event_leaf(n=0), event_leaf(n=1, seq=18), event_leaf(n=2)]
GOOD = make(LEAVES, 2, disclosures(), OPENINGS)


def verify(receipt: Receipt) -> object:
    return verify_receipt(json.dumps(receipt).encode(), TRUST)


def test_a_receipt_yields_what_it_proves() -> None:
    verified = verify_receipt(json.dumps(GOOD).encode(), TRUST)
    assert (verified.origin, verified.index) == (ORIGIN, 2)
    assert verified.entry.data == LEAVES[2]
    assert verified.disclosures["target"].value == {
        "id": "00u9",
        "ns": "urn:okta:acme",
        "type": "user",
    }
    assert list(verified.withheld) == []
    assert verified.openings == OPENINGS
    assert verified.checkpoint.checkpoint.size == 4


def test_members_that_are_not_opened_are_named() -> None:
    receipt = make(LEAVES, 1, disclosures()[:1])
    verified = verify_receipt(json.dumps(receipt).encode(), TRUST)
    assert list(verified.disclosures) == ["actor"]
    assert sorted(verified.withheld) == ["actor_details", "event", "target"]
    assert verified.openings is None


def test_every_kind_of_entry_has_a_receipt() -> None:
    leaves = [params_leaf()] + [
        leaf.replace(b'"n":1234', b'"n":0').replace(b'"n":5', b'"n":0')
        for name, leaf in golden_leaves().items()
        if not name.startswith("params")
    ]
    for index in range(len(leaves)):
        verify(make(leaves, index, []))


def test_an_entry_that_is_not_understood_is_proved_and_opens_nothing() -> None:
    leaves = [params_leaf(), event_leaf().replace(b'"v":1', b'"v":2')]
    receipt = make(leaves, 1, disclosures())
    verified = verify_receipt(json.dumps(receipt).encode(), TRUST)
    assert not verified.entry.understood
    assert verified.disclosures == {}


@pytest.mark.parametrize("name", ["members", "tags"])
def test_nothing_is_taken_from_an_entry_that_is_not_understood(name: str) -> None:
    leaf = event_leaf(n=0).replace(b'"v":1', b'"v":2')
    body = json.loads(leaf) | {name: 5}
    leaves = [params_leaf(), canonical_json(body)]
    foreign = Openings(bytes(16), ((LabelKind.TARGET, bytes(32)),))
    receipt = make(leaves, 1, disclosures(), foreign)
    verified = verify_receipt(json.dumps(receipt).encode(), TRUST)
    assert (dict(verified.disclosures), list(verified.withheld)) == ({}, [])
    assert verified.openings is None


def changed(**members: Any) -> Callable[[], Receipt]:  # noqa: ANN401
    return lambda: GOOD | members


def without(name: str) -> Callable[[], Receipt]:
    return lambda: {key: value for key, value in GOOD.items() if key != name}


def reproved(old: str, new: str) -> Callable[[], Receipt]:
    assert old in GOOD["proof"]
    return lambda: GOOD | {"proof": GOOD["proof"].replace(old, new, 1)}


def relabelled(change: Callable[[dict[str, Any]], None]) -> Callable[[], Receipt]:
    def apply() -> Receipt:
        openings = json.loads(json.dumps(GOOD["openings"]))
        change(openings)
        return GOOD | {"openings": openings}

    return apply


OTHER_LEAF = encode_base64(LEAVES[3])
FOREIGN = make_disclosure(bytes(16), "target", {"id": "mallory"})
OTHER_KEY = SigningKey.from_seed(ORIGIN, bytes([1]) * 32)
OTHER_ORIGIN = SigningKey.from_seed("log.example.com/other", bytes(32))

LIES: dict[str, tuple[Callable[[], Receipt], type[MerkleError]]] = {
    "another index": (changed(index=3), ContentError),
    "another index in receipt and proof": (
        lambda: reproved("index 2", "index 3")() | {"index": 3},
        ProofError,
    ),
    "another origin": (changed(origin="log.example.com/other"), ContentError),
    "another leaf": (changed(leaf=OTHER_LEAF), ProofError),
    "a leaf with a byte changed": (
        changed(leaf=encode_base64(LEAVES[2][:-1] + b" ")),
        ProofError,
    ),
    "a disclosure of another value": (
        changed(disclosures=[*disclosures()[:2], FOREIGN]),
        ContentError,
    ),
    "a disclosure under another name": (
        changed(disclosures=[make_disclosure(bytes(16), "outcome", 1)]),
        ContentError,
    ),
    "a disclosure twice": (
        changed(disclosures=[*disclosures(), disclosures()[0]]),
        ContentError,
    ),
    "a label of somebody else": (
        relabelled(lambda o: o["labels"][0].update(label=encode_base64(bytes(32)))),
        ContentError,
    ),
    "another nonce": (
        relabelled(lambda o: o.update(nonce=encode_base64(bytes(16)))),
        ContentError,
    ),
    "a label twice": (
        relabelled(lambda o: o["labels"].append(o["labels"][0])),
        ContentError,
    ),
    "signed by another key": (
        lambda: make(LEAVES, 2, [], key=OTHER_KEY),
        SignatureError,
    ),
    "of another log": (
        lambda: make(LEAVES, 2, [], origin="log.example.com/other", key=OTHER_ORIGIN),
        SignatureError,
    ),
    "an unsigned root": (
        reproved("\n4\n", "\n5\n"),
        SignatureError,
    ),
    "params at another place": (
        lambda: make([params_leaf(), params_leaf()], 1, []),
        ContentError,
    ),
    "an event at entry 0": (lambda: make([event_leaf()], 0, []), ContentError),
    "params of another origin": (
        lambda: make([params_leaf("log.example.com/other")], 0, []),
        ContentError,
    ),
    "more events before it than entries": (
        lambda: make([params_leaf(), event_leaf(n=1)], 1, []),
        ContentError,
    ),
    "a leaf that is no entry": (
        lambda: make([params_leaf(), b"not an entry"], 1, []),
        MalformedError,
    ),
    "a leaf that is not canonical": (
        lambda: make([params_leaf(), event_leaf() + b" "], 1, []),
        MalformedError,
    ),
}


@pytest.mark.parametrize(("lie", "error"), LIES.values(), ids=LIES)
def test_a_lie_is_caught(lie: Callable[[], Receipt], error: type[MerkleError]) -> None:
    with pytest.raises(error):
        verify(lie())


MALFORMED: dict[str, Callable[[], Receipt]] = {
    "version 2": changed(v=2),
    "version true": changed(v=True),
    "version 1.0": changed(v=1.0),
    "index as text": changed(index="2"),
    "index true": changed(index=True),
    "index 2.0": changed(index=2.0),
    "leaf as base64url": changed(leaf=GOOD["leaf"][:-4] + "-_=="),
    "a member more": changed(extra=1),
    "disclosures as text": changed(disclosures="x"),
    "a number among the disclosures": changed(disclosures=[1]),
    "33 disclosures": changed(disclosures=[""] * 33),
    "proof as a list": changed(proof=[]),
    "no proof header": reproved("c2sp.org/tlog-proof@v1", "tlog-proof"),
    "openings as a list": changed(openings=[]),
    "an opening more": relabelled(lambda o: o.update(extra=1)),
    "a nonce too short": relabelled(lambda o: o.update(nonce=encode_base64(b"x"))),
    "a label of kind 3": relabelled(lambda o: o["labels"][0].update(kind=3)),
    "a label of kind true": relabelled(lambda o: o["labels"][0].update(kind=True)),
    "a label of kind 1.0": relabelled(lambda o: o["labels"][0].update(kind=1.0)),
    "a label too short": relabelled(lambda o: o["labels"][0].update(label="QQ==")),
    "nine labels": relabelled(lambda o: o.update(labels=o["labels"] * 3)),
} | {
    f"no {name}": without(name)
    for name in ("v", "origin", "index", "leaf", "disclosures", "proof")
}


@pytest.mark.parametrize("receipt", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_receipt_is_refused(receipt: Callable[[], Receipt]) -> None:
    with pytest.raises(MalformedError):
        verify(receipt())


def test_a_duplicate_member_and_an_endless_receipt_are_refused() -> None:
    data = json.dumps(GOOD).encode()
    with pytest.raises(MalformedError):
        verify_receipt(data.replace(b'"index": 2', b'"index": 2, "index": 2'), TRUST)
    with pytest.raises(MalformedError):
        verify_receipt(data + b" " * (4 << 20), TRUST)


GOOD_BYTES = json.dumps(GOOD).encode()


@given(st.data())
def test_one_changed_byte_is_caught(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD_BYTES) - 1))
    altered = bytearray(GOOD_BYTES)
    altered[place] ^= data.draw(st.integers(1, 255))
    try:
        verified = verify_receipt(bytes(altered), TRUST)
    except MerkleError:
        return
    # Blanks between tokens may change; a receipt is not signed as a whole. What it
    # yields may not.
    assert verified == verify_receipt(GOOD_BYTES, TRUST)
