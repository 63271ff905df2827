"""Signed notes: opening is verifying, and one note has one reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import MalformedError, MerkleError, SignatureError
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    SignatureLine,
    add_signatures,
    format_signature,
    open_note,
    parse_note_unverified,
    parse_signatures_unverified,
    sign_note,
)
from support.cosigners import LOG_KEY, Cosigner, twins

TEXT = "first\n\nthird\n"
OTHER = SigningKey.from_seed("other.example", bytes(31) + b"\1")
LOG = LOG_KEY.verifier()
NOTE = sign_note(TEXT, [LOG_KEY])
WITNESS = Cosigner.ed25519("witness.example", 3)
CHECKPOINT = f"example.com/log\n0\n{'47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='}\n"

texts = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"]) | st.just("\n"),
    max_size=100,
).map(lambda text: text + "\n")


def filler(count: int) -> list[SignatureLine]:
    return [SignatureLine(f"n{i}", bytes(4), b"x") for i in range(count)]


@given(texts)
def test_whatever_is_signed_opens_as_the_same_text(text: str) -> None:
    opened = open_note(sign_note(text, [LOG_KEY, OTHER]), [LOG])
    assert opened.text == text
    assert [each.key for each in opened.signatures] == [LOG]
    assert [each.name for each in opened.others] == [OTHER.name]


def test_a_text_that_looks_like_a_note_is_still_only_text() -> None:
    text = NOTE.decode()
    assert open_note(sign_note(text, [OTHER]), [OTHER.verifier()]).text == text
    with pytest.raises(SignatureError):
        open_note(sign_note(text, [OTHER]), [LOG])


def test_signing_is_deterministic_and_writes_the_lines_in_order() -> None:
    note = sign_note(TEXT, [OTHER, LOG_KEY])
    assert note == sign_note(TEXT, [OTHER, LOG_KEY])
    assert [line.name for line in parse_note_unverified(note).signatures] == [
        "other.example",
        "example.com/log",
    ]


@pytest.mark.parametrize("text", ["", "no end", "tab\t\n", "a\r\n", "\0\n", "\ud800\n"])
def test_texts_no_note_can_hold_are_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match=r"control|surrogates"):
        sign_note(text, [LOG_KEY])


@pytest.mark.parametrize("keys", [[], [LOG_KEY, LOG_KEY]])
def test_a_note_is_not_signed_by_nobody_and_by_nobody_twice(
    keys: list[SigningKey],
) -> None:
    with pytest.raises(ValueError, match="no key"):
        sign_note(TEXT, keys)


def test_a_note_too_long_to_be_opened_is_not_signed() -> None:
    with pytest.raises(ValueError, match="too long"):
        sign_note("x" * MAX_NOTE_SIZE + "\n", [LOG_KEY])


def test_a_note_by_strangers_is_refused() -> None:
    for keys in ([], [OTHER.verifier()]):
        with pytest.raises(SignatureError, match="no signature by a trusted key"):
            open_note(NOTE, keys)


def test_one_false_line_by_a_trusted_key_spoils_a_note_with_a_true_one() -> None:
    false = SignatureLine(OTHER.name, OTHER.key_id, bytes(64))
    note = add_signatures(NOTE, [false])
    assert open_note(note, [LOG]).others == (false,)
    with pytest.raises(SignatureError, match="false"):
        open_note(note, [LOG, OTHER.verifier()])


def test_a_line_that_shares_only_name_or_only_id_with_a_key_is_a_strangers() -> None:
    lines = [
        SignatureLine(LOG.name, b"\1\2\3\4", b"x"),
        SignatureLine("x", LOG.key_id, b"x"),
    ]
    assert open_note(add_signatures(NOTE, lines), [LOG]).others == tuple(lines)


def test_two_lines_of_the_same_name_and_id_are_refused_even_by_strangers() -> None:
    line = format_signature("x", b"\1\2\3\4", b"x")
    other = format_signature("x", b"\1\2\3\4", b"y")
    with pytest.raises(MalformedError, match="same key name and ID"):
        open_note(NOTE + f"{line}\n{other}\n".encode(), [LOG])


def test_two_trusted_keys_that_no_line_could_tell_apart_are_an_error() -> None:
    first, second = twins(KeyType.ED25519)
    assert (first.key_id, first.name) == (second.key_id, second.name)
    with pytest.raises(ValueError, match="same name and key ID"):
        open_note(NOTE, [LOG, first, second])
    assert open_note(NOTE, [LOG, LOG]).text == TEXT


def test_a_cosigners_line_returns_its_time() -> None:
    note = WITNESS.cosign(sign_note(CHECKPOINT, [LOG_KEY]), 1234)
    log, witness = open_note(note, [LOG, WITNESS.key]).signatures
    assert (log.timestamp, witness.timestamp) == (None, 1234)
    assert (len(log.value), len(witness.value)) == (64, 72)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT.encode(),
        NOTE[:-1],
        NOTE + b"\n",
        NOTE + b"junk\n",
        NOTE.replace(b"first", b"fir\x00st"),
        NOTE.replace(b"first", b"fir\tst"),
        NOTE.replace(b"first", b"fir\xffst"),
        NOTE.replace(b"first", b"first\r"),
        NOTE.replace("\N{EM DASH}".encode(), b"-"),
        NOTE.replace("\N{EM DASH} ".encode(), "\N{EM DASH}  ".encode()),
        NOTE.replace(b"example.com/log ", b""),
        NOTE.replace(b"example.com/log ", b"example.com/log  "),
        NOTE.replace(b"example.com/log ", b"example.com/log\xc2\xa0"),
        NOTE.replace(b"example.com/log", b"example.com+log"),
        NOTE[:-1] + b" \n",
        NOTE.replace(b"=\n", b"\n"),
        "x\n\n\N{EM DASH} x \n".encode(),
        f"x\n\n\N{EM DASH} x {encode_base64(bytes(4))}\n".encode(),
    ],
)
def test_what_is_not_exactly_a_note_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        open_note(data, [LOG])


def test_a_second_spelling_of_the_same_signature_is_malformed() -> None:
    # 68 bytes end in one padding character and two bits that must be zero.
    assert NOTE.endswith(b"=\n")
    place = len(NOTE) - 3
    loose = NOTE[:place] + bytes((NOTE[place] + 1,)) + b"=\n"
    with pytest.raises(MalformedError, match="canonical"):
        open_note(loose, [LOG])


def test_a_hundred_signatures_are_read_and_one_more_is_refused() -> None:
    full = add_signatures(NOTE, filler(MAX_SIGNATURES - 1))
    assert len(open_note(full, [LOG]).others) == MAX_SIGNATURES - 1
    one_more = full + format_signature("last", bytes(4), b"x").encode() + b"\n"
    with pytest.raises(MalformedError, match="more than 100"):
        open_note(one_more, [LOG])


def test_a_note_of_more_than_a_mebibyte_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="longer"):
        open_note(b"\xff" * (MAX_NOTE_SIZE + 1), [LOG])


def test_added_lines_leave_the_note_before_them_as_it_was() -> None:
    lines = filler(2)
    longer = add_signatures(NOTE, lines)
    assert longer.startswith(NOTE)
    assert parse_note_unverified(longer).signatures[1:] == tuple(lines)
    assert add_signatures(NOTE, []) == NOTE


def test_a_line_that_is_there_already_is_not_added_again() -> None:
    with pytest.raises(MalformedError):
        add_signatures(add_signatures(NOTE, filler(1)), filler(1))
    with pytest.raises(MalformedError):
        add_signatures(b"no note", filler(1))


def test_the_lines_a_witness_answers_with_are_read_alone() -> None:
    line = format_signature("w", b"\1\2\3\4", b"value")
    expected = SignatureLine("w", b"\1\2\3\4", b"value")
    assert parse_signatures_unverified(line + "\n") == (expected,)
    for block in ("", "\n", line, f"{line}\n\n", f"\n{line}\n", f"{line}\nx\n"):
        with pytest.raises(MalformedError):
            parse_signatures_unverified(block)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_as_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        open_note(data, [LOG])


@given(st.data())
def test_a_changed_note_is_refused_or_was_not_changed_where_it_matters(
    data: st.DataObject,
) -> None:
    place = data.draw(st.integers(0, len(NOTE)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.binary(max_size=3))
    changed = NOTE[:place] + put + NOTE[place + cut :]
    try:
        opened = open_note(changed, [LOG])
    except MerkleError:
        return
    assert opened.text == TEXT
    assert changed == NOTE


def test_a_log_key_does_not_pass_for_a_cosigner_with_the_same_public_key() -> None:
    cosigner = VerifierKey(LOG.name, KeyType.COSIGNATURE_ED25519, LOG.public_key)
    with pytest.raises(SignatureError, match="no signature by a trusted key"):
        open_note(NOTE, [cosigner])
