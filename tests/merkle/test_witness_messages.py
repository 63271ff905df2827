"""The bodies of tlog-witness: strict, bounded, and read as they were written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.errors import MalformedError
from provlog.merkle.witness_messages import (
    MAX_PROOF,
    MAX_REQUEST,
    AddCheckpoint,
    SignSubtree,
    origin_hash,
    parse_add_checkpoint,
    parse_known_size,
    parse_sign_subtree,
)
from support.note_vectors import SUNLIGHT, SUNLIGHT_FOLDER
from support.vectors import vectors_root

HASH = st.binary(min_size=32, max_size=32)
PROOF = st.lists(HASH, max_size=MAX_PROOF).map(tuple)
SIZE = st.integers(0, 2**63 - 1)
NOTE = st.binary(max_size=200)
LINE = "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@given(size=SIZE, proof=PROOF, note=NOTE)
@settings(max_examples=60)
def test_add_checkpoint_is_read_as_it_was_written(
    size: int, proof: tuple[bytes, ...], note: bytes
) -> None:
    message = AddCheckpoint(size, proof, note)
    assert parse_add_checkpoint(message.format()) == message


@given(ends=st.tuples(SIZE, SIZE), root=HASH, proof=PROOF, note=NOTE)
@settings(max_examples=60)
def test_sign_subtree_is_read_as_it_was_written(
    ends: tuple[int, int], root: bytes, proof: tuple[bytes, ...], note: bytes
) -> None:
    message = SignSubtree(min(ends), max(ends), root, proof, note)
    assert parse_sign_subtree(message.format()) == message


def test_the_example_of_the_specification_is_read() -> None:
    hashes = (
        "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=",
        "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=",
    )
    body = "\n".join(("old 20852014", *hashes, "", "example.com/behind-the-sofa\n"))
    read = parse_add_checkpoint(body.encode())
    assert (read.old_size, len(read.proof)) == (20852014, 2)
    assert read.checkpoint == b"example.com/behind-the-sofa\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "old 0",
        "old 0\n",
        "old 0\nnote",
        "old \n\nnote",
        "old 00\n\nnote",
        "old +1\n\nnote",
        "old 1 \n\nnote",
        "old  1\n\nnote",
        "Old 1\n\nnote",
        "old -1\n\nnote",
        "old ١\n\nnote",
        f"old {2**63}\n\nnote",
        f"\nold 1\n{LINE}\n\nnote",
        f"old 1\n{LINE[:-1]}\n\nnote",
        f"old 1\n{LINE.replace('A=', 'B=')}\n\nnote",
        f"old 1\n {LINE}\n\nnote",
        f"old 1\r\n{LINE}\r\n\r\nnote",
        f"old 1\n{LINE}{LINE}\n\nnote",
        "old 1\n" + f"{LINE}\n" * (MAX_PROOF + 1) + "\nnote",
        "old 1\nKg==\n\nnote",
    ],
)
def test_add_checkpoint_has_one_spelling(body: str) -> None:
    with pytest.raises(MalformedError):
        parse_add_checkpoint(body.encode())


@pytest.mark.parametrize(
    "body",
    [
        "subtree 0 1\n\nnote",
        f"subtree 0\n{LINE}\n\nnote",
        f"subtree 0 01\n{LINE}\n\nnote",
        f"subtree 0  1\n{LINE}\n\nnote",
        f"subtree 0 1 2\n{LINE}\n\nnote",
        f"old 0 1\n{LINE}\n\nnote",
        "subtree 0 1\n" + f"{LINE}\n" * (MAX_PROOF + 2) + "\nnote",
    ],
)
def test_sign_subtree_has_one_spelling(body: str) -> None:
    with pytest.raises(MalformedError):
        parse_sign_subtree(body.encode())


def test_as_many_hashes_as_may_be_are_read() -> None:
    proof = (bytes(32),) * MAX_PROOF
    assert parse_add_checkpoint(AddCheckpoint(1, proof, b"n").format()).proof == proof
    subtree = SignSubtree(0, 1, bytes(32), proof, b"n")
    assert parse_sign_subtree(subtree.format()).proof == proof


def test_a_body_is_bounded_before_it_is_read() -> None:
    for parse in (parse_add_checkpoint, parse_sign_subtree):
        with pytest.raises(MalformedError, match="longer"):
            parse(b"\xff" * (MAX_REQUEST + 1))


def test_what_no_body_can_hold_is_not_written() -> None:
    for message in (
        AddCheckpoint(-1, (), b""),
        AddCheckpoint(0, (bytes(32),) * 64, b""),
        SignSubtree(2, 1, bytes(32), (), b""),
        SignSubtree(0, 1, bytes(32), (bytes(32),) * 64, b""),
    ):
        with pytest.raises(ValueError, match="no such"):
            message.format()


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for start in (b"", b"old 1\n", b"subtree 0 4\n", b"old 0\n\n"):
        for parse in (parse_add_checkpoint, parse_sign_subtree):
            try:
                read = parse(start + data)
            except MalformedError:
                continue
            assert read.format() == start + data


@given(SIZE)
@settings(max_examples=30)
def test_a_known_size_is_a_decimal_and_a_newline(size: int) -> None:
    assert parse_known_size(b"%d\n" % size) == size


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"1", b"01\n", b"1\n\n", b"-1\n", b" 1\n", b"\xb2\n", b"9" * 30],
)
def test_a_known_size_has_one_spelling(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_known_size(body)


@pytest.mark.needs("vectors")
def test_the_place_of_an_origin_is_where_others_put_it() -> None:
    # A witness's folder in the test data of sunlight's skylight.
    folder = vectors_root() / SUNLIGHT / SUNLIGHT_FOLDER / "witness"
    for path in (folder / "mirror").glob("*/checkpoint"):
        origin = path.read_text().partition("\n")[0]
        assert path.parent.name == origin_hash(origin)
        break
    else:
        pytest.fail("there is no such folder")
