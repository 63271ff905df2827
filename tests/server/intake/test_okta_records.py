"""Okta System Log bodies: every record is cut out and logged, whatever it holds."""

import json
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import decode_records
from provlog.server.intake.event import (
    MAX_EVENT_BYTES,
    Event,
    EventError,
    parse_event,
)
from provlog.server.intake.members import labels_of, split_members
from provlog.server.intake.records import WINDOW
from support.events import NOW_MS, json_values, read_all
from support.okta import (
    OKTA,
    SOURCE,
    USER,
    okta_event,
    okta_events,
    okta_record,
)
from support.vectors import samples_root


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (b"7", "other.unknown"),
        (b"[]", "other.unknown"),
        (b"{}", "other.unknown"),
        (b'{"eventType":1}', "other.unknown"),
        (b'{"uuid":"a","uuid":"b"}', "other.unparsed"),
        (b'{"uuid":"\\ud800"}', "other.unparsed"),
        (b'{"uuid":"a', "other.unparsed"),
    ],
)
def test_a_record_nobody_understands_is_logged_with_its_bytes(
    record: bytes, kind: str
) -> None:
    (event,) = OKTA.to_events(record, SOURCE, NOW_MS)
    assert (event.type, event.id) == (kind, f"sha256:{sha256(record).hexdigest()}")
    assert event.original == {"media_type": "application/json", "body": record.decode()}


def test_a_record_that_is_not_utf_8_stands_in_base64() -> None:
    record = b'{"uuid":"\xff"}'
    (event,) = OKTA.to_events(record, SOURCE, NOW_MS)
    assert event.original == {
        "media_type": "application/octet-stream",
        "body_base64": b64encode(record).decode(),
    }


def test_a_record_that_is_too_large_keeps_what_identifies_it() -> None:
    noise = "x" * (MAX_EVENT_BYTES // 3)
    record = okta_record(
        {**USER, "displayName": noise}, published=noise, eventType=noise
    )
    event = okta_event(record)
    assert event.flags == ("time_unreadable", "record_too_large")
    assert (event.original, event.time_sent, event.native_type) == (None, None, None)
    assert event.data == {
        "actor": {"id": "00u1"},
        "target": {"id": "00u9"},
        "outcome": {"result": "success"},
    }
    assert event.raw_digest is not None
    assert event.raw_digest.hex() in str(split_members(event, "urn:ns", {})["event"])


def test_a_record_beyond_all_reading_is_known_by_its_digest() -> None:
    record = json.dumps(okta_record({**USER, "displayName": "x" * WINDOW})).encode()
    (event,) = OKTA.to_events(record, SOURCE, NOW_MS)
    assert (event.type, event.data) == ("other.unparsed", {})
    assert event.id == f"sha256:{sha256(record).hexdigest()}"
    assert event.flags == ("time_missing", "record_too_large")


def _records(body: bytes) -> list[bytes]:
    return [record for step in OKTA.parse(body) for record in step]


_LINE = b'{"uuid": "1",\t"eventType":"x"}'


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (_LINE, [_LINE]),
        (b"\n" + _LINE + b" \r\n", [_LINE]),
        (b'{\n "uuid": "1"\n}', [b'{\n "uuid": "1"\n}']),
        (_LINE + b"\r\n\r\n{broken\n" + _LINE, [_LINE, b"{broken", _LINE]),
        (b'{"a":1,"a":2}\n7', [b'{"a":1,"a":2}', b"7"]),
        (b'{"a":"\xff"}\n{}', [b'{"a":"\xff"}', b"{}"]),
        (b" [ " + _LINE + b" , 7\n]\n", [_LINE, b"7"]),
        (b"[]", []),
    ],
)
def test_records_are_cut_out_byte_for_byte(body: bytes, records: list[bytes]) -> None:
    assert _records(body) == records


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"x", b"7", b'"x"', b"[{}", b"[{},", b"{broken\n{}", b"{\n{}\n"],
)
def test_a_body_in_no_known_form_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        _records(body)
    assert caught.value.status == 400


def test_a_body_that_makes_too_many_events_is_refused_whole() -> None:
    users = [{**USER, "id": f"u{n}"} for n in range(64)]
    body = json.dumps([okta_record(*users)] * 16).encode()
    with pytest.raises(EventError) as caught:
        read_all(decode_records(OKTA, body, SOURCE, NOW_MS))
    assert caught.value.status == 413


def _assert_within_limits(event: Event) -> None:
    data = dict(event.data)
    if event.original is not None:
        data["original"] = event.original
    sent: dict[str, JsonValue] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "data": data,
    }
    again = parse_event(sent, now_ms=NOW_MS)
    assert (again.time, again.data) == (event.time, event.data)
    assert event.comparison()
    labels_of(event, "urn:ns")


_MEMBERS = ["uuid", "published", "eventType", "actor", "target", "outcome", "client"]
_ENTITY = st.dictionaries(
    st.sampled_from(["id", "type", "displayName", "detailEntry", "changeDetails"]),
    json_values() | st.sampled_from([*USER.values(), "UserGroup", "AppInstance"]),
)


@given(
    st.dictionaries(
        st.sampled_from([*_MEMBERS, "debugContext", "transaction"]),
        json_values() | _ENTITY | st.lists(_ENTITY, max_size=4),
    )
    | json_values()
)
def test_any_record_becomes_events_within_the_limits(record: JsonValue) -> None:
    events = okta_events(record)
    assert events
    for event in events:
        _assert_within_limits(event)


@given(st.binary(max_size=80))
def test_any_bytes_become_an_event_within_the_limits(record: bytes) -> None:
    for event in OKTA.to_events(record, SOURCE, NOW_MS):
        _assert_within_limits(event)


@pytest.mark.needs("samples")
def test_every_published_sample_becomes_an_event() -> None:
    body = (samples_root() / "okta" / "system-log.ndjson").read_bytes()
    records = [line for line in body.split(b"\n") if line]
    array = b"[" + b",\n".join(records) + b"]"
    assert _records(body) == _records(array) == records
    events = read_all(decode_records(OKTA, body, SOURCE, NOW_MS))
    assert len(events) == len(records) == 33
    for event, record in zip(events, records, strict=True):
        assert isinstance(event, Event)
        assert event.original == {
            "media_type": "application/json",
            "body": record.decode(),
        } or (b"stateToken=" in record and "redacted" in str(event.original))
        _assert_within_limits(event)
    kinds = {event.type for event in events if isinstance(event, Event)}
    assert {"role.assign", "credential.revoke", "account.lock", "other.logout"} <= kinds
