"""Base64, decimals, times and JSON: one spelling each, everything else refused."""

import contextlib
import math
from datetime import datetime

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle import encoding
from provlog.merkle.encoding import (
    InexactNumberError,
    JsonValue,
    canonical_json,
    decode_base64,
    decode_base64url,
    decode_hash,
    encode_base64,
    encode_base64url,
    format_time,
    is_canonical_text,
    loads_json,
    parse_decimal,
    parse_time,
    require_members,
)
from provlog.merkle.errors import MalformedError

CANONICAL = st.recursive(
    st.integers(0, 2**53 - 1)
    | st.text(
        st.characters(exclude_characters='"\\', min_codepoint=32, max_codepoint=126)
    ),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), inner)
    ),
)


@given(st.binary())
def test_base64_comes_back(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data
    assert decode_base64url(encode_base64url(data)) == data


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", "Q Q=", "Q_==", "====", "é"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_base64(text)


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q+", "QQ\n", "é"])
def test_other_spellings_of_base64url_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_base64url(text)


@given(st.text(max_size=60))
def test_any_text_is_base64_or_malformed(text: str) -> None:
    for decode, encode in (
        (decode_base64, encode_base64),
        (decode_base64url, encode_base64url),
    ):
        with contextlib.suppress(MalformedError):
            assert encode(decode(text)) == text


def test_a_hash_has_32_bytes() -> None:
    assert decode_hash(encode_base64(bytes(32))) == bytes(32)
    for size in (30, 31, 33, 34):
        with pytest.raises(MalformedError):
            decode_hash(encode_base64(bytes(size)))


@pytest.mark.parametrize("text", ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "١"])
def test_decimals_that_are_not_canonical_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_decimal(text)


def test_decimals_have_a_maximum() -> None:
    assert parse_decimal("7", maximum=7) == 7
    with pytest.raises(MalformedError):
        parse_decimal("8", maximum=7)
    with pytest.raises(MalformedError):
        parse_decimal("9" * 19)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_times_come_back(milliseconds: int) -> None:
    text = format_time(milliseconds)
    if milliseconds >= -30_610_224_000_000:  # four digits of the year
        assert parse_time(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T17:53:55.516",
        "2026-11-21 17:53:55.516Z",
        "2026-11-21T17:53:55.5160Z",
        "2026-11-21t17:53:55.516z",
        "2026-11-31T17:53:55.516Z",
        "2026-11-21T24:00:00.000Z",
        "2026-11-21T17:53:60.000Z",
        "0000-01-01T00:00:00.000Z",
        "２026-11-21T17:53:55.516Z",
    ],
)
def test_times_in_another_form_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_time(text)


class NewerDatetime(datetime):
    """Reads 24:00 as Python 3.14 does."""

    @classmethod
    def fromisoformat(cls, text: str, /) -> "NewerDatetime":
        return super().fromisoformat(text.replace("T24:", "T00:"))


def test_a_time_has_one_spelling_on_every_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "datetime", NewerDatetime)
    assert parse_time("2026-11-21T23:59:59.999Z") == 1_795_305_599_999
    with pytest.raises(MalformedError):
        parse_time("2026-11-21T24:00:00.000Z")


@given(CANONICAL)
def test_canonical_json_is_rfc_8785(value: JsonValue) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [None, True, 1.5, -1, 2**53, 'a"b', "a\\b", "é", "\n", {"é": 1}]
)
def test_what_has_more_than_one_spelling_has_no_canonical_form(
    value: JsonValue,
) -> None:
    with pytest.raises(ValueError, match=r"canonical|integer"):
        canonical_json([value])


def test_canonical_text_is_printable_ascii_without_quotes() -> None:
    allowed = {chr(code) for code in range(256) if is_canonical_text(chr(code))}
    assert allowed == {chr(code) for code in range(32, 127)} - {'"', "\\"}
    assert not is_canonical_text("a\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}',
        b'[{"b":{"a":1,"a":2}}]',
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"[1,]",
        b"\xef\xbb\xbf{}",
        b"\xff",
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"[" * 65 + b"]" * 65,
        b"1 2",
        b"9" * 5000,
        "\ud800",
    ],
)
def test_json_beyond_the_strict_grammar_is_refused(data: bytes | str) -> None:
    with pytest.raises(MalformedError):
        loads_json(data)


def test_json_within_the_bounds_is_read() -> None:
    assert loads_json(b'{"a":[1,-2.5,"\\ud83d\\ude00",null,true]}') == {
        "a": [1, -2.5, "😀", None, True]
    }
    assert loads_json(b"[" * 64 + b"]" * 64)
    assert loads_json(b'"' + b"[" * 100 + b'"') == "[" * 100
    assert loads_json(b"[" + b"[]," * 200 + b"[]]")
    assert math.isclose(float(str(loads_json(b"0.1"))), 0.1)


@pytest.mark.parametrize(
    "text",
    ["0.1", "1e15", "1E5", "-1.50", "1.0", "5e-324", "-0.0", "0e9", "9" * 4300],
)
def test_numbers_that_keep_their_value_are_exact(text: str) -> None:
    assert loads_json(text, exact=True) == loads_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "0.30000000000000000000012345",
        "9007199254740993.0",
        "1e-400",
        "1e-99999999999999999999",
        "0." + "0" * 400 + "1",
        "0.1" + "0" * 400,
    ],
)
def test_numbers_that_a_double_changes_are_not_exact(text: str) -> None:
    assert isinstance(loads_json(text), float)
    with pytest.raises(InexactNumberError, match="string"):
        loads_json(f'{{"a":[{text}]}}', exact=True)


def test_an_endless_integer_is_refused_in_our_words() -> None:
    with pytest.raises(MalformedError, match="an integer of too many digits"):
        loads_json("9" * 4301)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_exact_in_its_shortest_form(value: float) -> None:
    assert loads_json(repr(value), exact=True) == value


@given(st.binary(max_size=100))
def test_any_bytes_are_json_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        loads_json(data)


def test_members_are_all_there_and_no_others() -> None:
    assert require_members({"a": 1, "b": 2}, ("a",), ("b",)) == {"a": 1, "b": 2}
    others: list[JsonValue] = [[], {"b": 2}, {"a": 1, "c": 3}]
    for value in others:
        with pytest.raises(MalformedError):
            require_members(value, ("a",), ("b",))
