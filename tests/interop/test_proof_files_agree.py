"""Proof files: our verdict and that of transparency-dev/formats, on the same cases."""

import random
import re
from collections.abc import Iterator

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.inclusion import build_inclusion
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof, verify_proof
from provlog.merkle.trust import Trust
from support.interop import (
    LONG,
    Answer,
    Case,
    Difference,
    Judge,
    compare,
    decoded,
    read_or_refuse,
)
from support.interop_notes import (
    KEYS,
    LOG,
    LOOSE,
    NODES,
    ORIGIN,
    TREE,
    VKEYS,
    any_note,
    has_two_lines_of_a_key,
    shown,
)
from support.mutations import mutated

pytestmark = pytest.mark.needs("interop")

COUNT = 40_000 if LONG else 2_500


def _proof_case(kind: str, data: bytes, leaf: bytes) -> Case:
    trust = Trust((KEYS[0],), ORIGIN)

    def read() -> object:
        proof = verify_proof(data, leaf, trust)
        point = proof.signed_checkpoint.checkpoint
        return proof.index, point.size, point.root

    question = {
        "op": "proof-file",
        "data": data,
        "leaf": leaf,
        "keys": VKEYS[:1],
        "origin": ORIGIN,
    }
    return Case(kind, read_or_refuse(read), question)


def _proof_file(source: random.Random) -> tuple[str, bytes]:
    size = source.randrange(1, len(TREE.leaves) + 1)
    index = source.randrange(size)
    note = any_note(source, Checkpoint(ORIGIN, size, TREE.root(size)).text())
    extra = source.choice((None, None, b"", source.randbytes(20)))
    hashes = build_inclusion(index, size, NODES)
    return format_proof(index, hashes, note, extra), TREE.leaves[index]


def _proof_files(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        proof, leaf = _proof_file(source)
        kind, data = mutated(source, proof.encode())
        yield _proof_case(kind, data, leaf)


def _has_carriage_returns(case: Case, _: Answer) -> bool:
    return case.ours is None and b"\r\n" in shown(case)


def _has_noughts_in_index(case: Case, _: Answer) -> bool:
    found = re.search(rb"\nindex 0[0-9]+\n", shown(case))
    return case.ours is None and found is not None


def _lacks_its_end(case: Case, _: Answer) -> bool:
    return case.ours is None and not shown(case).endswith(b"\n")


def _has_a_long_line(case: Case, _: Answer) -> bool:
    return case.ours is not None and re.search(rb"\S{60000}", shown(case)) is not None


def test_both_read_the_same_proof_files(judge: Judge) -> None:
    source = random.Random(12)
    cases = list(_proof_files(source, COUNT))
    note = sign_note(Checkpoint(ORIGIN, 1, TREE.root(1)).text(), [LOG])
    long = format_proof(0, [], note, bytes(60_000))
    cases += [
        _proof_case("unfinished", long[:-1].encode(), TREE.leaves[0]),
        _proof_case("long extra", long.encode(), TREE.leaves[0]),
    ]
    known = [
        Difference("carriage-returns-in-proof-files", _has_carriage_returns),
        Difference("numbers-with-noughts", _has_noughts_in_index),
        Difference("proof-files-without-their-end", _lacks_its_end),
        Difference("long-extra-data", _has_a_long_line),
        Difference("two-lines-of-one-key", has_two_lines_of_a_key),
        LOOSE,
    ]
    compare(judge, cases, _as_proof, known)
    assert sum(case.ours is not None for case in cases) > COUNT // 20


def _as_proof(answer: Answer) -> object:
    return answer["index"], answer["size"], decoded(answer.get("root"))


def test_both_write_the_same_proof_files(judge: Judge) -> None:
    source = random.Random(13)
    for _ in range(100):
        size = source.randrange(1, len(TREE.leaves) + 1)
        index = source.randrange(size)
        note = any_note(source, Checkpoint(ORIGIN, size, TREE.root(size)).text())
        hashes, extra = build_inclusion(index, size, NODES), source.randbytes(9)
        answer = judge.ask(
            "format-proof", index=index, hashes=hashes, note=note, extra=extra
        )
        assert (
            decoded(answer["data"]) == format_proof(index, hashes, note, extra).encode()
        )
