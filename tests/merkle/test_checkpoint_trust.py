"""Trust: who has to sign before a checkpoint is believed, and what is refused."""

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.errors import (
    ContentError,
    MalformedError,
    PolicyError,
    SignatureError,
)
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import SignatureLine, add_signatures, sign_note
from provlog.merkle.trust import Cosignature, Trust, verify_checkpoint
from support.cosigners import LOG_KEY, Cosigner

ORIGIN = LOG_KEY.name
VKEY = LOG_KEY.verifier().vkey()
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(ORIGIN, 7, ROOT)
NOTE = sign_note(CHECKPOINT.text(), [LOG_KEY])
A = Cosigner.ed25519("a.example", 1)
B = Cosigner.ed25519("b.example", 2)
PQ = Cosigner.mldsa("pq.example", 3)
PQ_LOG = Cosigner.mldsa(ORIGIN, 4)
LOG_TRUST = Trust.from_log_key(VKEY)


def policy(quorum: str, *logs: str) -> str:
    return "".join(
        f"{line}\n"
        for line in (
            *(f"log {log}" for log in logs or (VKEY,)),
            f"witness A {A.key.vkey()}",
            f"witness B {B.key.vkey()}",
            f"witness PQ {PQ.key.vkey()}",
            "group AB any A B",
            "group ALL all AB PQ",
            f"quorum {quorum}",
        )
    )


def signed(checkpoint: Checkpoint) -> bytes:
    return sign_note(checkpoint.text(), [LOG_KEY])


def test_a_checkpoint_signed_by_the_log_is_believed() -> None:
    verified = verify_checkpoint(NOTE, LOG_TRUST)
    assert verified.checkpoint == CHECKPOINT
    assert verified.note == NOTE
    assert verified.log_key == LOG_KEY.verifier()
    assert verified.cosignatures == ()


def test_a_quorum_of_cosignatures_is_believed_and_reported() -> None:
    trust = Trust.from_policy(policy("ALL"))
    note = PQ.cosign(B.cosign(NOTE, 5), 0)
    assert verify_checkpoint(note, trust).cosignatures == (
        Cosignature("B", B.key, 5),
        Cosignature("PQ", PQ.key, 0),
    )


@pytest.mark.parametrize("witnesses", [[], [A], [A, B], [PQ]])
def test_less_than_the_quorum_is_refused(witnesses: list[Cosigner]) -> None:
    note = NOTE
    for witness in witnesses:
        note = witness.cosign(note)
    with pytest.raises(PolicyError):
        verify_checkpoint(note, Trust.from_policy(policy("ALL")))
    verify_checkpoint(note, Trust.from_policy(policy("none")))


def test_cosignatures_by_strangers_do_not_count() -> None:
    stranger = Cosigner.ed25519("a.example", 9)
    with pytest.raises(PolicyError):
        verify_checkpoint(stranger.cosign(NOTE), Trust.from_policy(policy("A")))


def test_a_cosignature_on_another_checkpoint_is_refused() -> None:
    other = A.sign(Checkpoint(ORIGIN, 8, ROOT).text(), 5)
    note = add_signatures(NOTE, [other])
    with pytest.raises(SignatureError):
        verify_checkpoint(note, Trust.from_policy(policy("none")))


def test_witnesses_alone_do_not_make_a_checkpoint() -> None:
    note = B.cosign(A.sign_alone(CHECKPOINT.text(), 5))
    with pytest.raises(SignatureError, match="not signed by its log"):
        verify_checkpoint(note, Trust.from_policy(policy("A")))


def test_a_log_key_of_another_log_is_refused() -> None:
    other = SigningKey.from_seed(ORIGIN, b"\7" * 32)
    with pytest.raises(SignatureError):
        verify_checkpoint(sign_note(CHECKPOINT.text(), [other]), LOG_TRUST)


def test_a_changed_text_is_refused() -> None:
    with pytest.raises(SignatureError):
        verify_checkpoint(NOTE.replace(b"\n7\n", b"\n8\n"), LOG_TRUST)


def test_a_true_signature_on_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(MalformedError):
        verify_checkpoint(sign_note("hello\n", [LOG_KEY]), LOG_TRUST)


def test_another_origin_under_the_same_key_is_refused() -> None:
    note = signed(Checkpoint("example.com/other", 7, ROOT))
    with pytest.raises(ContentError, match="another origin"):
        verify_checkpoint(note, LOG_TRUST)
    verify_checkpoint(note, Trust.from_log_key(VKEY, "example.com/other"))


def test_no_leaves_have_one_root() -> None:
    verify_checkpoint(signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT)), LOG_TRUST)
    with pytest.raises(ContentError, match="no leaves"):
        verify_checkpoint(signed(Checkpoint(ORIGIN, 0, ROOT)), LOG_TRUST)


def test_extension_lines_are_returned_when_the_log_signed_them() -> None:
    extended = Checkpoint(ORIGIN, 7, ROOT, ("more",))
    assert verify_checkpoint(signed(extended), LOG_TRUST).checkpoint == extended


def test_a_log_may_sign_with_mldsa_alone() -> None:
    trust = Trust.from_log_key(PQ_LOG.key.vkey())
    note = PQ_LOG.sign_alone(CHECKPOINT.text())
    assert verify_checkpoint(note, trust).log_key == PQ_LOG.key


def test_extension_lines_that_no_log_signature_covers_are_refused() -> None:
    extended = Checkpoint(ORIGIN, 7, ROOT, ("slipped in",))
    mldsa_alone = PQ_LOG.sign_alone(extended.text())
    with pytest.raises(SignatureError, match="extension"):
        verify_checkpoint(mldsa_alone, Trust.from_log_key(PQ_LOG.key.vkey()))
    both = Trust.from_policy(policy("none", VKEY, PQ_LOG.key.vkey()))
    note = PQ_LOG.cosign(signed(extended))
    assert verify_checkpoint(note, both).checkpoint.extensions == ("slipped in",)


def test_either_key_of_a_log_is_enough_and_a_false_one_too_much() -> None:
    trust = Trust.from_policy(policy("none", VKEY, PQ_LOG.key.vkey()))
    assert trust.log_keys == (LOG_KEY.verifier(), PQ_LOG.key)
    assert verify_checkpoint(NOTE, trust).log_key == LOG_KEY.verifier()
    false = SignatureLine(ORIGIN, PQ_LOG.key.key_id, bytes(2428))
    with pytest.raises(SignatureError):
        verify_checkpoint(add_signatures(NOTE, [false]), trust)


def test_trust_in_a_log_key_takes_its_name_for_the_origin() -> None:
    assert LOG_TRUST.origin == ORIGIN
    assert Trust.from_log_key(VKEY, "other").origin == "other"
    assert Trust.from_policy(policy("none")).origin == ORIGIN


def test_a_cosigners_key_is_no_log_key() -> None:
    with pytest.raises(MalformedError):
        Trust.from_log_key(A.key.vkey())
    with pytest.raises(ValueError, match="no key of that type"):
        Trust((A.key,), ORIGIN)
    with pytest.raises(ValueError, match="no log key"):
        Trust((), ORIGIN)


def test_a_policy_of_several_logs_is_trust_in_the_one_that_is_meant() -> None:
    second = SigningKey.from_seed("example.com/second", b"\7" * 32)
    text = policy("none", VKEY, second.verifier().vkey())
    trust = Trust.from_policy(text, ORIGIN)
    assert trust.log_keys == (LOG_KEY.verifier(),)
    foreign = sign_note(CHECKPOINT.text(), [second])
    with pytest.raises(SignatureError):
        verify_checkpoint(foreign, trust)
    with pytest.raises(ContentError, match="2 logs"):
        Trust.from_policy(text)
    with pytest.raises(ContentError, match="no log of that origin"):
        Trust.from_policy(text, "example.com/third")


def test_a_policy_without_logs_is_no_trust() -> None:
    for origin in (None, ORIGIN):
        with pytest.raises(ContentError, match="write a line log VKEY"):
            Trust.from_policy("quorum none\n", origin)


def test_one_public_key_as_log_and_witness_gives_two_kinds_of_signature() -> None:
    public = LOG_KEY.verifier().public_key
    witness = VerifierKey("w.example", KeyType.COSIGNATURE_ED25519, public)
    text = f"log {VKEY}\nwitness W {witness.vkey()}\nquorum W\n"
    with pytest.raises(PolicyError):
        verify_checkpoint(NOTE, Trust.from_policy(text))
