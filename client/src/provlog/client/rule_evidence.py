"""The file that shows that a log signed entries which break its own rules. No I/O.

A monitor that reads every entry keeps it (`monitoring.full_evidence`). Only the leaves
in it that are proved speak: the log signed a tree that holds them. What the file says
was found, and the parts as they were served, nobody has signed, and the verdict does
not depend on them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from provlog.client.chain import LeafChain
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import (
    JsonValue,
    decode_base64,
    encode_base64,
    loads_json,
    require_members,
)
from provlog.merkle.entries import MAX_ENTRY, Entry, parse_entry
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.proof_file import verify_proof
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_RULE_EVIDENCE: Final = 24 << 20
"""Bytes: room for the entries of all findings, their proofs and a few served parts."""
MAX_ITEMS: Final = 64
"""Entries, findings or parts in one file; a monitor writes fewer."""

_WHAT: Final = "evidence"
_MEMBERS: Final = (
    "v", "what", "origin", "checkpoint", "findings", "leaves", "served",
)  # fmt: skip
_KINDS: Final = ("broken-rules", "wrong-content")
_MAX_LEAF_TEXT: Final = 4 * (MAX_ENTRY // 3)


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that the entry `index` breaks; the log signed `tree`, which holds it."""

    index: int
    problem: str
    tree: Checkpoint

    def sentence(self) -> str:
        """Return what is proved of the entry, for a person."""
        return f"entry {self.index}: {self.problem}"


@dataclass(frozen=True, slots=True)
class RuleConviction:
    """Proof that a log broke its own rules; only `judge_rule_evidence` makes these."""

    origin: str
    breaches: tuple[Breach, ...]

    def trees(self) -> tuple[Checkpoint, ...]:
        """Return the signed trees that hold the entries, each once."""
        return tuple(dict.fromkeys(each.tree for each in self.breaches))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is proved as JSON."""
        return {
            "origin": self.origin,
            "breaches": [
                {
                    "index": each.index,
                    "problem": each.problem,
                    "size": each.tree.size,
                    "root": encode_base64(each.tree.root),
                }
                for each in self.breaches
            ],
        }


@dataclass(frozen=True, slots=True)
class _Leaf:
    index: int
    data: bytes
    proof: bytes | None


@dataclass(frozen=True, slots=True)
class _Proved:
    index: int
    data: bytes
    tree: Checkpoint


def is_rule_evidence(data: bytes) -> bool:
    """Tell whether a file claims to be such evidence; nothing in it is verified."""
    try:
        value = loads_json(data, _WHAT)
    except MalformedError:
        return False
    return isinstance(value, dict) and {"what", "leaves", "served"} <= value.keys()


def judge_rule_evidence(data: bytes, trust: Trust) -> RuleConviction:
    """Return the conviction that the file is, or raise.

    The checkpoint, and that of every proof, has to be signed by a key that was the
    log's in a tree of that size; witnesses are not asked for. Every proof in the file
    has to be true. Leaves are held to one another only if they are neighbours proved in
    one tree, and a leaf of a version or kind that is not known here breaks no rule.
    `ContentError` says that nothing in the file shows a broken rule; `MalformedError`
    and the other errors of `verify_proof` speak of the file.
    """
    what, note, leaves = _read(data)
    bare = trust.without_policy()
    signed = verify_checkpoint(note, bare)
    proved = list(_proved(leaves, bare))
    breaches = [
        breach for run in _runs(proved) for breach in _judge_run(run, trust.origin)
    ]
    if not breaches:
        raise ContentError(_nothing(what, signed, len(leaves), len(proved)))
    return RuleConviction(trust.origin, tuple(breaches))


def _read(data: bytes) -> tuple[str, bytes, list[_Leaf]]:
    if len(data) > MAX_RULE_EVIDENCE:
        raise MalformedError(f"{_WHAT}: longer than {MAX_RULE_EVIDENCE} bytes")
    body = require_members(loads_json(data, _WHAT), _MEMBERS, (), _WHAT)
    if type(body["v"]) is not int or body["v"] != 1:
        raise MalformedError(f"{_WHAT}: of another version")
    what, note = body["what"], body["checkpoint"]
    if not isinstance(what, str) or what not in _KINDS:
        raise MalformedError(f"{_WHAT}: of a kind that is not known here")
    if not isinstance(note, str) or not isinstance(body["origin"], str):
        raise MalformedError(f"{_WHAT}: checkpoint or origin is not a string")
    served, findings = body["served"], body["findings"]
    if not isinstance(served, dict) or not isinstance(findings, list):
        raise MalformedError(f"{_WHAT}: served or findings is of another type")
    if max(len(served), len(findings)) > MAX_ITEMS:
        raise MalformedError(f"{_WHAT}: more than {MAX_ITEMS} findings or parts")
    return what, note.encode(), _read_leaves(body["leaves"])


def _read_leaves(value: JsonValue) -> list[_Leaf]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise MalformedError(f"{_WHAT}: leaves are not a list of {MAX_ITEMS} at most")
    leaves = [_read_leaf(each) for each in value]
    indexes = [each.index for each in leaves]
    if indexes != sorted(set(indexes)):
        raise MalformedError(f"{_WHAT}: leaves are not each once, in order")
    return leaves


def _read_leaf(value: JsonValue) -> _Leaf:
    body = require_members(value, ("index", "leaf"), ("proof",), f"{_WHAT}: leaf")
    index, text, proof = body["index"], body["leaf"], body.get("proof", "")
    if type(index) is not int or not 0 <= index < 1 << 63:
        raise MalformedError(f"{_WHAT}: a leaf has no index")
    if not isinstance(text, str) or len(text) > _MAX_LEAF_TEXT:
        raise MalformedError(f"{_WHAT}: a leaf is no string, or longer than leaves are")
    if not isinstance(proof, str):
        raise MalformedError(f"{_WHAT}: a proof is not a string")
    data = decode_base64(text, f"{_WHAT}: leaf")
    return _Leaf(index, data, proof.encode() if "proof" in body else None)


def _proved(leaves: Sequence[_Leaf], trust: Trust) -> Iterator[_Proved]:
    """Yield the leaves that have a proof, verified."""
    for leaf in leaves:
        if leaf.proof is None:
            continue
        verified = verify_proof(leaf.proof, leaf_hash(leaf.data), trust)
        if verified.index != leaf.index:
            raise ContentError(
                f"{_WHAT}: entry {leaf.index} is proved at another index"
            )
        yield _Proved(leaf.index, leaf.data, verified.signed_checkpoint.checkpoint)


def _runs(proved: Sequence[_Proved]) -> Iterator[list[_Proved]]:
    """Yield leaves as far as they follow one another in one tree."""
    run: list[_Proved] = []
    for each in proved:
        if run and (each.index, each.tree) != (run[-1].index + 1, run[-1].tree):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _judge_run(run: Sequence[_Proved], origin: str) -> Iterator[Breach]:
    chain = LeafChain(origin)
    chain.skip(run[0].index)
    for leaf in run:
        entry, size = _parsed(leaf.data), leaf.tree.size
        if entry is not None and not entry.understood:
            # A newer log may have other rules, and such a leaf another meaning.
            chain.skip()
            continue
        problems = chain.check(leaf.index, leaf.data)
        if entry is not None and entry.kind == "freeze" and size > leaf.index + 1:
            problems.append(f"ended the log, whose signed tree has {size} leaves")
        for each in problems:
            yield Breach(leaf.index, each, leaf.tree)


def _parsed(data: bytes) -> Entry | None:
    try:
        return parse_entry(data)
    except MalformedError:
        return None


def _nothing(what: str, signed: SignedCheckpoint, leaves: int, proved: int) -> str:
    size, root = signed.checkpoint.size, encode_base64(signed.checkpoint.root)
    if what == "wrong-content":
        return (
            f"{_WHAT}: nobody signed what was served, so it convicts nobody; the "
            f"checkpoint of {size} leaves is truly signed, root {root}"
        )
    return (
        f"{_WHAT}: nothing in the file shows that the log broke a rule: of "
        f"{leaves} entries in it {proved} are proved, and by themselves they keep the "
        "rules; nobody signed what else it says"
    )
