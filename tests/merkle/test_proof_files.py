"""Proof files: what stands in them is believed only with the leaf and the log's key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import (
    ContentError,
    MalformedError,
    MerkleError,
    PolicyError,
    ProofError,
    SignatureError,
)
from provlog.merkle.hashing import leaf_hash, node_hash
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import (
    HEADER,
    MAX_HASHES,
    ProofFile,
    format_proof,
    format_proof_lines,
    parse_proof_unverified,
    verify_proof,
)
from provlog.merkle.trust import Trust
from support.cosigners import LOG_KEY, Cosigner

LEAVES = [leaf_hash(entry) for entry in (b"a", b"b", b"c")]
LEFT = node_hash(LEAVES[0], LEAVES[1])
ROOT = node_hash(LEFT, LEAVES[2])
NOTE = sign_note(Checkpoint(LOG_KEY.name, 3, ROOT).text(), [LOG_KEY])
PATHS = [[LEAVES[1], LEAVES[2]], [LEAVES[0], LEAVES[2]], [LEFT]]
TRUST = Trust.from_log_key(LOG_KEY.verifier().vkey())
PROOF = format_proof(1, PATHS[1], NOTE)

hashes = st.binary(min_size=32, max_size=32)


def test_the_file_is_header_index_hashes_and_the_note_as_it_is() -> None:
    lines = [HEADER, "index 1", encode_base64(LEAVES[0]), encode_base64(LEAVES[2]), ""]
    assert "\n".join(lines) + "\n" + NOTE.decode() == PROOF


@pytest.mark.parametrize("index", range(3))
def test_every_leaf_of_a_tree_is_proved_by_its_file(index: int) -> None:
    data = format_proof(index, PATHS[index], NOTE).encode()
    verified = verify_proof(data, LEAVES[index], TRUST)
    assert verified.index == index
    assert verified.signed_checkpoint.checkpoint.root == ROOT
    assert verified.signed_checkpoint.note == NOTE


def test_the_only_leaf_of_a_tree_needs_no_hashes() -> None:
    note = sign_note(Checkpoint(LOG_KEY.name, 1, LEAVES[0]).text(), [LOG_KEY])
    verified = verify_proof(format_proof(0, [], note).encode(), LEAVES[0], TRUST)
    assert verified.index == 0


def test_extra_data_travels_and_does_not_decide() -> None:
    for extra in (b"", b"more", bytes(1000)):
        data = format_proof(1, PATHS[1], NOTE, extra).encode()
        assert parse_proof_unverified(data).extra == extra
        assert verify_proof(data, LEAVES[1], TRUST).index == 1


def test_hashes_encoded_before_give_the_same_file() -> None:
    encoded = [encode_base64(each) for each in PATHS[1]]
    assert format_proof_lines(1, encoded, NOTE.decode()) == PROOF


@given(
    st.integers(0, 2**63 - 1),
    st.lists(hashes, max_size=MAX_HASHES).map(tuple),
    st.none() | st.binary(max_size=50),
)
def test_every_proof_reads_back(
    index: int, path: tuple[bytes, ...], extra: bytes | None
) -> None:
    data = format_proof(index, path, NOTE, extra).encode()
    assert parse_proof_unverified(data) == ProofFile(index, path, NOTE, extra)


def test_another_leaf_index_or_hash_is_refused() -> None:
    wrong = [
        (PROOF, LEAVES[0]),
        (PROOF.replace("index 1", "index 0"), LEAVES[1]),
        (PROOF.replace("index 1", "index 2"), LEAVES[1]),
        (PROOF.replace("index 1", "index 3"), LEAVES[1]),
        (format_proof(1, PATHS[1][::-1], NOTE), LEAVES[1]),
        (format_proof(1, PATHS[1][:1], NOTE), LEAVES[1]),
        (format_proof(1, [*PATHS[1], ROOT], NOTE), LEAVES[1]),
        (format_proof(1, [], NOTE), LEAVES[1]),
    ]
    for text, leaf in wrong:
        with pytest.raises(ProofError):
            verify_proof(text.encode(), leaf, TRUST)


def test_a_checkpoint_that_is_not_believed_proves_nothing() -> None:
    witness = Cosigner.ed25519("w.example", 1).key.vkey()
    vkey = LOG_KEY.verifier().vkey()
    policy = f"log {vkey}\nwitness W {witness}\nquorum W\n"
    with pytest.raises(PolicyError):
        verify_proof(PROOF.encode(), LEAVES[1], Trust.from_policy(policy))
    with pytest.raises(ContentError):
        verify_proof(PROOF.encode(), LEAVES[1], Trust.from_log_key(vkey, "other"))
    other = Cosigner.mldsa(LOG_KEY.name, 1).key.vkey()
    with pytest.raises(SignatureError):
        verify_proof(PROOF.encode(), LEAVES[1], Trust.from_log_key(other))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        HEADER,
        PROOF.replace("@v1", "@v2"),
        PROOF.replace("c2sp", "C2SP"),
        "\n" + PROOF,
        PROOF.replace("\n", "\r\n"),
        PROOF.replace("index 1", "index 01"),
        PROOF.replace("index 1", "index -1"),
        PROOF.replace("index 1", "index  1"),
        PROOF.replace("index 1", "index 1 "),
        PROOF.replace("index 1", "index"),
        PROOF.replace("index 1", "index "),
        PROOF.replace("index 1", f"index {2**63}"),
        PROOF.replace("index 1\n", ""),
        PROOF.replace("index 1", "index 1\nindex 1"),
        PROOF.replace("index 1", "index 1\nextra YQ=="),
        PROOF.replace("index 1", "extra YQ==\nextra YQ==\nindex 1"),
        PROOF.replace("index 1", "extra\nindex 1"),
        PROOF.replace("index 1", "extra YQ\nindex 1"),
        PROOF.replace("index 1", "extra YR==\nindex 1"),
        PROOF.replace("index 1", "extra ù\nindex 1"),
        PROOF.replace("index 1", "index 1\n" + encode_base64(bytes(31))),
        PROOF.replace("index 1", "index 1\n" + encode_base64(bytes(33))),
        PROOF.replace("index 1", "index 1\n" + encode_base64(bytes(32))[:-2] + "B="),
        PROOF.replace("index 1", "index 1\n" + encode_base64(bytes(32))[:-1]),
        PROOF.replace("index 1", "index 1\n "),
    ],
)
def test_what_is_not_exactly_a_proof_file_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_proof_unverified(text.encode())


def test_a_proof_with_more_hashes_than_any_tree_needs_is_refused() -> None:
    longest = format_proof(0, [ROOT] * MAX_HASHES, NOTE).encode()
    assert len(parse_proof_unverified(longest).hashes) == MAX_HASHES
    with pytest.raises(MalformedError, match="more than 63"):
        parse_proof_unverified(format_proof(0, [ROOT] * 64, NOTE).encode())


def test_an_endless_proof_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="longer"):
        parse_proof_unverified(b"\n" * 10_000_000)


def test_a_checkpoint_with_an_end_missing_is_refused() -> None:
    for cut in (1, 2, 20, len(NOTE) - 1, len(NOTE)):
        with pytest.raises(MalformedError):
            verify_proof(PROOF.encode()[:-cut], LEAVES[1], TRUST)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_as_malformed(data: bytes) -> None:
    for each in (data, f"{HEADER}\nindex 1\n".encode() + data):
        with pytest.raises(MerkleError):
            verify_proof(each, LEAVES[1], TRUST)


@given(st.data())
def test_no_change_to_a_proof_file_leaves_it_true(data: st.DataObject) -> None:
    proof = PROOF.encode()
    place = data.draw(st.integers(0, len(proof)))
    cut = data.draw(st.integers(0, 3))
    changed = proof[:place] + data.draw(st.binary(max_size=3)) + proof[place + cut :]
    if changed != proof:
        with pytest.raises(MerkleError):
            verify_proof(changed, LEAVES[1], TRUST)
