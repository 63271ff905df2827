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
    STEP_BYTES,
    WINDOW,
    cut_array,
    cut_lines,
    is_json_object,
)
from support.events import json_values

_BLANKS = st.text(" \t\r\n", max_size=3)


def _array(body: bytes) -> list[bytes]:
    return [element for step in cut_array(body) for element in step]


def _lines(body: bytes) -> list[bytes]:
    return [line for step in cut_lines(body) for line in step]


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
    assert _array(body + space) == texts


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
    assert _array(b'[{"b":"]"}, ' + element + b",[]]") == [
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
        _array(body)
    assert caught.value.status == 400


@given(st.binary(max_size=60))
def test_any_bytes_are_cut_or_refused(body: bytes) -> None:
    for attempt in (body, b"[" + body + b"]"):
        try:
            elements = _array(attempt)
        except EventError:
            continue
        assert b"".join(elements) in attempt or len(elements) != 1


def test_lines_come_out_without_blanks_around_them() -> None:
    assert _lines(b'\n{"a":1} \r\n\t\n \xff \n{"b":2}') == [
        b'{"a":1}',
        b"\xff",
        b'{"b":2}',
    ]


_LONG = [
    b'"' + b'\\"]' * WINDOW + b'"',
    b'[{"a":"]","b\\"":[]},' + b"[1]," * 200_000 + b"{}]",
    b'{"' + b"k" * WINDOW + b'":[[{}]]}',
]


@pytest.mark.parametrize("long", _LONG, ids=["string", "array", "object"])
def test_a_value_beyond_all_events_is_cut_by_its_brackets(long: bytes) -> None:
    values = [b"{}", long, b" 1".strip(), long, b'"x"']
    assert _array(b"[" + b" , ".join(values) + b"]") == values


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":[]' + b" " * WINDOW,
        b'["' + b"x" * WINDOW + b"]",
        b"[" + b"1" * 2 * WINDOW + b"]",
        b"[{]" + b" " * WINDOW + b"]",
        b"[{}," + b" " * WINDOW + b"]",
        b'[[] "x"' + b" " * WINDOW + b"]",
        b"[x" + b" " * WINDOW + b"]",
    ],
)
def test_a_long_body_that_is_not_one_array_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        _array(body)
    assert caught.value.status == 400


def test_values_are_found_wherever_a_window_ends() -> None:
    for shift in range(8):
        values = [b'"' + b"x" * (WINDOW - 8 + shift) + b'"', b"1234567", b'{"a":1}']
        assert _array(b"[" + b",".join(values) + b"]") == values


def test_a_value_made_of_nothing_but_brackets_is_given_up() -> None:
    with pytest.raises(EventError) as caught:
        _array(b"[[" + b"[]," * 600_000 + b"[]]]")
    assert caught.value.status == 413


def test_a_long_body_is_cut_in_steps() -> None:
    record = b'{"a":"' + b"x" * 10_000 + b'"}'
    for cut, body in (
        (cut_array, b"[" + b",".join([record] * 500) + b"]"),
        (cut_lines, b"\n".join([record] * 500)),
    ):
        steps = list(cut(body))
        assert sum(map(len, steps)) == 500
        assert max(sum(map(len, step)) for step in steps) < STEP_BYTES + len(record)
    nested = b"[[" + b"[]," * 200_000 + b"[]]]"
    assert len(list(cut_array(nested))) > 10


def test_a_batch_has_at_most_a_thousand_events() -> None:
    for cut, separator, frame in (
        (_array, b",", b"[%s]"),
        (_lines, b"\n", b"%s"),
    ):
        assert len(cut(frame % separator.join([b"1"] * MAX_BATCH_EVENTS))) == 1000
        with pytest.raises(EventError) as caught:
            cut(frame % separator.join([b"1"] * (MAX_BATCH_EVENTS + 1)))
        assert caught.value.status == 413


def test_a_batch_has_at_most_eight_mebibytes() -> None:
    fitting = b'["' + b"x" * (MAX_BATCH_BYTES - 4) + b'"]'
    assert len(_array(fitting)) == 1
    for cut in (_array, _lines):
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
        (b'{"a":"' + b"x" * WINDOW + b'"}', True),
        (b'{"a":"' + b"x" * WINDOW + b'"', False),
    ],
)
def test_an_object_is_recognised_leniently(data: bytes, expected: bool) -> None:
    assert is_json_object(data) is expected
