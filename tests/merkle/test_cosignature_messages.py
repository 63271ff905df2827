"""Cosignatures: the exact bytes that are signed, and what they do and do not bind."""

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosignatures import (
    MAX_TIMESTAMP,
    ed25519_message,
    mldsa_message,
    verify_cosignature,
)
from provlog.merkle.errors import SignatureError
from provlog.merkle.hashing import EMPTY_ROOT
from support.cosigners import LOG_KEY, Cosigner

ROOT = bytes(range(32))
TEXT = Checkpoint("example.com/log", 7, ROOT).text()
EXTENDED = Checkpoint("example.com/log", 7, ROOT, ("more",)).text()
ED25519 = Cosigner.ed25519("witness.example", 1)
MLDSA = Cosigner.mldsa("witness.example", 2)
BOTH = pytest.mark.parametrize("cosigner", [ED25519, MLDSA], ids=["ed25519", "mldsa"])


def test_the_ed25519_message_is_two_lines_and_the_text() -> None:
    assert ed25519_message("origin\n7\nroot\n", 1679315147) == (
        b"cosignature/v1\ntime 1679315147\norigin\n7\nroot\n"
    )


def test_the_mldsa_message_is_the_structure_of_the_specification() -> None:
    assert mldsa_message("wit", 258, "log", 0, 7, ROOT) == (
        bytes.fromhex("737562747265652f76310a00")
        + b"\x03wit"
        + bytes((0, 0, 0, 0, 0, 0, 1, 2))
        + b"\x03log"
        + bytes(8)
        + bytes((0, 0, 0, 0, 0, 0, 0, 7))
        + ROOT
    )


@BOTH
@pytest.mark.parametrize("timestamp", [0, 1, 1_700_000_000, MAX_TIMESTAMP])
def test_a_cosignature_verifies_and_gives_its_time(
    cosigner: Cosigner, timestamp: int
) -> None:
    value = cosigner.sign(TEXT, timestamp).value
    assert verify_cosignature(cosigner.key, TEXT, value) == timestamp


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        Checkpoint("example.com/log", 8, ROOT).text(),
        Checkpoint("example.com/other", 7, ROOT).text(),
        Checkpoint("example.com/log", 7, ROOT[::-1]).text(),
    ],
)
def test_origin_size_and_root_are_bound(cosigner: Cosigner, text: str) -> None:
    value = cosigner.sign(TEXT, 5).value
    with pytest.raises(SignatureError):
        verify_cosignature(cosigner.key, text, value)


@BOTH
def test_the_time_is_bound(cosigner: Cosigner) -> None:
    value = cosigner.sign(TEXT, 5).value
    with pytest.raises(SignatureError):
        verify_cosignature(cosigner.key, TEXT, bytes(7) + b"\x06" + value[8:])


def test_extension_lines_are_bound_by_ed25519_and_not_by_mldsa() -> None:
    verify_cosignature(MLDSA.key, EXTENDED, MLDSA.sign(TEXT, 5).value)
    with pytest.raises(SignatureError):
        verify_cosignature(ED25519.key, EXTENDED, ED25519.sign(TEXT, 5).value)


def test_mldsa_binds_the_cosigners_name() -> None:
    renamed = Cosigner.mldsa("another.example", 2)
    assert renamed.key.public_key == MLDSA.key.public_key
    with pytest.raises(SignatureError):
        verify_cosignature(renamed.key, TEXT, MLDSA.sign(TEXT, 5).value)


@BOTH
def test_values_of_other_lengths_are_false(cosigner: Cosigner) -> None:
    value = cosigner.sign(TEXT, 5).value
    for short in (b"", bytes(7), value[:8]):
        with pytest.raises(SignatureError, match="too short"):
            verify_cosignature(cosigner.key, TEXT, short)
    for wrong in (value[:-1], value + b"\0", value[8:]):
        with pytest.raises(SignatureError):
            verify_cosignature(cosigner.key, TEXT, wrong)


@BOTH
def test_times_beyond_63_bits_are_false(cosigner: Cosigner) -> None:
    value = cosigner.sign(TEXT, 5).value
    with pytest.raises(SignatureError, match="time"):
        verify_cosignature(cosigner.key, TEXT, b"\x80" + bytes(7) + value[8:])


def test_mldsa_signs_nothing_but_checkpoints() -> None:
    value = MLDSA.sign(TEXT, 5).value
    long_origin = Checkpoint("x" * 256, 7, ROOT).text()
    for text in ("hello\n", "a\n7\n", long_origin):
        with pytest.raises(SignatureError):
            verify_cosignature(MLDSA.key, text, value)


def test_mldsa_does_not_vouch_for_a_false_root_of_no_leaves() -> None:
    true = Checkpoint("example.com/log", 0, EMPTY_ROOT).text()
    false = Checkpoint("example.com/log", 0, ROOT).text()
    verify_cosignature(MLDSA.key, true, MLDSA.sign(true, 5).value)
    with pytest.raises(SignatureError, match="no leaves"):
        verify_cosignature(MLDSA.key, false, MLDSA.sign(false, 5).value)


def test_a_log_key_makes_no_cosignatures() -> None:
    with pytest.raises(ValueError, match="not a key for cosignatures"):
        verify_cosignature(LOG_KEY.verifier(), TEXT, bytes(72))


@pytest.mark.parametrize(
    ("cosigner", "timestamp", "origin", "start", "end", "root"),
    [
        ("", 0, "log", 0, 1, ROOT),
        ("w" * 256, 0, "log", 0, 1, ROOT),
        ("w", 0, "", 0, 1, ROOT),
        ("w", 0, "l" * 256, 0, 1, ROOT),
        ("w", -1, "log", 0, 1, ROOT),
        ("w", MAX_TIMESTAMP + 1, "log", 0, 1, ROOT),
        ("w", 0, "log", -1, 1, ROOT),
        ("w", 0, "log", 2, 1, ROOT),
        ("w", 0, "log", 0, 2**64, ROOT),
        ("w", 0, "log", 0, 1, ROOT[1:]),
        ("w", 5, "log", 4, 8, ROOT),
    ],
)
def test_what_the_structure_cannot_hold_is_refused(
    cosigner: str, timestamp: int, origin: str, start: int, end: int, root: bytes
) -> None:
    with pytest.raises(ValueError, match="cosign"):
        mldsa_message(cosigner, timestamp, origin, start, end, root)


def test_a_subtree_away_from_the_start_is_signed_without_a_time() -> None:
    message = mldsa_message("w", 0, "log", 4, 8, ROOT)
    assert message.endswith(bytes(7) + b"\4" + bytes(7) + b"\x08" + ROOT)
