from hashlib import sha256

from provlog.merkle.hashing import (
    EMPTY_ROOT,
    HASH_SIZE,
    are_hashes,
    fold_right,
    hash_pairs,
    leaf_hash,
    node_hash,
)
from support.naive_tree import NaiveTree, leaf_hashes


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert leaf_hash(b"") == sha256(b"\x00").digest()
    assert leaf_hash(b"\x01ab") == sha256(b"\x00\x01ab").digest()
    assert (
        node_hash(b"a" * 32, b"b" * 32)
        == sha256(b"\x01" + b"a" * 32 + b"b" * 32).digest()
    )


def test_the_empty_tree_has_the_root_of_rfc_6962() -> None:
    assert EMPTY_ROOT.hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert fold_right([]) == EMPTY_ROOT


def test_pairs_are_hashed_in_order_and_an_odd_one_is_left_out() -> None:
    leaves = leaf_hashes(5)
    assert hash_pairs(leaves) == [node_hash(*leaves[:2]), node_hash(*leaves[2:4])]
    assert hash_pairs(leaves[:1]) == []


def test_maximal_subtrees_fold_to_the_root_of_the_tree() -> None:
    tree = NaiveTree(leaf_hashes(7))
    assert fold_right([tree.mth(0, 4), tree.mth(4, 6), tree.mth(6, 7)]) == tree.root()
    assert fold_right([tree.leaves[0]]) == tree.leaves[0]


def test_a_hash_is_exactly_32_bytes() -> None:
    assert are_hashes([])
    assert are_hashes([bytes(HASH_SIZE)])
    assert not are_hashes([bytes(HASH_SIZE), bytes(HASH_SIZE - 1)])
    assert not are_hashes([bytes(HASH_SIZE + 1)])
