"""Verifier keys and signing keys: one spelling each, and secrets stay secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.keys import (
    KeyType,
    SigningKey,
    VerifierKey,
    compute_key_id,
    require_key_name,
)
from support.cosigners import LOG_KEY, Cosigner

WITNESS = Cosigner.ed25519("witness.example", 1)
MLDSA = Cosigner.mldsa("witness.example", 2)

names = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="+"
    ),
    min_size=1,
    max_size=60,
)


def spell(name: str, key_type: int, public: bytes) -> str:
    key_id = compute_key_id(name, key_type, public)
    return f"{name}+{key_id.hex()}+{encode_base64(bytes((key_type,)) + public)}"


@pytest.mark.parametrize("key", [LOG_KEY.verifier(), WITNESS.key, MLDSA.key])
def test_a_vkey_reads_back_as_the_same_key(key: VerifierKey) -> None:
    assert VerifierKey.parse(key.vkey()) == key


@given(names, st.binary(min_size=32, max_size=32))
def test_every_name_and_seed_survives_both_text_forms(name: str, seed: bytes) -> None:
    key = SigningKey.from_seed(name, seed)
    assert SigningKey.parse(key.encode()).sign(b"x") == key.sign(b"x")
    assert VerifierKey.parse(key.verifier().vkey()) == key.verifier()


def test_plus_signs_in_the_base64_part_do_not_divide() -> None:
    key = VerifierKey("a", KeyType.ED25519, bytes.fromhex("fb" * 32))
    assert key.vkey().count("+") > 2
    assert VerifierKey.parse(key.vkey()) == key


@pytest.mark.parametrize(
    "name",
    [
        "",
        *("a b", "a\tb", "a\u00a0b", "a\u2003b", "a+b", "a\nb", "a\x01b", "\ud800"),
        *("a" * 256, "\N{EM DASH}" * 86),
    ],
)
def test_names_that_would_break_a_signature_line_are_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        require_key_name(name)


@pytest.mark.parametrize(
    "name", ["a", "a" * 255, "sùm", "oid/1.3.6.1", "\N{EM DASH}" * 85]
)
def test_any_other_name_is_taken(name: str) -> None:
    require_key_name(name)


def test_a_key_id_of_another_key_is_refused() -> None:
    vkey = LOG_KEY.verifier().vkey()
    other = WITNESS.key.key_id.hex()
    with pytest.raises(MalformedError, match="key ID"):
        VerifierKey.parse(vkey.replace(LOG_KEY.key_id.hex(), other))


def test_an_upper_case_key_id_is_refused() -> None:
    vkey = LOG_KEY.verifier().vkey()
    upper = vkey.replace(LOG_KEY.key_id.hex(), LOG_KEY.key_id.hex().upper())
    assert upper != vkey
    with pytest.raises(MalformedError):
        VerifierKey.parse(upper)


@pytest.mark.parametrize("key_type", [0, 2, 3, 5, 0xFA, 0xFF])
def test_signature_types_not_understood_are_refused(key_type: int) -> None:
    with pytest.raises(MalformedError, match="type"):
        VerifierKey.parse(spell("example.com", key_type, bytes(32)))


def test_a_vkey_without_key_material_is_refused() -> None:
    with pytest.raises(MalformedError):
        VerifierKey.parse("example.com+00000000+")


@pytest.mark.parametrize(
    ("key_type", "size"), [(1, 31), (1, 33), (4, 1312), (6, 32), (6, 1311), (6, 1313)]
)
def test_public_keys_of_the_wrong_length_are_refused(key_type: int, size: int) -> None:
    with pytest.raises(MalformedError):
        VerifierKey.parse(spell("example.com", key_type, bytes(size)))


def test_base64_with_loose_last_bits_is_refused() -> None:
    # 33 bytes need no padding; 1313 bytes leave bits over, and those must be zero.
    vkey = MLDSA.key.vkey()
    assert vkey.endswith("=")
    loose = vkey[:-2] + chr(ord(vkey[-2]) + 1) + "="
    with pytest.raises(MalformedError):
        VerifierKey.parse(loose)


def test_an_endless_vkey_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MalformedError, match="too long"):
        VerifierKey.parse("a" * 10_000_000)


def test_a_signature_verifies_over_its_message_alone() -> None:
    signature = LOG_KEY.sign(b"message")
    LOG_KEY.verifier().verify(b"message", signature)
    for message, value in [
        (b"messagE", signature),
        (b"message", signature[:-1]),
        (b"message", signature + b"\0"),
        (b"message", b""),
    ]:
        with pytest.raises(SignatureError):
            LOG_KEY.verifier().verify(message, value)


def test_signing_is_deterministic() -> None:
    again = SigningKey.parse(LOG_KEY.encode())
    assert again.sign(b"message") == LOG_KEY.sign(b"message")


def test_a_signing_keys_repr_does_not_show_the_secret() -> None:
    seed = bytes(range(65, 97))
    key = SigningKey.from_seed("example.com/log", seed)
    assert key.name in repr(key)
    for secret in (seed.decode(), seed.hex(), key.encode().rsplit("+", 1)[1]):
        assert secret[2:20] not in repr(key)


def test_a_signing_key_with_a_damaged_secret_is_refused_without_showing_it() -> None:
    text = SigningKey.from_seed("example.com/log", b"\xaa" * 32).encode()
    secret = text.rsplit("+", 1)[1]
    damaged = [
        text[:-1],
        text.replace("PRIVATE", "private"),
        text.replace("example.com", "example.org"),
        text.removeprefix("PRIVATE+KEY+"),
        text.replace(secret, "B" + secret[1:]),
        text.replace(secret, secret[:-4]),
        text + "+",
        "PRIVATE+KEY+",
    ]
    for each in damaged:
        with pytest.raises(MalformedError) as caught:
            SigningKey.parse(each)
        assert secret[2:20] not in str(caught.value)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seeds_of_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(MalformedError):
        SigningKey.from_seed("example.com/log", bytes(size))


@given(st.text(max_size=200))
def test_no_text_makes_a_parser_of_keys_fail_otherwise(text: str) -> None:
    for parse in (VerifierKey.parse, SigningKey.parse):
        with pytest.raises(MalformedError):
            parse(text)


@given(st.data())
def test_any_change_to_a_vkey_is_noticed(data: st.DataObject) -> None:
    vkey = WITNESS.key.vkey()
    place = data.draw(st.integers(0, len(vkey) - 1))
    mark = data.draw(st.characters().filter(lambda mark: mark != vkey[place]))
    with pytest.raises(MalformedError):
        VerifierKey.parse(vkey[:place] + mark + vkey[place + 1 :])
