"""Okta System Log records: mapped where there is a counterpart, and never lost."""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import CONNECTORS, decode_records
from provlog.server.intake.connectors.building import other_type
from provlog.server.intake.connectors.okta import TYPES
from provlog.server.intake.event import (
    MAX_EVENT_BYTES,
    TYPE,
    Event,
    EventError,
    parse_event,
)
from provlog.server.intake.members import labels_of, split_members
from support.events import NOW, NOW_MS, json_values
from support.vectors import samples_root

_OKTA = CONNECTORS["okta"]
_SOURCE = "urn:okta:acme"
_USER = {"id": "00u9", "type": "User", "displayName": "Ann", "alternateId": "a@x.org"}
_GROUP = {"id": "00g1", "type": "UserGroup", "displayName": "Admins"}
_APP = {"id": "0oa1", "type": "AppInstance", "displayName": "Wiki"}
_APP_USER = {"id": "0ua1", "type": "AppUser", "displayName": "ann"}


def _record(*targets: dict[str, Any], **members: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "uuid": "b7f0",
        "published": "2026-11-21T17:53:55.516Z",
        "eventType": "group.user_membership.add",
        "actor": {"id": "00u1", "type": "User", "displayName": "Bob"},
        "outcome": {"result": "SUCCESS", "reason": None},
        "target": list(targets),
        **members,
    }


def _events(record: Any) -> list[Event]:  # noqa: ANN401
    return _OKTA.to_events(json.dumps(record).encode(), _SOURCE, NOW_MS)


def _event(record: Any) -> Event:  # noqa: ANN401
    (event,) = _events(record)
    return event


def _ids(events: list[Event], name: str) -> list[JsonValue]:
    parties = [event.data.get(name) for event in events]
    return [party.get("id") if isinstance(party, dict) else None for party in parties]


def test_a_record_becomes_an_event_in_provlog_s_words() -> None:
    record = _record(
        _GROUP,
        _USER,
        client={"ipAddress": "192.0.2.7", "userAgent": {"rawUserAgent": "curl"}},
        debugContext={"debugData": {"requestId": "r1"}},
        transaction={"type": "WEB", "id": "t1"},
        severity="INFO",
        displayMessage="Add user to group membership",
    )
    raw = json.dumps(record).encode()
    assert _events(record) == [
        Event(
            id="b7f0",
            source=_SOURCE,
            type="group.member.add",
            time="2026-11-21T17:53:55.516Z",
            time_sent="2026-11-21T17:53:55.516Z",
            data={
                "actor": {"id": "00u1", "type": "user", "name": "Bob"},
                "outcome": {"result": "success"},
                "context": {
                    "request_id": "r1",
                    "ip": "192.0.2.7",
                    "user_agent": "curl",
                    "transaction_id": "t1",
                    "transaction_type": "WEB",
                    "message": "Add user to group membership",
                    "severity": "INFO",
                },
                "target": {
                    "id": "00u9",
                    "type": "user",
                    "name": "Ann",
                    "alternate_id": "a@x.org",
                },
                "resource": {"id": "00g1", "type": "group", "name": "Admins"},
            },
            original={"media_type": "application/json", "body": raw.decode()},
            native_type="group.user_membership.add",
            connector=("okta", "1"),
            raw_digest=sha256(raw).digest(),
        )
    ]


@pytest.mark.parametrize(
    ("targets", "target", "resource"),
    [
        ([_APP_USER, _APP, _USER], "00u9", "0oa1"),
        ([_APP, _APP_USER], "0ua1", "0oa1"),
        ([_APP, _GROUP], "00g1", "0oa1"),
        ([_USER], "00u9", None),
        ([_GROUP], "00g1", None),
        ([_APP], None, "0oa1"),
        ([{"id": "tok", "type": "Token"}, _USER], "00u9", "tok"),
        ([_APP, {"id": "tok", "type": "Token"}], None, "0oa1"),
        ([{"id": "untyped"}], None, "untyped"),
        ([], None, None),
    ],
)
def test_target_and_resource_are_chosen_by_type_not_by_order(
    targets: list[dict[str, Any]], target: str | None, resource: str | None
) -> None:
    for order in (targets, targets[::-1]):
        events = _events(_record(*order))
        assert (_ids(events, "target"), _ids(events, "resource")) == (
            [target],
            [resource],
        )


def test_among_resources_of_unknown_types_the_first_type_is_taken() -> None:
    events = _events(_record({"id": "a", "type": "Rule"}, {"id": "b", "type": "Zone"}))
    assert _ids(events, "resource") == ["a"]


def test_several_targets_become_several_events() -> None:
    other = {**_USER, "id": "00u8"}
    events = _events(_record(_USER, other, _GROUP))
    assert [event.id for event in events] == ["b7f0#1", "b7f0#2"]
    assert _ids(events, "target") == ["00u9", "00u8"]
    assert _ids(events, "resource") == ["00g1", "00g1"]
    assert [event.original is None for event in events] == [False, True]
    members = [split_members(event, "urn:ns", {}) for event in events]
    digest = events[0].raw_digest
    assert digest is not None
    assert digest.hex() in str(members[1]["event"])


def test_each_resource_of_a_target_is_an_event_of_its_own() -> None:
    events = _events(_record(_USER, _GROUP, {**_GROUP, "id": "00g2"}))
    assert _ids(events, "target") == ["00u9", "00u9"]
    assert _ids(events, "resource") == ["00g1", "00g2"]


def test_a_record_makes_at_most_64_events_and_says_so() -> None:
    users = [{**_USER, "id": f"u{n}"} for n in range(65)]
    assert len(_events(_record(*users[:64]))) == 64
    events = _events(_record(*users))
    assert len(events) == 64
    assert events[0].flags == ("targets_cut",)


def test_a_type_without_counterpart_is_logged_under_other() -> None:
    event = _event(_record(eventType="user.authentication.auth_via_AD_agent"))
    assert event.type == "other.user.authentication.auth_via_ad_agent"
    assert event.native_type == "user.authentication.auth_via_AD_agent"


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (None, "other.unknown"),
        ("", "other.unknown"),
        ("logout", "other.logout"),
        ("A b/é", "other.a_b__"),
        ("..x.", "other._._.x._"),
        ("x" * 200, "other." + "x" * 122),
        ("x" * 121 + ".y", "other." + "x" * 121),
        ("." * 200, "other." + "_." * 60 + "_"),
    ],
)
def test_any_name_of_a_type_fits_under_other(native: str | None, expected: str) -> None:
    assert other_type(native) == expected


@given(st.none() | st.text(max_size=300))
def test_the_type_of_an_unknown_event_is_always_a_type(native: str | None) -> None:
    kind = other_type(native)
    assert TYPE.fullmatch(kind)
    assert len(kind) <= 128


@pytest.mark.parametrize(
    "uuid",
    [None, "", 7, 'a"b', "é", "x" * 233, ["a"]],
    ids=lambda value: repr(value)[:9],
)
def test_an_id_that_is_missing_or_does_not_fit_is_the_record_s_digest(
    uuid: JsonValue,
) -> None:
    raw = json.dumps(_record(uuid=uuid)).encode()
    (event,) = _OKTA.to_events(raw, _SOURCE, NOW_MS)
    assert event.id == f"sha256:{sha256(raw).hexdigest()}"


@pytest.mark.parametrize(
    ("published", "time", "flags"),
    [
        ("2022-03-22 14:21:53.225", "2022-03-22T14:21:53.225Z", ()),
        ("2020-11-25 21:27:03.496000000", "2020-11-25T21:27:03.496Z", ()),
        (None, NOW, ("time_missing",)),
        ("redacted", NOW, ("time_unreadable",)),
        (1669324023496, NOW, ("time_unreadable",)),
    ],
)
def test_times_of_exports_are_read_and_others_replaced_with_a_flag(
    published: JsonValue, time: str, flags: tuple[str, ...]
) -> None:
    event = _event(_record(published=published))
    assert (event.time, event.time_sent, event.flags) == (time, published, flags)


@pytest.mark.parametrize(
    ("outcome", "debug", "expected"),
    [
        ({"result": "FAILURE"}, {"errorMessage": "E1"}, ("failure", "E1", None)),
        (
            {"result": "FAILURE", "reason": "R"},
            {"errorMessage": "E"},
            ("failure", "R", None),
        ),
        ({"result": "DENY"}, {}, ("failure", None, "DENY")),
        ({"result": "ALLOW"}, {}, ("success", None, "ALLOW")),
        ({"result": "CHALLENGE"}, {}, ("pending", None, "CHALLENGE")),
        ({"result": "SKIPPED"}, {}, ("skipped", None, None)),
        ({"result": "RATE_LIMIT"}, {}, ("unknown", None, "RATE_LIMIT")),
    ],
)
def test_outcomes_are_one_of_five_and_keep_the_provider_s_word(
    outcome: JsonValue, debug: JsonValue, expected: tuple[str | None, ...]
) -> None:
    event = _event(_record(outcome=outcome, debugContext={"debugData": debug}))
    ours = event.data["outcome"]
    assert isinstance(ours, dict)
    names = ("result", "reason", "provider_result")
    assert tuple(ours.get(name) for name in names) == expected


def test_changes_come_from_the_change_details_of_a_target() -> None:
    details = {"from": {"b": 1, "a": "x"}, "to": {"b": 2}}
    event = _event(_record({**_USER, "changeDetails": details}))
    assert event.data["changes"] == [
        {"op": "replace", "path": "a", "old": "x", "value": None},
        {"op": "replace", "path": "b", "old": 1, "value": 2},
    ]


def test_guids_are_indexed_in_lower_case_and_other_ids_as_they_are() -> None:
    guid = "2A992F80-D1AD-4F62-900E-8C68BB72A21B"
    events = _events(_record({**_USER, "id": guid}, {**_GROUP, "id": "00GabC"}))
    assert _ids(events, "target") == [guid.lower()]
    assert _ids(events, "resource") == ["00GabC"]


@pytest.mark.parametrize("identifier", [None, "", 7, "x" * 513, "a\0"])
def test_a_target_whose_id_cannot_be_indexed_is_logged_without_it(
    identifier: JsonValue,
) -> None:
    event = _event(_record({**_USER, "id": identifier}))
    target = event.data["target"]
    assert isinstance(target, dict)
    assert "id" not in target
    assert target["name"] == "Ann"


def test_the_same_record_with_other_details_is_the_same_event() -> None:
    event = _event(_record(_USER, severity="INFO"))
    again = _event(_record({**_USER, "displayName": "Ann B."}, severity="WARN"))
    assert again.comparison() == event.comparison()


@pytest.mark.parametrize(
    "change",
    [
        {"actor": {"id": "00u2", "type": "User"}},
        {"target": [_GROUP]},
        {"eventType": "user.lifecycle.create"},
        {"published": None},
        {"outcome": {"result": "FAILURE"}},
    ],
)
def test_another_actor_target_type_time_or_outcome_is_another_event(
    change: dict[str, Any],
) -> None:
    event = _event(_record(_USER))
    assert _event(_record(_USER, **change)).comparison() != event.comparison()


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
    (event,) = _OKTA.to_events(record, _SOURCE, NOW_MS)
    assert (event.type, event.id) == (kind, f"sha256:{sha256(record).hexdigest()}")
    assert event.original == {"media_type": "application/json", "body": record.decode()}


def test_a_record_that_is_not_utf_8_stands_in_base64() -> None:
    record = b'{"uuid":"\xff"}'
    (event,) = _OKTA.to_events(record, _SOURCE, NOW_MS)
    assert event.original == {
        "media_type": "application/octet-stream",
        "body_base64": b64encode(record).decode(),
    }


def test_a_record_that_is_too_large_keeps_what_identifies_it() -> None:
    noise = "x" * MAX_EVENT_BYTES
    record = _record({**_USER, "displayName": noise}, published=noise, eventType=noise)
    event = _event(record)
    assert event.flags == ("time_unreadable", "record_too_large")
    assert (event.original, event.time_sent, event.native_type) == (None, None, None)
    assert event.data == {
        "actor": {"id": "00u1"},
        "target": {"id": "00u9"},
        "outcome": {"result": "success"},
    }
    assert event.raw_digest is not None
    assert event.raw_digest.hex() in str(split_members(event, "urn:ns", {})["event"])


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
    assert _OKTA.parse(body) == records


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"x", b"7", b'"x"', b"[{}", b"[{},", b"{broken\n{}", b"{\n{}\n"],
)
def test_a_body_in_no_known_form_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        _OKTA.parse(body)
    assert caught.value.status == 400


def test_a_body_that_makes_too_many_events_is_refused_whole() -> None:
    users = [{**_USER, "id": f"u{n}"} for n in range(64)]
    body = json.dumps([_record(*users)] * 16).encode()
    with pytest.raises(EventError) as caught:
        decode_records(_OKTA, body, _SOURCE, NOW_MS)
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
    json_values() | st.sampled_from([*_USER.values(), "UserGroup", "AppInstance"]),
)


@given(
    st.dictionaries(
        st.sampled_from([*_MEMBERS, "debugContext", "transaction"]),
        json_values() | _ENTITY | st.lists(_ENTITY, max_size=4),
    )
    | json_values()
)
def test_any_record_becomes_events_within_the_limits(record: JsonValue) -> None:
    events = _events(record)
    assert events
    for event in events:
        _assert_within_limits(event)


@given(st.binary(max_size=80))
def test_any_bytes_become_an_event_within_the_limits(record: bytes) -> None:
    for event in _OKTA.to_events(record, _SOURCE, NOW_MS):
        _assert_within_limits(event)


def test_every_mapped_type_is_a_type_of_its_own_vocabulary() -> None:
    for native, ours in TYPES.items():
        assert TYPE.fullmatch(ours)
        assert _event(_record(eventType=native)).type == ours


@pytest.mark.needs("samples")
def test_every_published_sample_becomes_an_event() -> None:
    body = (samples_root() / "okta" / "system-log.ndjson").read_bytes()
    records = [line for line in body.split(b"\n") if line]
    array = b"[" + b",\n".join(records) + b"]"
    assert _OKTA.parse(body) == _OKTA.parse(array) == records
    events = decode_records(_OKTA, body, _SOURCE, NOW_MS).events
    assert len(events) == len(records) == 33
    for event, record in zip(events, records, strict=True):
        assert isinstance(event, Event)
        assert event.original == {
            "media_type": "application/json",
            "body": record.decode(),
        }
        _assert_within_limits(event)
    kinds = {event.type for event in events if isinstance(event, Event)}
    assert {"role.assign", "credential.revoke", "account.lock", "other.logout"} <= kinds
