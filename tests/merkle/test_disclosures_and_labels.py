"""Disclosures, labels, tags, ids and commitments: known values and refusals."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.disclosures import (
    LONG_SALT_SIZE,
    MAX_CONTENT,
    MAX_DISCLOSURE,
    OversizedValueError,
    disclosure_digest,
    make_disclosure,
    make_disclosures,
    parse_disclosure,
)
from provlog.merkle.encoding import JsonValue, encode_base64url
from provlog.merkle.errors import MalformedError
from provlog.merkle.labels import (
    LabelKind,
    entry_id,
    epoch_key_commitment,
    id_key_commitment,
    label,
    tag,
)
from support.golden_entries import EPOCH_KEY, ID_KEY, LABELS, NONCE

# RFC 9901: the blanks after the commas are part of the disclosure.
RFC_TEXT = (
    "WyI2SWo3dE0tYTVpVlBHYm9TNXRtdlZBIiwgImVtYWlsIiwgImpvaG5kb2VAZXhhbXBsZS5jb20iXQ"
)
RFC_DIGEST = "JzYjH4svliH0R3PyEMfeZu6Jt69u5qehZo7F7EPYlSE"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_the_digest_of_the_rfc_s_example() -> None:
    assert disclosure_digest(RFC_TEXT) == RFC_DIGEST
    parsed = parse_disclosure(RFC_TEXT)
    assert (parsed.name, parsed.value) == ("email", "johndoe@example.com")
    assert parsed.digest == RFC_DIGEST


def test_the_same_content_written_otherwise_has_another_digest() -> None:
    parsed = parse_disclosure(RFC_TEXT)
    again = make_disclosure(parsed.salt, parsed.name, parsed.value)
    assert disclosure_digest(again) != RFC_DIGEST


@given(st.binary(min_size=16, max_size=40), st.text(max_size=20), JSON)
def test_a_disclosure_comes_back_as_it_was_made(
    salt: bytes, name: str, value: object
) -> None:
    text = make_disclosure(salt, name, value)  # type: ignore[arg-type]
    parsed = parse_disclosure(text)
    assert (parsed.salt, parsed.name, parsed.value) == (salt, name, value)
    assert parsed.text == text


def encoded(value: object) -> str:
    return encode_base64url(json.dumps(value).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        RFC_TEXT + "=",
        RFC_TEXT + "A",
        encode_base64url(b"not json"),
        encoded({}),
        encoded(["A" * 22]),
        encoded(["A" * 22, "value"]),
        encoded(["A" * 22, "name", 1, 2]),
        encoded([1, "name", 1]),
        encoded(["A" * 22, 1, 1]),
        encoded(["short", "name", 1]),
        encoded(["A" * 20, "name", 1]),
        encoded(["A" * 22, "_sd", 1]),
        encoded(["A" * 22, "...", 1]),
        encode_base64url(b'["' + b"A" * 22 + b'","name",{"a":1,"a":2}]'),
        encode_base64url(b'["' + b"A" * 22 + b'","name",NaN]'),
        encode_base64url(b'["' + b"A" * 22 + b'","name","\\ud800"]'),
        encode_base64url(b'["' + b"A" * 22 + b'","name",' + b"[" * 99 + b"]" * 99),
        "ö",
    ],
)
def test_a_malformed_disclosure_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_disclosure(text)


def test_what_no_reader_would_take_is_not_made() -> None:
    name, salt = "original", bytes(LONG_SALT_SIZE)
    frame = len(b'["%b","%b",""]' % (b"A" * 24, name.encode()))
    longest = "x" * (MAX_CONTENT - frame)
    text = make_disclosure(salt, name, longest)
    assert len(text) == MAX_DISCLOSURE
    assert parse_disclosure(text).value == longest
    assert make_disclosures(salt, {name: b'"%b"' % longest.encode()})[0] == (text,)
    with pytest.raises(OversizedValueError) as caught:
        make_disclosure(salt, name, longest + "x")
    with pytest.raises(OversizedValueError):
        make_disclosures(salt, {name: b'"%bx"' % longest.encode()})
    assert caught.value.name == name


def test_short_salts_and_reserved_names_are_not_made() -> None:
    with pytest.raises(ValueError, match="salt"):
        make_disclosure(bytes(15), "name", 1)
    with pytest.raises(ValueError, match="reserved"):
        make_disclosure(bytes(16), "_sd", 1)


def test_labels_tags_ids_and_commitments_have_the_values_they_always_had() -> None:
    values = [
        label(EPOCH_KEY, LabelKind.TARGET, "urn:okta:acme", "00u9"),
        tag(NONCE, LABELS[0][1]),
        entry_id(ID_KEY, "urn:okta:acme", "9f2c"),
        epoch_key_commitment(1, EPOCH_KEY),
        id_key_commitment(ID_KEY),
    ]
    assert [value.hex() for value in values] == [
        "085f41bb77d3ec1f8f0de165f873a7fe90a2e1e1ad93a21efb4d85f233e3be98",
        "53b9b6ff7907fecbb293062b274af9978bd9db300adad3d5e19bcd26a29df53f",
        "18b0b664bde6f978af4ae7db344e0fe41269f9ec988c58e73feea93a27b02aec",
        "ed0d1c5d55c4a1f4a2f37395d2cba7f3879ea29f1d3bbe6247c5f9c334fe82f8",
        "c86f033ff92863899d9ce6b4b4a482f8663ea8c2572b260678a1897cca84a994",
    ]


def test_labels_of_equal_text_in_other_normal_forms_are_equal() -> None:
    composed, split = "Zoë", unicodedata.normalize("NFD", "Zoë")
    assert composed != split
    kind = LabelKind.TARGET
    assert label(EPOCH_KEY, kind, "ns", composed) == label(EPOCH_KEY, kind, "ns", split)


def test_labels_differ_by_key_kind_namespace_and_id() -> None:
    made = {
        label(key, kind, ns, identity)
        for key in (EPOCH_KEY, ID_KEY)
        for kind in LabelKind
        for ns, identity in (("a", "bc"), ("ab", "c"), ("a", "bd"))
    }
    assert len(made) == 18


def test_ids_differ_where_source_and_id_meet_elsewhere() -> None:
    assert entry_id(ID_KEY, "ab", "c") != entry_id(ID_KEY, "a", "bc")


@pytest.mark.parametrize("identity", ["", "x" * 513, "é" * 257])
def test_an_id_has_1_to_512_bytes(identity: str) -> None:
    with pytest.raises(ValueError, match="512"):
        label(EPOCH_KEY, LabelKind.ACTOR, "ns", identity)


def test_keys_and_nonces_have_their_length() -> None:
    with pytest.raises(ValueError, match="32"):
        entry_id(bytes(31), "s", "i")
    with pytest.raises(ValueError, match="16"):
        tag(bytes(15), bytes(32))


@given(st.dictionaries(st.sampled_from(["actor", "target", "é", 'a"b']), JSON))
def test_many_disclosures_are_what_one_at_a_time_are(
    members: dict[str, JsonValue],
) -> None:
    salts = bytes(range(LONG_SALT_SIZE * len(members)))
    encoded = {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        for name, value in members.items()
    }
    texts, digests = make_disclosures(salts, encoded)
    for place, (name, value) in enumerate(members.items()):
        salt = salts[place * LONG_SALT_SIZE :][:LONG_SALT_SIZE]
        assert texts[place] == make_disclosure(salt, name, value)
        assert digests[name] == disclosure_digest(texts[place])


def test_many_disclosures_need_a_salt_each_and_free_names() -> None:
    with pytest.raises(ValueError, match="salts"):
        make_disclosures(bytes(LONG_SALT_SIZE), {"a": b"1", "b": b"2"})
    with pytest.raises(ValueError, match="reserved"):
        make_disclosures(bytes(LONG_SALT_SIZE), {"...": b"1"})
