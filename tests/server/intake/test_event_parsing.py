"""Events: what is taken, what is refused and which member is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.data_members import MAX_CHANGES
from provlog.server.intake.event import (
    MAX_EXTENSIONS,
    Event,
    EventError,
    parse_event,
)
from support.events import NOW, NOW_MS, event_json, event_of, json_values


def _refusal(event: JsonValue) -> EventError:
    with pytest.raises(EventError) as caught:
        parse_event(event, now_ms=NOW_MS)
    assert caught.value.status == 422
    return caught.value


def test_an_event_keeps_what_was_sent() -> None:
    sent = event_json(
        sequence="17", subject="alice", datacontenttype="application/json"
    )
    event = parse_event(sent, now_ms=NOW_MS)
    data = dict(sent["data"])
    assert event == Event(
        id="9f2c",
        source="urn:okta:acme",
        type="role.assign",
        time="2026-11-21T17:53:55.516Z",
        time_sent="2026-11-21T17:53:55.516Z",
        seq=17,
        original=data.pop("original"),
        data=data,
        extensions={"subject": "alice", "datacontenttype": "application/json"},
    )


def test_lists_that_multiply_work_are_bounded() -> None:
    changes: JsonValue = [{"op": "add"}] * MAX_CHANGES
    assert event_of({"changes": changes}).data["changes"] == changes
    more: JsonValue = [{"op": "add"}] * (MAX_CHANGES + 1)
    assert _refusal(event_json({"changes": more})).member == "/data/changes"
    attributes = {f"x{n}": "1" for n in range(MAX_EXTENSIONS)}
    assert event_of(**attributes).extensions == attributes
    assert "attributes" in _refusal(event_json(**attributes, y="1")).detail


def test_the_smallest_event_has_four_attributes() -> None:
    event = parse_event(
        {"specversion": "1.0", "id": "1", "source": "s", "type": "account.create"},
        now_ms=NOW_MS,
    )
    assert (event.data, event.original, event.extensions) == ({}, None, {})


def test_an_event_without_time_gets_the_time_of_receipt_and_a_flag() -> None:
    event = event_of(time=None)
    assert (event.time, event.time_sent, event.flags) == (NOW, None, ("time_missing",))


def test_a_time_with_an_offset_is_kept_as_sent_beside_its_utc_form() -> None:
    event = event_of(time="2026-11-21T18:53:55.5161+01:00")
    assert event.time == "2026-11-21T17:53:55.516Z"
    assert event.time_sent == "2026-11-21T18:53:55.5161+01:00"
    assert event.flags == ()


def test_null_means_absent_for_attributes_and_members() -> None:
    event = event_of(subject=None, sequence=None, data={"actor": None, "context": {}})
    assert (event.extensions, event.seq, event.data) == ({}, None, {"context": {}})


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("specversion", None),
        ("specversion", "0.3"),
        ("specversion", 1.0),
        ("id", None),
        ("id", ""),
        ("id", 7),
        ("id", "x" * 257),
        ("id", 'a"b'),
        ("id", "a\\b"),
        ("id", "é"),
        ("id", "a\nb"),
        ("source", None),
        ("source", "urn:ö"),
        ("source", "x" * 257),
        ("type", None),
        ("type", "create"),
        ("type", "Account.create"),
        ("type", "account..create"),
        ("type", ".account"),
        ("type", "account.create\n"),
        ("type", "a." + "b" * 127),
        ("type", "provlog.erasure"),
        ("time", 1795283635516),
        ("time", "yesterday"),
        ("time", "2026-11-21T17:53:55"),
        ("sequence", "01"),
        ("sequence", "-1"),
        ("sequence", -1),
        ("sequence", True),
        ("sequence", 1.5),
        ("sequence", str(2**53)),
        ("data", "text"),
        ("data", []),
        ("data_base64", "e30="),
        ("datacontenttype", "text/plain"),
        ("datacontenttype", "application/jsonp"),
        ("subject", {"a": 1}),
        ("subject", [1]),
        ("subject", 1.5),
        ("priority", 2**31),
        ("Subject", "x"),
        ("trace_id", "x"),
    ],
)
def test_a_wrong_attribute_is_named(attribute: str, value: object) -> None:
    assert _refusal(event_json(**{attribute: value})).member == f"/{attribute}"


@pytest.mark.parametrize(
    ("data", "member"),
    [
        ({"actorr": {}}, "/data/actorr"),
        ({"actor": "bob"}, "/data/actor"),
        ({"actor": {"id": ""}}, "/data/actor/id"),
        ({"actor": {"id": 7}}, "/data/actor/id"),
        ({"actor": {"id": "a\0b"}}, "/data/actor/id"),
        ({"actor": {"id": "\ud800"}}, "/data/actor/id"),
        ({"actor": {"id": "x" * 513}}, "/data/actor/id"),
        ({"target": {"id": "é" * 257}}, "/data/target/id"),
        ({"target": {"ns": ""}}, "/data/target/ns"),
        ({"target": {"ns": "ö"}}, "/data/target/ns"),
        ({"target": {"type": 1}}, "/data/target/type"),
        ({"target": {"name": ["x"]}}, "/data/target/name"),
        ({"target": {"external_id": 1001}}, "/data/target/external_id"),
        ({"resource": []}, "/data/resource"),
        ({"resource": {"id": 12}}, "/data/resource/id"),
        ({"resource": {"ns": 1}}, "/data/resource/ns"),
        ({"changes": {}}, "/data/changes"),
        ({"changes": [{}, "x"]}, "/data/changes/1"),
        ({"changes": [{"op": 1}]}, "/data/changes/0/op"),
        ({"changes": [{"path": []}]}, "/data/changes/0/path"),
        ({"outcome": "success"}, "/data/outcome"),
        ({"outcome": {}}, "/data/outcome/result"),
        ({"outcome": {"result": "SUCCESS"}}, "/data/outcome/result"),
        ({"outcome": {"result": ["success"]}}, "/data/outcome/result"),
        ({"outcome": {"result": "success", "reason": 1}}, "/data/outcome/reason"),
        ({"context": 1}, "/data/context"),
        ({"context": {"ticket": 1}}, "/data/context/ticket"),
        ({"original": "x"}, "/data/original"),
        ({"original": {"body": "x"}}, "/data/original/media_type"),
        ({"original": {"media_type": "a/b"}}, "/data/original"),
        (
            {"original": {"media_type": "a/b", "body": "", "body_base64": ""}},
            "/data/original",
        ),
        ({"original": {"media_type": "a/b", "body": {}}}, "/data/original/body"),
        (
            {"original": {"media_type": "a/b", "body_base64": "e30"}},
            "/data/original/body_base64",
        ),
        (
            {"original": {"media_type": "a/b", "body_base64": "é"}},
            "/data/original/body_base64",
        ),
        ({"original": {"media_type": "a/b", "charset": ""}}, "/data/original/charset"),
    ],
)
def test_a_wrong_member_of_data_is_named(data: Any, member: str) -> None:  # noqa: ANN401
    assert _refusal(event_json(data)).member == member


@pytest.mark.parametrize(
    "event",
    [None, [], "x", 1, event_json({"alice@example.com": 1}), event_json(é="x")],
)
def test_a_refusal_repeats_nothing_that_does_not_look_like_a_name(event: Any) -> None:  # noqa: ANN401
    error = _refusal(event)
    assert "alice" not in str(error)
    assert "é" not in str(error)


@pytest.mark.parametrize("identifier", ["x" * 512, "é" * 256, "e\u0301" * 256])
def test_the_limit_of_an_id_counts_bytes_after_normalisation(identifier: str) -> None:
    assert event_of({"actor": {"id": identifier}}).data == {"actor": {"id": identifier}}


@pytest.mark.parametrize(
    "data",
    [
        {"actor": {"id": "1", "department": {"code": 7}}},
        {"resource": {"scope": "/a", "expires": None, "level": 3}},
        {"changes": [{"op": "add", "path": "x", "value": [1], "resource": {}}]},
        {"outcome": {"result": "skipped", "reason": None, "code": 17}},
        {"context": {"ticket": None, "tags": ["a"]}},
    ],
)
def test_further_details_inside_a_member_are_kept(data: dict[str, Any]) -> None:
    assert event_of(data).data == data


def test_a_sequence_number_may_be_an_integer_or_a_decimal() -> None:
    assert event_of(sequence=0).seq == 0
    assert event_of(sequence=str(2**53 - 1)).seq == 2**53 - 1


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/scim+json"],
)
def test_data_may_be_called_any_kind_of_json(media_type: str) -> None:
    event = event_of(datacontenttype=media_type)
    assert event.extensions == {"datacontenttype": media_type}


def test_the_same_event_compares_equal_whatever_else_came_with_it() -> None:
    event = event_of()
    again = event_of(
        data={**event.data, "original": None, "target": event.data["target"]},
        id="another",
        sequence=4,
        subject="x",
    )
    assert again.comparison() == event.comparison()


@pytest.mark.parametrize(
    "other",
    [
        {"type": "role.revoke"},
        {"time": "2026-11-21T17:53:55.5160Z"},
        {"time": None},
        {"data": {}},
    ],
)
def test_another_type_time_or_data_is_another_event(other: dict[str, Any]) -> None:
    assert event_of(**other).comparison() != event_of().comparison()


def test_comparison_does_not_depend_on_the_order_of_members() -> None:
    data = event_json()["data"]
    reversed_data = dict(reversed(data.items()))
    assert event_of(reversed_data).comparison() == event_of(data).comparison()


@given(json_values())
def test_any_json_is_an_event_or_refused_with_an_event_error(value: JsonValue) -> None:
    with pytest.raises(EventError):
        parse_event(value, now_ms=NOW_MS)


_NAMES = ["actor", "target", "resource", "changes", "outcome", "context", "original"]
_INNER = ["id", "ns", "type", "name", "result", "media_type", "body", "body_base64"]


@given(
    st.dictionaries(
        st.sampled_from(_NAMES),
        json_values() | st.dictionaries(st.sampled_from(_INNER), json_values()),
    ),
    st.dictionaries(
        st.sampled_from(["id", "type", "time", "sequence", "subject", "x"]),
        json_values(),
        max_size=2,
    ),
)
def test_any_members_are_taken_or_refused_with_a_pointer(
    data: dict[str, JsonValue], attributes: dict[str, JsonValue]
) -> None:
    result = _parsed_or_refused(event_json(data, **attributes))
    if isinstance(result, EventError):
        assert (result.status, result.member is None) == (422, False)
    else:
        assert result.comparison()


def _parsed_or_refused(event: JsonValue) -> Event | EventError:
    try:
        return parse_event(event, now_ms=NOW_MS)
    except EventError as error:
        return error
