"""Checkpoint texts: three lines and opaque ones, in one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.checkpoints import MAX_SIZE, Checkpoint, parse_checkpoint_text
from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import MalformedError

ROOT = bytes(range(32))
ROOT_LINE = encode_base64(ROOT)
TEXT = f"example.com/log\n7\n{ROOT_LINE}\n"

lines = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"]),
    min_size=1,
    max_size=40,
)
checkpoints = st.builds(
    Checkpoint,
    lines,
    st.integers(0, MAX_SIZE),
    st.binary(min_size=32, max_size=32),
    st.lists(lines, max_size=3).map(tuple),
)


@given(checkpoints)
def test_every_checkpoint_reads_back(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint_text(checkpoint.text()) == checkpoint


def test_the_text_is_origin_size_root_and_extensions() -> None:
    checkpoint = Checkpoint("example.com/log", 7, ROOT, ("a", "b c"))
    assert checkpoint.text() == TEXT + "a\nb c\n"


def test_the_first_three_lines_are_enough() -> None:
    assert parse_checkpoint_text(TEXT) == Checkpoint("example.com/log", 7, ROOT)


def test_the_largest_size_is_read() -> None:
    largest = Checkpoint("example.com/log", MAX_SIZE, ROOT)
    assert parse_checkpoint_text(largest.text()) == largest


def test_origins_need_not_look_like_urls() -> None:
    text = TEXT.replace("example.com/log", "go.sum database tree +1")
    assert parse_checkpoint_text(text).origin == "go.sum database tree +1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "example.com/log\n7\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "no end",
        TEXT + "a\n\nb\n",
        TEXT + "a\tb\n",
        TEXT.replace("example.com/log", ""),
        TEXT.replace("example.com", "example\x00com"),
        TEXT.replace("example.com", "example\ud800com"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("7", "07"),
        TEXT.replace("7", "+7"),
        TEXT.replace("7", "-7"),
        TEXT.replace("7", " 7"),
        TEXT.replace("7", "7 "),
        TEXT.replace("7", ""),
        TEXT.replace("7", "\N{ARABIC-INDIC DIGIT SEVEN}"),
        TEXT.replace("7", "0x7"),
        TEXT.replace("7", str(MAX_SIZE + 1)),
        TEXT.replace("7", "9" * 100_000),
        TEXT.replace(ROOT_LINE, ""),
        TEXT.replace(ROOT_LINE, ROOT_LINE[:-1]),
        TEXT.replace(ROOT_LINE, encode_base64(ROOT[1:])),
        TEXT.replace(ROOT_LINE, encode_base64(ROOT + b"x")),
        TEXT.replace(ROOT_LINE, ROOT_LINE + " "),
        TEXT.replace(ROOT_LINE, ROOT_LINE[:-2] + chr(ord(ROOT_LINE[-2]) + 1) + "="),
    ],
)
def test_any_other_text_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint_text(text)


@given(st.text(max_size=200))
def test_random_text_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint_text(text)


@given(checkpoints, st.data())
def test_a_changed_text_is_malformed_or_another_checkpoint(
    checkpoint: Checkpoint, data: st.DataObject
) -> None:
    text = checkpoint.text()
    place = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    changed = text[:place] + data.draw(st.text(max_size=2)) + text[place + cut :]
    try:
        parsed = parse_checkpoint_text(changed)
    except MalformedError:
        return
    assert parsed.text() == changed


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 7, ROOT, ()),
        ("a\nb", 7, ROOT, ()),
        ("a", -1, ROOT, ()),
        ("a", MAX_SIZE + 1, ROOT, ()),
        ("a", 7, ROOT[1:], ()),
        ("a", 7, ROOT, ("",)),
        ("a", 7, ROOT, ("x\ny",)),
    ],
)
def test_a_checkpoint_without_a_text_is_not_made(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        Checkpoint(origin, size, root, extensions)
