"""Receipts: everything needed to verify one entry offline. Parsing is verifying.

::

    {"v":1,"origin":…,"index":…,"leaf":base64,"disclosures":[string,…],
     "openings":{"nonce":base64,"labels":[{"kind":…,"label":base64},…]},
     "proof":"c2sp.org/tlog-proof@v1\\n…"}

`openings` is optional. A receipt opens as many members of its entry as it carries
disclosures for; the names of the others are reported as withheld.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.disclosures import Disclosure, parse_disclosure
from provlog.merkle.encoding import (
    JsonValue,
    decode_base64,
    encode_base64,
    encode_base64url,
    loads_json,
    require_members,
)
from provlog.merkle.entries import MAX_ENTRY, MAX_MEMBERS, MAX_TAGS, Entry, parse_entry
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.labels import LABEL_SIZE, NONCE_SIZE, LabelKind, tag
from provlog.merkle.proof_file import verify_proof
from provlog.merkle.trust import SignedCheckpoint, Trust

VERSION = 1
MAX_RECEIPT = 4 << 20


class Openings(NamedTuple):
    """The nonce and labels behind an entry's tags."""

    nonce: bytes
    labels: tuple[tuple[LabelKind, bytes], ...]

    def to_json(self) -> JsonValue:
        """Return the member `openings` of a receipt."""
        labels: list[JsonValue] = [
            {"kind": int(kind), "label": encode_base64(label)}
            for kind, label in self.labels
        ]
        return {"nonce": encode_base64(self.nonce), "labels": labels}


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """An entry that is proved to stand at `index` of the log `origin`.

    `disclosures` holds the opened members by name, `withheld` the names of members the
    entry has but the receipt does not open. `openings` proves that each label belongs
    to one of the entry's tags; whose label it is remains the log's claim. Where the
    entry is not understood, the first two are empty and `openings` is None, whatever
    the receipt carries: nothing of it could be checked.
    """

    origin: str
    index: int
    entry: Entry
    disclosures: Mapping[str, Disclosure]
    withheld: Sequence[str]
    openings: Openings | None
    checkpoint: SignedCheckpoint


def receipt_json(
    origin: str,
    index: int,
    leaf: bytes,
    disclosures: Sequence[str],
    proof: str,
    openings: Openings | None = None,
) -> dict[str, JsonValue]:
    """Return the JSON object of a receipt; `proof` is the text of a tlog-proof file."""
    receipt: dict[str, JsonValue] = {
        "v": VERSION,
        "origin": origin,
        "index": index,
        "leaf": encode_base64(leaf),
        "disclosures": list(disclosures),
        "proof": proof,
    }
    if openings is not None:
        receipt["openings"] = openings.to_json()
    return receipt


def verify_receipt(data: bytes, trust: Trust) -> VerifiedReceipt:
    """Return what a receipt proves, or raise.

    1. the receipt is one JSON object of the form above, strictly;
    2. its proof is a tlog-proof whose checkpoint satisfies `trust` and whose path leads
       from the leaf to the checkpoint's root;
    3. `index` and `origin` are the proof's;
    4. the leaf is a canonical entry that fits its place in the log;
    5. every disclosure opens a member of the entry, none of them twice;
    6. every label opens one of the entry's tags.

    Raises `MalformedError` for (1), and for (2) to (6) the `VerificationError` that
    says which of them failed.
    """
    # 1
    if len(data) > MAX_RECEIPT:
        raise MalformedError(f"receipt: larger than {MAX_RECEIPT} bytes")
    body = require_members(
        loads_json(data, "receipt"),
        ("v", "origin", "index", "leaf", "disclosures", "proof"),
        ("openings",),
        "receipt",
    )
    if type(body["v"]) is not int or body["v"] != VERSION:
        raise MalformedError("receipt: of a version this program does not know")
    index, origin = body["index"], body["origin"]
    if type(index) is not int:
        raise MalformedError("receipt: index is not an integer")
    leaf = decode_base64(_string(body, "leaf"), "receipt leaf")
    texts = _strings(body["disclosures"])
    openings = _parse_openings(body["openings"]) if "openings" in body else None
    # 2
    proof = verify_proof(_string(body, "proof").encode(), leaf_hash(leaf), trust)
    # 3
    signed = proof.signed_checkpoint
    if index != proof.index:
        raise ContentError("receipt: its index is not the proof's")
    if origin != signed.checkpoint.origin:
        raise ContentError("receipt: its origin is not the checkpoint's")
    # 4
    entry = check_entry(leaf, index, signed.checkpoint)
    withheld: list[str] = []
    # 5
    opened = open_members(entry, texts)
    # 6
    if entry.understood:
        withheld = [name for name in entry.members if name not in opened]
        if openings is not None:
            _check_openings(entry, openings)
    else:
        openings = None
    return VerifiedReceipt(
        signed.checkpoint.origin, index, entry, opened, withheld, openings, signed
    )


def check_entry(leaf: bytes, index: int, checkpoint: Checkpoint) -> Entry:
    """Return the entry of a leaf that is proved to stand at `index`, or raise.

    Beyond `parse_entry`: entry 0 and no other is `params`, it names the log's own
    origin, and no more events precede an entry than entries do.
    """
    if len(leaf) > MAX_ENTRY:
        raise MalformedError(f"entry: larger than {MAX_ENTRY} bytes")
    entry = parse_entry(leaf)
    if not entry.understood:
        return entry
    if (entry.kind == "params") != (index == 0):
        raise ContentError("entry 0, and no other, states a log's parameters")
    if index == 0 and entry.body["origin"] != checkpoint.origin:
        raise ContentError("the log's parameters are those of another origin")
    if entry.n > max(index - 1, 0):
        raise ContentError("entry: counts more events before it than can be there")
    return entry


def open_members(entry: Entry, texts: Sequence[str]) -> dict[str, Disclosure]:
    """Return the members of `entry` that disclosure strings open, by name.

    A string whose digest does not stand in the entry under its own name, or that opens
    a member a second time, is a `ContentError`. An entry that is not understood opens
    nothing.
    """
    if not entry.understood:
        return {}
    opened: dict[str, Disclosure] = {}
    for text in texts:
        disclosure = parse_disclosure(text)
        if entry.members.get(disclosure.name) != disclosure.digest:
            raise ContentError("receipt: a disclosure is not of this entry")
        if disclosure.name in opened:
            raise ContentError("receipt: a member is disclosed twice")
        opened[disclosure.name] = disclosure
    return opened


def _check_openings(entry: Entry, openings: Openings) -> None:
    seen = set()
    for _, label in openings.labels:
        text = encode_base64url(tag(openings.nonce, label))
        if text in seen or text not in entry.tags:
            raise ContentError("receipt: an opening is not of this entry")
        seen.add(text)


def _parse_openings(value: JsonValue) -> Openings:
    body = require_members(value, ("nonce", "labels"), (), "receipt openings")
    nonce = decode_base64(_string(body, "nonce"), "receipt nonce")
    if len(nonce) != NONCE_SIZE:
        raise MalformedError(f"receipt: a nonce has {NONCE_SIZE} bytes")
    labels = body["labels"]
    if not isinstance(labels, list) or len(labels) > MAX_TAGS:
        raise MalformedError(f"receipt: labels are a list of {MAX_TAGS} at most")
    return Openings(nonce, tuple(_parse_label(item) for item in labels))


def _parse_label(value: JsonValue) -> tuple[LabelKind, bytes]:
    body = require_members(value, ("kind", "label"), (), "receipt label")
    kind = body["kind"]
    if type(kind) is not int or kind not in tuple(LabelKind):
        raise MalformedError("receipt: a label of an unknown kind")
    label = decode_base64(_string(body, "label"), "receipt label")
    if len(label) != LABEL_SIZE:
        raise MalformedError(f"receipt: a label has {LABEL_SIZE} bytes")
    return LabelKind(kind), label


def _string(body: Mapping[str, JsonValue], name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise MalformedError(f"receipt: {name} is not a string")
    return value


def _strings(value: JsonValue) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_MEMBERS:
        raise MalformedError(
            f"receipt: disclosures are a list of {MAX_MEMBERS} at most"
        )
    for item in value:
        if not isinstance(item, str):
            raise MalformedError("receipt: a disclosure is not a string")
    return cast("list[str]", value)
