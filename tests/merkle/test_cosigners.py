"""Keys that make cosignatures: what they sign, and how they are written down."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosignatures import mldsa_message, verify_cosignature
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import add_signatures, open_note
from support import cosigners as plain
from support.cosigners import LOG_KEY
from support.witnessed_logs import MemoryLog

TYPES = (KeyType.COSIGNATURE_ED25519, KeyType.COSIGNATURE_MLDSA44)
NAME = "witness.example/w1"
TEXT = Checkpoint("example.com/log", 7, bytes(range(32))).text()


@pytest.fixture(params=TYPES, ids=lambda kind: kind.name)
def cosigner(request: pytest.FixtureRequest) -> Cosigner:
    return Cosigner(NAME, request.param, bytes([5]) * 32)


def test_a_secret_is_read_as_it_was_written(cosigner: Cosigner) -> None:
    again = Cosigner.parse(cosigner.encode())
    assert again.encode() == cosigner.encode()
    assert again.verifier() == cosigner.verifier()
    key = cosigner.verifier()
    assert cosigner.encode().startswith(f"PRIVATE+KEY+{NAME}+{key.key_id.hex()}+")
    assert VerifierKey.parse(key.vkey()) == key


def test_nothing_shows_the_seed_but_encode(cosigner: Cosigner) -> None:
    secret = cosigner.encode()
    assert secret.rpartition("+")[2] not in repr(cosigner)
    for damaged in (secret[:-4], secret.replace(NAME, "other"), f"{secret}="):
        with pytest.raises(MalformedError) as refused:
            Cosigner.parse(damaged)
        assert damaged.rpartition("+")[2][:20] not in str(refused.value)


def test_a_log_s_key_makes_no_cosignatures() -> None:
    with pytest.raises(MalformedError):
        Cosigner.parse(LOG_KEY.encode())
    with pytest.raises(MalformedError):
        Cosigner("log.example", KeyType.ED25519, bytes(32))
    with pytest.raises(MalformedError):
        SigningKey.parse(Cosigner(NAME, TYPES[0], bytes(32)).encode())


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(MalformedError, match="32 bytes"):
        Cosigner(NAME, TYPES[0], bytes(size))


def test_a_cosignature_verifies_with_its_time(cosigner: Cosigner) -> None:
    note = MemoryLog().checkpoint(5)
    text = note.partition(b"\n\n")[0].decode() + "\n"
    line = cosigner.cosign(text, 1_700_000_000)
    opened = open_note(add_signatures(note, [line]), [cosigner.verifier()])
    [signature] = opened.signatures
    assert (signature.key, signature.timestamp) == (cosigner.verifier(), 1_700_000_000)


@pytest.mark.parametrize("kind", TYPES)
def test_it_signs_what_an_independent_signer_signs(kind: KeyType) -> None:
    mine = Cosigner(NAME, kind, bytes([5]) * 32)
    make = plain.Cosigner.ed25519 if kind is TYPES[0] else plain.Cosigner.mldsa
    other = make(NAME, 5)
    assert mine.verifier() == other.key
    verify_cosignature(other.key, TEXT, mine.cosign(TEXT, 9).value)
    if kind is TYPES[0]:
        assert mine.cosign(TEXT, 9) == other.sign(TEXT, 9)


@given(time=st.integers(0, 2**63 - 1), wrong=st.integers(0, 2**63 - 1))
@settings(max_examples=20)
def test_a_cosignature_is_of_one_time(time: int, wrong: int) -> None:
    for kind in TYPES:
        cosigner = Cosigner(NAME, kind, bytes([5]) * 32)
        value = cosigner.cosign(TEXT, time).value
        assert verify_cosignature(cosigner.verifier(), TEXT, value) == time
        if wrong != time:
            changed = wrong.to_bytes(8, "big") + value[8:]
            with pytest.raises(SignatureError):
                verify_cosignature(cosigner.verifier(), TEXT, changed)


def test_what_is_no_checkpoint_is_not_cosigned(cosigner: Cosigner) -> None:
    for text in ("", "origin\n1\n", TEXT[:-1], TEXT.replace("7", "07")):
        with pytest.raises(MalformedError):
            cosigner.cosign(text, 1)


def test_what_nobody_may_sign_is_not_cosigned(cosigner: Cosigner) -> None:
    false_root = Checkpoint("example.com/log", 0, bytes(32)).text()
    long_origin = Checkpoint("o" * 256, 1, bytes(32)).text()
    for text in (false_root, long_origin):
        with pytest.raises(SignatureError):
            cosigner.cosign(text, 1)
    cosigner.cosign(Checkpoint("example.com/log", 0, EMPTY_ROOT).text(), 1)


@pytest.mark.parametrize("time", [-1, 2**63])
def test_a_time_that_cannot_be_is_not_signed(cosigner: Cosigner, time: int) -> None:
    with pytest.raises(ValueError, match="time"):
        cosigner.cosign(TEXT, time)


def test_a_subtree_is_signed_without_a_time() -> None:
    cosigner = Cosigner(NAME, TYPES[1], bytes([5]) * 32)
    line = cosigner.cosign_subtree("example.com/log", 8, 13, bytes(32))
    assert line.value[:8] == bytes(8)
    message = mldsa_message(NAME, 0, "example.com/log", 8, 13, bytes(32))
    cosigner.verifier().verify(message, line.value[8:])


def test_ed25519_signs_no_subtrees() -> None:
    cosigner = Cosigner(NAME, TYPES[0], bytes([5]) * 32)
    with pytest.raises(ValueError, match="subtrees"):
        cosigner.cosign_subtree("example.com/log", 8, 13, bytes(32))
