"""Proofs, bundles and paths: our verdict and those of other people's libraries.

transparency-dev/merkle and golang.org/x/mod/sumdb/tlog see the same random cases, true
ones and changed ones. Where a verdict differs, the difference has a name and a reason
in docs/interoperability.md, and there is no other.
"""

import random
from collections.abc import Iterable, Iterator

import pytest

from provlog.merkle.consistency import (
    build_consistency,
    roots_from_consistency,
    verify_consistency,
)
from provlog.merkle.hashing import node_hash
from provlog.merkle.inclusion import (
    build_inclusion,
    root_from_inclusion,
    verify_inclusion,
)
from provlog.merkle.subtrees import verify_subtree_consistency
from provlog.merkle.tiles import Bundle, Tile, decode_bundle, encode_bundle, parse_path
from support.interop import (
    LONG,
    Answer,
    Case,
    Difference,
    Judge,
    compare,
    decoded,
    decoded_all,
    read_or_refuse,
)
from support.mutations import mutated, mutated_hashes, mutated_number
from support.naive_tree import NaiveTree, leaf_hashes

pytestmark = pytest.mark.needs("interop")

COUNT = 200_000 if LONG else 6_000
TREE = NaiveTree(leaf_hashes(300))
NODES = TREE.perfect_nodes()


def _accepted(_: Answer) -> object:
    return True


def _compare_sumdb(judge: Judge, cases: list[Case]) -> int:
    """Compare with x/mod what its types can hold; return how many that were."""
    answers = judge.ask_all([case.question for case in cases])
    seen = 0
    for case, answer in zip(cases, answers, strict=True):
        if "sumdb" in answer:
            seen += 1
            assert answer["sumdb"] == bool(case.ours), (case.kind, case.question)
    return seen


def _inclusion_case(
    kind: str, index: int, size: int, leaf: bytes, hashes: list[bytes], root: bytes
) -> Case:
    def read() -> object:
        verify_inclusion(index, size, leaf, hashes, root)
        return True

    question = {
        "op": "inclusion",
        "index": index,
        "size": size,
        "leaf": leaf,
        "hashes": hashes,
        "root": root,
    }
    return Case(kind, read_or_refuse(read), question)


def _inclusions(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        if source.random() < 0.3:  # of a tree that nobody could build
            size = source.randrange(1, 1 << source.randrange(10, 63))
            index = source.randrange(size)
            leaf, hashes = source.randbytes(32), _any_path(source, index, size)
            root = root_from_inclusion(index, size, leaf, hashes)
        else:
            size = source.randrange(1, len(TREE.leaves) + 1)
            index = source.randrange(size)
            leaf, hashes = TREE.leaves[index], build_inclusion(index, size, NODES)
            root = TREE.root(size)
        kind, hashes = mutated_hashes(source, hashes)
        changed = source.randrange(4)
        yield _inclusion_case(
            kind,
            mutated_number(source, index) if changed == 1 else index,
            mutated_number(source, size) if changed == 2 else size,
            source.randbytes(32) if changed == 3 else leaf,
            hashes,
            root,
        )


def _any_path(source: random.Random, index: int, size: int) -> list[bytes]:
    """Return as many random hashes as the path of a leaf has."""
    count, last = 0, size - 1
    while last:
        if index & 1 or index < last:
            count += 1
        index, last = index >> 1, last >> 1
    return [source.randbytes(32) for _ in range(count)]


def test_both_give_one_verdict_on_every_inclusion_proof(judge: Judge) -> None:
    cases = list(_inclusions(random.Random(6), COUNT))
    hashes = [bytes((number,)) * 32 for number in range(64)]
    leaf, root = bytes(32), bytes(32)
    for each in hashes:  # the path of leaf 0 of 2^64 - 1
        root = node_hash(root, each)
    cases.append(_inclusion_case("vast", 0, 2**64 - 1, leaf, hashes, root))
    compare(judge, cases, _accepted, [Difference("vast-trees", _is_vast)])
    assert sum(case.ours is not None for case in cases) > COUNT // 20
    assert _compare_sumdb(judge, cases) > COUNT // 2


def _is_vast(case: Case, _: Answer) -> bool:
    return case.ours is None and case.question["size"] > 2**63 - 1


def _consistency_case(
    kind: str, old: int, size: int, hashes: list[bytes], old_root: bytes, root: bytes
) -> Case:
    def read() -> object:
        verify_consistency(old, old_root, size, root, hashes)
        return True

    question = {
        "op": "consistency",
        "old": old,
        "size": size,
        "hashes": hashes,
        "old_root": old_root,
        "root": root,
    }
    return Case(kind, read_or_refuse(read), question)


def _consistencies(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        if source.random() < 0.3:
            size = source.randrange(4, 1 << source.randrange(10, 63))
            old = source.randrange(2, size - 1) | 1  # no power of two
            hashes = _any_extension(source, old, size)
            old_root, root = roots_from_consistency(old, bytes(32), size, hashes)
        else:
            size = source.randrange(1, len(TREE.leaves) + 1)
            old = source.randrange(1, size + 1)
            hashes = build_consistency(old, size, NODES)
            old_root, root = TREE.root(old), TREE.root(size)
        kind, hashes = mutated_hashes(source, hashes)
        changed = source.randrange(5)
        yield _consistency_case(
            kind,
            mutated_number(source, old) if changed == 1 else old,
            mutated_number(source, size) if changed == 2 else size,
            hashes,
            source.randbytes(32) if changed == 3 else old_root,
            source.randbytes(32) if changed == 4 else root,
        )


def _any_extension(source: random.Random, old: int, size: int) -> list[bytes]:
    """Return as many random hashes as the proof of an odd `old` has."""
    return [source.randbytes(32), *_any_path(source, old - 1, size)]


def test_both_give_one_verdict_on_every_consistency_proof(judge: Judge) -> None:
    cases = list(_consistencies(random.Random(7), COUNT))
    cases.append(_consistency_case("short roots", 5, 5, [], b"short", b"short"))
    cases.append(_consistency_case("from nothing", 0, 5, [], bytes(32), TREE.root(5)))
    known = [Difference("roots-of-another-length", _has_short_root)]
    compare(judge, cases, _accepted, known)
    assert sum(case.ours is not None for case in cases) > COUNT // 20
    assert _compare_sumdb(judge, cases) > COUNT // 2


def _has_short_root(case: Case, _: Answer) -> bool:
    return case.ours is None and len(case.question["root"]) != 32


def _subtrees(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        size = source.randrange(2, len(TREE.leaves) + 1)
        width = source.randrange(1, min(size, 1 << source.randrange(1, 9)) + 1)
        step = 1 << (width - 1).bit_length()
        start = source.randrange(0, size - width + 1) // step * step
        end = start + width
        hashes, root = TREE.proof(start, end, size), TREE.mth(start, end)
        kind, hashes = mutated_hashes(source, hashes)
        if source.random() < 0.3:
            start, end = mutated_number(source, start), mutated_number(source, end)
        yield _subtree_case(kind, (start, end, size), hashes, root)


def _subtree_case(
    kind: str, place: tuple[int, int, int], hashes: list[bytes], subtree: bytes
) -> Case:
    start, end, size = place
    root = TREE.root(size)

    def read() -> object:
        verify_subtree_consistency(start, end, subtree, size, root, hashes)
        return True

    question = {
        "op": "subtree",
        "start": start,
        "old": end,
        "size": size,
        "hashes": hashes,
        "old_root": subtree,
        "root": root,
    }
    return Case(kind, read_or_refuse(read), question)


def test_both_give_one_verdict_on_every_subtree_proof(judge: Judge) -> None:
    cases = list(_subtrees(random.Random(8), COUNT // 2))
    empty = TREE.mth(4, 4)
    cases += [_subtree_case("empty", (at, at, 9), [], empty) for at in (0, 4, 9)]
    known = [Difference("subtrees-without-leaves", _is_empty)]
    compare(judge, cases, _accepted, known)
    assert sum(case.ours is not None for case in cases) > COUNT // 20


def _is_empty(case: Case, _: Answer) -> bool:
    return bool(case.question["start"] == case.question["old"])


def test_both_build_the_same_proofs(judge: Judge) -> None:
    source = random.Random(9)
    for _ in range(200 if LONG else 40):
        size = source.randrange(1, len(TREE.leaves) + 1)
        index, old = source.randrange(size), source.randrange(1, size + 1)
        leaves = TREE.leaves[:size]
        answer = judge.ask("prove", index=index, old=old, hashes=leaves)
        assert decoded(answer["root"]) == TREE.root(size)
        inclusion = decoded_all(answer.get("hashes"))
        assert inclusion == build_inclusion(index, size, NODES)
        consistency = decoded_all(answer.get("older"))
        assert consistency == build_consistency(old, size, NODES)


def _bundles(source: random.Random, count: int) -> Iterable[Case]:
    for _ in range(count):
        width = source.randrange(1, 20)
        entries = [source.randbytes(source.randrange(60)) for _ in range(width)]
        kind, data = mutated(source, encode_bundle(entries))
        ours = read_or_refuse(lambda d=data, w=width: decode_bundle(d, w))  # type: ignore[misc]
        yield Case(kind, ours, {"op": "bundle", "data": data, "index": width})


def test_both_cut_bundles_alike(judge: Judge) -> None:
    cases = list(_bundles(random.Random(10), COUNT // 3))

    def another_count(case: Case, answer: Answer) -> bool:
        return bool(len(answer.get("hashes", ())) != case.question["index"])

    # How many entries there have to be is what only the caller knows.
    known = [Difference("bundles-of-another-count", another_count)]
    compare(judge, cases, lambda answer: decoded_all(answer.get("hashes")), known)


def _paths(source: random.Random, count: int) -> Iterable[Case]:
    for _ in range(count):
        index = source.randrange(1 << source.randrange(1, 54))
        width = source.choice((256, source.randrange(1, 256)))
        level = source.randrange(64)
        part = source.choice((Tile(level, index, width), Bundle(index, width)))
        kind, path = mutated(source, part.path().removeprefix("tile/").encode())
        yield _path_case(kind, path.decode("utf-8", "replace"))


def _path_case(kind: str, path: str) -> Case:
    level, _, rest = path.partition("/")
    ours = read_or_refuse(lambda: _place(parse_path(f"tile/{path}")))
    return Case(kind, ours, {"op": "path", "level": level, "path": rest})


def _place(part: Tile | Bundle) -> tuple[object, int, int]:
    level = part.level if isinstance(part, Tile) else 0
    return level, part.index, part.width % 256


def test_both_read_the_same_tile_in_a_path(judge: Judge) -> None:
    cases = list(_paths(random.Random(11), COUNT))
    cases.append(_path_case("vast", "0/" + "x999/" * 5 + "999"))
    cases.append(_path_case("padded", "0/x000/005"))
    known = [
        Difference("vast-trees", lambda case, answer: answer["index"] >= 2**55),
        Difference("paths-spelled-otherwise", _is_respelled),
    ]
    compare(judge, cases, lambda a: (a["level"], a["index"], a["width"]), known)


def _is_respelled(case: Case, answer: Answer) -> bool:
    """Tell whether the path is not how anybody writes the tile that they read."""
    level = case.question["level"]
    width = answer["width"] or 256
    part = Bundle(answer["index"], width)
    if level != "entries":
        part = Tile(answer["level"], answer["index"], width)  # type: ignore[assignment]
    return bool(part.path() != f"tile/{level}/{case.question['path']}")
