"""The examples in docs/formats.md, made from the golden entries.

In the page, an example stands below a mark ``<!-- example: NAME -->``.
`python tests/support/doc_examples.py` writes all of them anew; a test holds that the
page has them as they are.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.disclosures import disclosure_digest
from provlog.merkle.encoding import JsonValue, encode_base64, encode_base64url
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.keys import SigningKey
from provlog.merkle.labels import (
    entry_id,
    epoch_key_commitment,
    id_key_commitment,
    tag,
)
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof
from provlog.merkle.receipts import Openings, receipt_json
from support.golden_entries import (
    EPOCH_KEY,
    ID_KEY,
    LABELS,
    MEMBERS,
    NONCE,
    ORIGIN,
    disclosures,
    event_leaf,
    golden_leaves,
    params_leaf,
)
from support.naive_tree import NaiveTree

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
KEY = SigningKey.from_seed(ORIGIN, bytes(32))
LEAVES = [params_leaf(), event_leaf(n=0), event_leaf(n=1, seq=18), event_leaf(n=2)]
INDEX = 2
TREE = NaiveTree([leaf_hash(leaf) for leaf in LEAVES])
_EXAMPLE = re.compile(r"(<!-- example: ([a-z-]+) -->\n```\w*\n)(.*?)(```\n)", re.S)


def checkpoint() -> bytes:
    """Return the signed checkpoint of the example's log of four entries."""
    text = Checkpoint(ORIGIN, len(LEAVES), TREE.root()).text()
    return sign_note(text, [KEY])


def examples() -> dict[str, str]:
    """Return the examples by name, each with a newline at its end."""
    return {name: make().rstrip("\n") + "\n" for name, make in _EXAMPLES.items()}


def shown(page: str) -> dict[str, str]:
    """Return the examples that stand in a page, by name."""
    return {match[2]: match[3] for match in _EXAMPLE.finditer(page)}


def written(page: str) -> str:
    """Return the page with every example as it has to be."""
    made = examples()
    return _EXAMPLE.sub(lambda match: match[1] + made[match[2]] + match[4], page)


def _leaf() -> str:
    return golden_leaves()["event"].decode()


def _kinds() -> str:
    leaves = golden_leaves()
    names = ("params", "epoch", "root", "erasure", "admin", "key", "freeze")
    return "\n\n".join(leaves[name].decode() for name in names)


def _leaf_hash() -> str:
    leaf = golden_leaves()["event"]
    return f"leaf bytes  {len(leaf)}\nleaf hash   {leaf_hash(leaf).hex()}"


def _disclosure() -> str:
    name, value = next(iter(MEMBERS.items()))
    text = disclosures()[0]
    return (
        f"name         {name}\n"
        f"value        {json.dumps(value, separators=(',', ':'))}\n"
        f"salt         {bytes(16).hex()}\n"
        f"disclosure   {text}\n"
        f"digest       {disclosure_digest(text)}"
    )


def _labels() -> str:
    lines = [
        f"K_id         {ID_KEY.hex()}",
        f"K_e          {EPOCH_KEY.hex()}",
        f"commit_id    {encode_base64url(id_key_commitment(ID_KEY))}",
        f"commit_e     {encode_base64url(epoch_key_commitment(1, EPOCH_KEY))}",
        f"id           {encode_base64url(entry_id(ID_KEY, 'urn:okta:acme', '9f2c'))}",
        f"nonce        {NONCE.hex()}",
    ]
    for kind, label in LABELS:
        lines.append(f"{kind.name.lower():<9}{int(kind)}   label {label.hex()}")
        lines.append(f"             tag   {encode_base64url(tag(NONCE, label))}")
    return "\n".join(lines)


def _checkpoint() -> str:
    return f"{checkpoint().decode()}\nlog key      {KEY.verifier().vkey()}"


def _proof() -> str:
    return format_proof(INDEX, TREE.path(INDEX, len(LEAVES)), checkpoint())


def _receipt() -> str:
    return _json(
        receipt_json(
            ORIGIN,
            INDEX,
            LEAVES[INDEX],
            disclosures(),
            _proof(),
            Openings(NONCE, LABELS),
        )
    )


def _batch() -> str:
    good: dict[str, JsonValue] = {
        "status": 201,
        "index": INDEX,
        "leaf": encode_base64(LEAVES[INDEX]),
        "disclosures": [*disclosures()],
        "hashes": _hashes(),
    }
    problem: dict[str, JsonValue] = {
        "type": "urn:provlog:problem:conflict",
        "title": "Something else stands under this name",
        "status": 409,
        "detail": "another event stands under this source and id",
        "index": 1,
    }
    results: list[JsonValue] = [good, {"status": 409, "problem": problem}]
    return _json(
        {"checkpoint": checkpoint().decode(), "origin": ORIGIN, "results": results}
    )


def _inclusion() -> str:
    return _json(
        {
            "index": INDEX,
            "size": len(LEAVES),
            "leaf_hash": encode_base64(leaf_hash(LEAVES[INDEX])),
            "hashes": _hashes(),
            "checkpoint": checkpoint().decode(),
        }
    )


def _consistency() -> str:
    hashes = [encode_base64(each) for each in TREE.proof(0, 3, len(LEAVES))]
    return _json({"from": 3, "to": len(LEAVES), "hashes": [*hashes]})


def _range() -> str:
    first = encode_base64(leaf_hash(LEAVES[0]))
    last = encode_base64(leaf_hash(LEAVES[3]))
    return _json({"start": 1, "end": 3, "size": len(LEAVES), "hashes": [first, last]})


def _hashes() -> list[JsonValue]:
    return [encode_base64(each) for each in TREE.path(INDEX, len(LEAVES))]


def _json(value: dict[str, JsonValue]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


_EXAMPLES: dict[str, Callable[[], str]] = {
    "leaf": _leaf,
    "leaf-hash": _leaf_hash,
    "kinds": _kinds,
    "disclosure": _disclosure,
    "labels": _labels,
    "checkpoint": _checkpoint,
    "proof": _proof,
    "receipt": _receipt,
    "batch": _batch,
    "inclusion": _inclusion,
    "consistency": _consistency,
    "range": _range,
}


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
