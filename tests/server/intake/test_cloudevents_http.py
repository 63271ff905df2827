"""Events over HTTP: the content types, binary mode, batches and their limits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.server.intake.cloudevents import (
    BATCH,
    NDJSON,
    STRUCTURED,
    Submission,
    decode_submission,
)
from provlog.server.intake.event import MAX_EVENT_BYTES, Event, EventError
from provlog.server.intake.records import STEP_BYTES, STEP_RECORDS
from support.events import NOW_MS, event_json, event_of, read_all

_BINARY = {
    "Ce-Specversion": "1.0",
    "Ce-Id": "9f2c",
    "CE-Source": "urn:okta:acme",
    "ce-type": "role.assign",
    "ce-time": "2026-11-21T17:53:55.516Z",
    "User-Agent": "x",
}


def _decode(
    content_type: str | None,
    body: object,
    headers: dict[str, str] | None = None,
) -> Event | list[Event | EventError]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    decoded = decode_submission(content_type, headers or {}, data, NOW_MS)
    return read_all(decoded) if isinstance(decoded, Submission) else decoded


def _refusal(
    content_type: str | None,
    body: object,
    headers: dict[str, str] | None = None,
) -> EventError:
    with pytest.raises(EventError) as caught:
        _decode(content_type, body, headers)
    return caught.value


def _statuses(events: Event | list[Event | EventError]) -> list[int]:
    assert isinstance(events, list)
    return [e.status if isinstance(e, EventError) else 0 for e in events]


@pytest.mark.parametrize(
    "content_type",
    [
        STRUCTURED,
        "Application/CloudEvents+JSON; charset=UTF-8",
        "application/json",
        'application/json; charset="utf-8"',
    ],
)
def test_one_event_comes_in_structured_mode(content_type: str) -> None:
    assert _decode(content_type, event_json()) == event_of()


def test_one_event_comes_in_binary_mode() -> None:
    event = _decode("application/json", event_json()["data"], _BINARY)
    assert event == event_of(datacontenttype="application/json")


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
def test_binary_mode_needs_neither_data_nor_a_content_type(body: bytes) -> None:
    assert _decode(None, body, _BINARY) == event_of(None)


@pytest.mark.parametrize(
    ("sent", "decoded"),
    [
        ("Zo%C3%AB%20100%25", "Zoë 100%"),
        ("plain", "plain"),
        ("zoë", "zoë"),
        ('"quoted \\"name\\" %41"', 'quoted "name" A'),
        ("100%", "100%"),
        ("%2520", "%20"),
    ],
)
def test_header_values_are_decoded_once(sent: str, decoded: str) -> None:
    event = _decode(None, b"", {**_BINARY, "ce-subject": sent})
    assert isinstance(event, Event)
    assert event.extensions == {"subject": decoded}


@pytest.mark.parametrize(
    ("headers", "member"),
    [
        ({"ce-subject": "%ff"}, "/subject"),
        ({"ce-subject": "\udcff"}, "/subject"),
        ({"ce-data": "{}"}, "/data"),
        ({"ce-datacontenttype": "application/json"}, "/datacontenttype"),
        ({"ce-trace-id": "1"}, "/trace-id"),
        ({"CE-ID": "twice"}, "/id"),
        ({"ce-sequence": "007"}, "/sequence"),
    ],
)
def test_a_wrong_header_is_named(headers: dict[str, str], member: str) -> None:
    error = _refusal("application/json", b"{}", {**_BINARY, **headers})
    assert (error.status, error.member) == (422, member)


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        (None, {}),
        ("", {}),
        ("text/plain", {}),
        ("application/cloudevents+avro", _BINARY),
        ("application/json; charset=latin-1", {}),
        ("text/plain", _BINARY),
        ("application/xml", _BINARY),
    ],
)
def test_another_content_type_is_refused(
    content_type: str | None, headers: dict[str, str]
) -> None:
    assert _refusal(content_type, b"{}", headers).status == 415


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"id":1,"id":2}', b"\xff", b'{"a":"\\ud800"}', b"[]", b"[{}]"],
)
def test_a_body_that_is_not_one_strict_json_object_is_refused(body: bytes) -> None:
    assert _refusal(STRUCTURED, body).status == 400


def test_a_batch_keeps_the_order_and_the_places_of_bad_events() -> None:
    good, bad = json.dumps(event_json()).encode(), b'{"specversion":"1.0"}'
    twice = good[:-1] + b',"id":"2"}'
    for content_type, body in (
        (BATCH, b"[" + b",".join((good, bad, twice, b"7", good)) + b"]"),
        (NDJSON, b"\n".join((good, bad, twice, b"7", b"", good)) + b"\n"),
    ):
        events = _decode(content_type, body)
        assert isinstance(events, list)
        assert _statuses(events) == [0, 422, 400, 422, 0]
        assert events[0] == events[4] == event_of()


def test_an_unreadable_line_costs_only_itself() -> None:
    good = json.dumps(event_json()).encode()
    assert _statuses(_decode(NDJSON, good + b'\n{"id":\n' + good)) == [0, 400, 0]


def test_an_unreadable_batch_is_refused_whole() -> None:
    assert _refusal(BATCH, b"[{},").status == 400
    assert _refusal(BATCH, b"{}").status == 400


def test_an_empty_batch_holds_no_events() -> None:
    assert _decode(BATCH, b"[]") == []
    assert _decode(NDJSON, b"\n") == []


def test_a_batch_with_more_than_a_thousand_events_is_refused_whole() -> None:
    assert _refusal(BATCH, [1] * 1001).status == 413
    assert _refusal(NDJSON, b"{}\n" * 1001).status == 413


def _event_of_size(size: int) -> bytes:
    empty = len(json.dumps(event_json({"context": {"x": ""}})))
    return json.dumps(event_json({"context": {"x": "x" * (size - empty)}})).encode()


def test_an_event_has_at_most_256_kib() -> None:
    fitting, larger = (
        _event_of_size(MAX_EVENT_BYTES),
        _event_of_size(MAX_EVENT_BYTES + 1),
    )
    assert isinstance(_decode(STRUCTURED, fitting), Event)
    assert _refusal(STRUCTURED, larger).status == 413
    body = b"[" + fitting + b"," + larger + b"," + fitting + b"]"
    assert _statuses(_decode(BATCH, body)) == [0, 413, 0]
    assert (
        _refusal("application/json", b" " * (MAX_EVENT_BYTES + 1), _BINARY).status
        == 413
    )


@given(
    st.none() | st.sampled_from([STRUCTURED, BATCH, NDJSON]) | st.text(max_size=20),
    st.dictionaries(st.sampled_from([*_BINARY, "ce-x"]), st.text(max_size=12)),
    st.binary(max_size=40) | st.just(json.dumps(event_json()).encode()),
)
def test_any_request_is_decoded_or_refused_with_an_event_error(
    content_type: str | None, headers: dict[str, str], body: bytes
) -> None:
    try:
        decoded = _decode(content_type, body, headers)
    except EventError:
        return
    events = decoded if isinstance(decoded, list) else [decoded]
    assert all(isinstance(e, Event | EventError) for e in events)


def test_reading_a_batch_goes_in_steps_of_bounded_size() -> None:
    small = json.dumps(event_json()).encode()
    body = b"[" + b",".join([small] * 500 + [_event_of_size(50_000)] * 100) + b"]"
    submission = decode_submission(BATCH, {}, body, NOW_MS)
    assert isinstance(submission, Submission)
    cut = list(submission.cut)
    records = [record for step in cut for record in step]
    assert max(sum(map(len, step)) for step in cut) < STEP_BYTES + 50_000
    sizes = [len(step) for step in submission.decode(records)]
    assert sum(sizes) == 600
    assert max(sizes) == STEP_RECORDS
    assert max(sizes[-45:]) == 2


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ("0.30000000000000000000012345", "/data/changes/1/value/a"),
        ("1e-400", "/data/changes/1/value/a"),
    ],
)
def test_a_number_that_would_be_changed_is_refused_and_named(
    changes: str, member: str
) -> None:
    data = {"changes": [{"value": 0.5}, {"value": {"a": "NUMBER"}}]}
    sent = json.dumps(event_json(data)).replace('"NUMBER"', changes).encode()
    binary = json.dumps(data).replace('"NUMBER"', changes).encode()
    for error in (
        _refusal(STRUCTURED, sent),
        _refusal("application/json", binary, _BINARY),
    ):
        assert (error.status, error.member) == (422, member)
        assert "string" in error.detail
    assert _statuses(_decode(NDJSON, sent + b"\n{}")) == [422, 422]
    assert _refusal(STRUCTURED, sent + b"}").status == 400


def test_numbers_that_keep_their_value_are_taken() -> None:
    sent = b'{"changes":[{"value":[1e15,0.1,1.50,-0.0,%b]}]}' % (b"9" * 4000)
    event = _decode("application/json", sent, _BINARY)
    assert isinstance(event, Event)
    assert event.data["changes"] == [{"value": [1e15, 0.1, 1.5, -0.0, int("9" * 4000)]}]
