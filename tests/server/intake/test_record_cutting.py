"""Cutting records out of a body: byte for byte, and nothing is read twice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    cut_array,
    cut_lines,
    is_json_object,
)
from support.events import json_values

_BLANKS = st.text(" \t\r\n", max_size=3)


@given(st.lists(json_values(), max_size=6), _BLANKS, st.booleans())
def test_the_elements_of_an_array_come_out_as_they_stand(
    values: list[JsonValue], blanks: str, escaped: bool
) -> None:
    texts = [
        json.dumps(value, ensure_ascii=escaped, indent=len(blanks) or None).encode(
            "utf-8", "surrogatepass"
        )
        for value in values
    ]
    space = blanks.encode()
    body = space + b"[" + space + (space + b"," + space).join(texts) + space + b"]"
    assert cut_array(body + space) == texts


@pytest.mark.parametrize(
    "element",
    [
        b'{"a":1,"a":2}',
        b'"\\ud800"',
        b'"\xff\xfe"',
        b'"tab\there"',
        b"1e999",
        b"9" * 5000,
    ],
)
def test_an_element_that_only_a_lenient_reader_takes_costs_no_other(
    element: bytes,
) -> None:
    assert cut_array(b'[{"b":"]"}, ' + element + b",[]]") == [
        b'{"b":"]"}',
        element,
        b"[]",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1] 2",
        b"[] x",
        b"[tru]",
        b"\xef\xbb\xbf[1]",
        b"[" * 100_000,
        b"[" + b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_one_array_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        cut_array(body)
    assert caught.value.status == 400


@given(st.binary(max_size=60))
def test_any_bytes_are_cut_or_refused(body: bytes) -> None:
    for attempt in (body, b"[" + body + b"]"):
        try:
            elements = cut_array(attempt)
        except EventError:
            continue
        assert b"".join(elements) in attempt or len(elements) != 1


def test_lines_come_out_without_blanks_around_them() -> None:
    assert cut_lines(b'\n{"a":1} \r\n\t\n \xff \n{"b":2}') == [
        b'{"a":1}',
        b"\xff",
        b'{"b":2}',
    ]


def test_a_batch_has_at_most_a_thousand_events() -> None:
    for cut, separator, frame in (
        (cut_array, b",", b"[%s]"),
        (cut_lines, b"\n", b"%s"),
    ):
        assert len(cut(frame % separator.join([b"1"] * MAX_BATCH_EVENTS))) == 1000
        with pytest.raises(EventError) as caught:
            cut(frame % separator.join([b"1"] * (MAX_BATCH_EVENTS + 1)))
        assert caught.value.status == 413


def test_a_batch_has_at_most_eight_mebibytes() -> None:
    fitting = b'["' + b"x" * (MAX_BATCH_BYTES - 4) + b'"]'
    assert len(cut_array(fitting)) == 1
    for cut in (cut_array, cut_lines):
        with pytest.raises(EventError) as caught:
            cut(fitting + b" ")
        assert caught.value.status == 413


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1,"a":2}', True),
        (b'{"a":"\xff"}', True),
        (b"{}", True),
        (b"{} {}", False),
        (b"{", False),
        (b"[]", False),
        (b"", False),
        (b'{"a":' * 100_000, False),
    ],
)
def test_an_object_is_recognised_leniently(data: bytes, expected: bool) -> None:
    assert is_json_object(data) is expected
