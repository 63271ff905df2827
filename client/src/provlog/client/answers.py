"""What a log answers, verified: parsing is verifying here as well. No I/O.

Everything in here takes bytes that nobody has looked at and returns what they prove,
or raises `MalformedError` or a `VerificationError`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from provlog.client.errors import RefusedError, printable
from provlog.merkle.encoding import (
    JsonValue,
    decode_base64,
    decode_hash,
    loads_json,
    require_members,
)
from provlog.merkle.entries import MAX_MEMBERS
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.hashing import fold_right, leaf_hash
from provlog.merkle.inclusion import (
    MAX_PROOF_HASHES,
    root_from_inclusion,
    verify_inclusion,
)
from provlog.merkle.proof_file import (
    format_proof,
    format_proof_lines,
    parse_proof_unverified,
)
from provlog.merkle.receipts import (
    VerifiedReceipt,
    check_entry,
    open_members,
    receipt_json,
    verify_receipt,
)
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_CONSISTENCY_HASHES = 2 * MAX_PROOF_HASHES

JsonObject = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Receipt:
    """A verified receipt, in a form to keep.

    `verified` is what it proves. `created` tells whether the log says that this call
    made the entry; false where the log had it before. `hashes` is the inclusion proof
    that was verified. `id_claimed` tells that the entry was asked for by the source and
    id of its event and that the id is withheld: everything else is proved, but that it
    is this event's entry is the log's word alone.
    """

    verified: VerifiedReceipt
    hashes: tuple[bytes, ...] = field(repr=False)
    created: bool
    id_claimed: bool = False

    @property
    def index(self) -> int:
        """The entry's place in the log."""
        return self.verified.index

    @property
    def checkpoint(self) -> SignedCheckpoint:
        """The verified checkpoint that the receipt's proof leads to."""
        return self.verified.checkpoint

    @cached_property
    def proof(self) -> str:
        """The tlog-proof file (C2SP) of the entry."""
        return format_proof(self.index, self.hashes, self.checkpoint.note)

    @cached_property
    def json(self) -> dict[str, JsonValue]:
        """The receipt as JSON: what `provlog verify` takes."""
        verified = self.verified
        return receipt_json(
            verified.origin,
            verified.index,
            verified.entry.data,
            [each.text for each in verified.disclosures.values()],
            self.proof,
            verified.openings,
        )

    def prefixes(self) -> dict[int, bytes]:
        """Return roots of earlier trees that the proof commits to, by size."""
        return prefix_roots(
            self.index,
            self.checkpoint.checkpoint.size,
            leaf_hash(self.verified.entry.data),
            self.hashes,
        )


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Leaf `index` has this hash in the tree of `size` leaves: verified.

    `checkpoint` is the one that vouches for it. Where it is of a larger tree,
    `consistency` leads from the tree of `size` to it; else that is empty.
    """

    index: int
    size: int
    leaf_hash: bytes
    hashes: tuple[bytes, ...]
    root: bytes
    checkpoint: SignedCheckpoint
    consistency: tuple[bytes, ...] = ()

    def proof_file(self) -> str | None:
        """Return the tlog-proof file; None where the checkpoint is of another size."""
        if self.checkpoint.checkpoint.size != self.size:
            return None
        return format_proof(self.index, self.hashes, self.checkpoint.note)


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """The tree of `newer` begins with that of `older`: verified, `hashes` prove it."""

    older: SignedCheckpoint
    newer: SignedCheckpoint
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClaimedInclusion:
    """An inclusion proof whose `root` nobody has vouched for unless `checkpoint` has.

    Index, size, leaf hash and hashes do lead to `root`.
    """

    index: int
    size: int
    leaf_hash: bytes
    hashes: tuple[bytes, ...]
    root: bytes
    checkpoint: SignedCheckpoint | None


def prefix_roots(
    index: int, size: int, leaf: bytes, hashes: Sequence[bytes]
) -> dict[int, bytes]:
    """Return the roots of the trees of `index` and `index` + 1 leaves.

    The left siblings on a leaf's path are exactly the maximal perfect subtrees of
    everything before it, so a verified inclusion proof of leaf i holds the whole root
    of the tree of i leaves, and with the leaf that of i + 1. The arguments are of a
    proof that has been verified.
    """
    left: list[bytes] = []
    node, last = index, size - 1
    for each in hashes:
        if node & 1 or node == last:
            left.append(each)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    # The path goes up, so the widest subtree comes last.
    left.reverse()
    return {index: fold_right(left), index + 1: fold_right([*left, leaf])}


def read_receipt(data: bytes, trust: Trust, *, created: bool) -> Receipt:
    """Return the receipt in an answer."""
    verified = verify_receipt(data, trust)
    text = _text(_object(data, "receipt")["proof"], "proof")
    # Verified above; only its hashes are of interest.
    hashes = parse_proof_unverified(text.encode()).hashes
    return Receipt(verified, hashes, created)


def read_batch(
    data: bytes, count: int | None, trust: Trust
) -> list[Receipt | RefusedError]:
    """Return the results of a batch, each verified, in the order of the events.

    `count` is the number of events that were sent, None where only the log knows it.
    """
    body = require_members(
        loads_json(data, "answer"), ("checkpoint", "results"), ("origin",), "answer"
    )
    results = body["results"]
    if not isinstance(results, list) or (count is not None and len(results) != count):
        raise ContentError("answer: not one result for each event")
    note = body["checkpoint"]
    signed = None
    if note is not None:
        signed = verify_checkpoint(_text(note, "checkpoint").encode(), trust)
    return [_read_result(each, signed, trust) for each in results]


def _read_result(
    value: JsonValue, signed: SignedCheckpoint | None, trust: Trust
) -> Receipt | RefusedError:
    if not isinstance(value, dict):
        raise MalformedError("answer: a result is not an object")
    status = _integer(value.get("status"), "status")
    if status not in (200, 201):
        return read_problem(status, value.get("problem"))
    if signed is None:
        raise ContentError("answer: results without a checkpoint")
    body = require_members(
        value,
        ("status", "index", "leaf", "disclosures", "hashes"),
        ("openings",),
        "answer: result",
    )
    index = _integer(body["index"], "index")
    leaf = decode_base64(_text(body["leaf"], "leaf"), "answer: leaf")
    encoded = _texts(body["hashes"], "hashes", MAX_PROOF_HASHES)
    hashes = tuple(decode_hash(each, "answer: hash") for each in encoded)
    disclosures = _texts(body["disclosures"], "disclosures", MAX_MEMBERS)
    if "openings" in body:
        whole = _assemble(body, index, encoded, signed)
        verified = verify_receipt(json.dumps(whole).encode(), trust)
    else:
        verified = _verify(index, leaf, disclosures, hashes, signed)
    return Receipt(verified, hashes, status == 201)


def _verify(
    index: int,
    leaf: bytes,
    disclosures: Sequence[str],
    hashes: Sequence[bytes],
    signed: SignedCheckpoint,
) -> VerifiedReceipt:
    """Do what `verify_receipt` does, but for the checkpoint: a batch has only one."""
    checkpoint = signed.checkpoint
    verify_inclusion(index, checkpoint.size, leaf_hash(leaf), hashes, checkpoint.root)
    entry = check_entry(leaf, index, checkpoint)
    opened = open_members(entry, disclosures)
    withheld: list[str] = []
    if entry.understood:
        withheld = [name for name in entry.members if name not in opened]
    return VerifiedReceipt(
        checkpoint.origin, index, entry, opened, withheld, None, signed
    )


def _assemble(
    body: JsonObject, index: int, hashes: Sequence[str], signed: SignedCheckpoint
) -> dict[str, JsonValue]:
    return {
        "v": 1,
        "origin": signed.checkpoint.origin,
        "index": index,
        "leaf": body["leaf"],
        "disclosures": body["disclosures"],
        "openings": body["openings"],
        "proof": format_proof_lines(index, hashes, signed.note.decode()),
    }


def read_inclusion(data: bytes, trust: Trust) -> ClaimedInclusion:
    """Return an inclusion proof, verified as far as its answer goes.

    If a checkpoint came along, it is verified and of the proof's size and root.
    """
    body = require_members(
        loads_json(data, "answer"),
        ("index", "size", "leaf_hash", "hashes"),
        ("checkpoint",),
        "answer",
    )
    index, size = _integer(body["index"], "index"), _integer(body["size"], "size")
    leaf = decode_hash(_text(body["leaf_hash"], "leaf_hash"), "answer: leaf_hash")
    hashes = _hashes(body["hashes"], MAX_PROOF_HASHES)
    root = root_from_inclusion(index, size, leaf, hashes)
    signed = None
    if body.get("checkpoint") is not None:
        note = _text(body["checkpoint"], "checkpoint").encode()
        signed = verify_checkpoint(note, trust)
        if (signed.checkpoint.size, signed.checkpoint.root) != (size, root):
            raise ContentError("answer: the proof is not of the checkpoint beside it")
    return ClaimedInclusion(index, size, leaf, hashes, root, signed)


def read_consistency(data: bytes, older: int, newer: int) -> tuple[bytes, ...]:
    """Return the hashes of a consistency proof between two sizes, for verification."""
    body = require_members(
        loads_json(data, "answer"), ("from", "to", "hashes"), (), "answer"
    )
    sizes = _integer(body["from"], "from"), _integer(body["to"], "to")
    if sizes != (older, newer):
        raise ContentError("answer: a consistency proof of other sizes")
    return _hashes(body["hashes"], MAX_CONSISTENCY_HASHES)


def read_refusal(status: int, data: bytes) -> RefusedError:
    """Return the error that a refusing answer stands for, whatever its body is."""
    try:
        value = loads_json(data, "answer")
    except MalformedError:
        value = None
    return read_problem(status, value)


def read_detail(data: bytes) -> str | None:
    """Return what a problem details object says is the matter, if it is one."""
    try:
        value = loads_json(data, "answer")
    except MalformedError:
        return None
    return _shown(value.get("detail")) if isinstance(value, dict) else None


def read_problem(status: int, value: JsonValue) -> RefusedError:
    """Return the error that a problem details object (RFC 9457) stands for."""
    problem: JsonObject = value if isinstance(value, dict) else {}
    detail = _shown(problem.get("detail")) or _shown(problem.get("title"))
    kind = _shown(problem.get("type"))
    index = problem.get("index")
    return RefusedError(
        detail or f"refused with HTTP status {status}",
        status=status,
        kind=kind.rpartition(":")[2] if kind else None,
        pointer=_shown(problem.get("pointer")),
        index=index if type(index) is int else None,
    )


def _shown(value: JsonValue) -> str | None:
    return printable(value) if isinstance(value, str) and value else None


def _object(data: bytes, what: str) -> dict[str, JsonValue]:
    value = loads_json(data, what)
    if not isinstance(value, dict):
        raise MalformedError(f"{what}: not an object")
    return value


def _integer(value: JsonValue, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedError(f"answer: {what} is not a whole number")
    return value


def _text(value: JsonValue, what: str) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"answer: {what} is not a string")
    return value


def _texts(value: JsonValue, what: str, most: int) -> list[str]:
    if not isinstance(value, list) or len(value) > most:
        raise MalformedError(f"answer: {what} is not a list of {most} at most")
    if not all(isinstance(each, str) for each in value):
        raise MalformedError(f"answer: {what} holds something that is not a string")
    return cast("list[str]", value)


def _hashes(value: JsonValue, most: int) -> tuple[bytes, ...]:
    encoded = _texts(value, "hashes", most)
    return tuple(decode_hash(each, "answer: hash") for each in encoded)
