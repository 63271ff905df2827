"""What is the same for all connectors of JSON: envelopes, types of each event, seq."""

import json

import pytest

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector
from provlog.server.intake.event import Event
from provlog.server.intake.problems import EventError
from support.events import NOW_MS


def facts_of(record: JsonValue) -> Facts:
    """Return facts in which a record says them in so many words."""
    assert isinstance(record, dict)
    kinds: JsonValue = record.get("types")
    types = [(each, None) for each in kinds] if isinstance(kinds, list) else []
    data: list[dict[str, JsonValue]] = [{} for _ in types]
    return Facts(types=types, data=data or [{}], seq=record.get("seq"))


MADE = MappedConnector("made", "1", facts_of, None, (("records",), ("a", "b")))


def cut(body: bytes) -> list[bytes]:
    return [record for step in MADE.parse(body) for record in step]


def events(**record: JsonValue) -> list[Event]:
    return MADE.to_events(json.dumps(record).encode(), "urn:made", NOW_MS)


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b'[{"a":1}, 2]', [b'{"a":1}', b"2"]),
        (b'{"a":1}\n{"b" : 2}\nnonsense', [b'{"a":1}', b'{"b" : 2}', b"nonsense"]),
        (b' {"a":1} ', [b'{"a":1}']),
        (b'{"records":[{"a":1}, {"b":2}],"x":1}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":{"b":[{"c" :1}]}}', [b'{"c" :1}']),
        (b'{"records":[]}', []),
        (b'{\n"records":[\n1]\n}', [b"1"]),
        # No envelope: one record.
        (b'{"records":1}', [b'{"records":1}']),
        (b'{"records":[1],"records":[2]}', [b'{"records":[1],"records":[2]}']),
    ],
)
def test_records_are_cut_as_they_stand(body: bytes, records: list[bytes]) -> None:
    assert cut(body) == records
    assert [each for step in JsonHook(MADE.envelopes).cut(body) for each in step] == (
        records
    )


@pytest.mark.parametrize("body", [b"", b"nonsense", b"1", b"[1", b'"text"'])
def test_what_is_in_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as refused:
        cut(body)
    assert refused.value.status == 400


def test_an_envelope_of_too_many_records_is_refused() -> None:
    body = b'{"records":[' + b",".join([b"1"] * 1001) + b"]}"
    with pytest.raises(EventError) as refused:
        cut(body)
    assert refused.value.status == 413
    assert len([each for step in JsonHook((("records",),)).cut(body) for each in step])


def test_each_event_of_a_record_has_its_own_type() -> None:
    first, second = events(types=["One.A", "Two"])
    assert [first.type, second.type] == ["other.one.a", "other.two"]
    assert [first.native_type, second.native_type] == ["One.A", "Two"]
    assert first.comparison() != second.comparison()


@pytest.mark.parametrize(
    ("seq", "number", "flags"),
    [
        (7, 7, ()),
        ("7", 7, ()),
        (2**53 - 1, 2**53 - 1, ()),
        (None, None, ()),
        ("07", None, ("seq_unreadable",)),
        (-1, None, ("seq_unreadable",)),
        (2**53, None, ("seq_unreadable",)),
        (True, None, ("seq_unreadable",)),
        (1.5, None, ("seq_unreadable",)),
        ("9" * 5000, None, ("seq_unreadable",)),
        (10**30, None, ("seq_unreadable",)),
        (["7"], None, ("seq_unreadable",)),
    ],
)
def test_a_source_s_own_number_is_taken_where_it_is_one(
    seq: JsonValue, number: int | None, flags: tuple[str, ...]
) -> None:
    [event] = events(seq=seq)
    assert event.seq == number
    assert set(flags) <= set(event.flags)


def test_the_first_event_of_a_record_carries_its_number() -> None:
    assert [event.seq for event in events(types=["a", "b"], seq=3)] == [3, None]
