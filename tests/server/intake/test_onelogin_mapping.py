"""OneLogin's events in provlog's words."""

import json
from hashlib import sha256

import pytest

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import decode_records
from provlog.server.intake.connectors.onelogin import TYPES
from provlog.server.intake.connectors.onelogin_types import CODES
from provlog.server.intake.event import TYPE, Event
from support.events import NOW, NOW_MS, read_all
from support.onelogin import (
    ONELOGIN,
    SOURCE,
    TIME,
    api_record,
    onelogin_event,
    onelogin_events,
    webhook_record,
)
from support.vectors import samples_root


def test_a_record_becomes_an_event_in_provlog_s_words() -> None:
    record = api_record(147, role_id=7, role_name="Admins", notes="by hand")
    raw = json.dumps(record).encode()
    assert onelogin_events(record) == [
        Event(
            id="45016591484",
            source=SOURCE,
            type="role.assign",
            time=TIME,
            time_sent=TIME,
            data={
                "actor": {"type": "user", "id": "226011705", "name": "Bob"},
                "target": {"type": "user", "id": "232044969", "name": "Ann"},
                "resource": {"type": "role", "id": "7", "name": "Admins"},
                "outcome": {"result": "success"},
                "context": {
                    "ip": "192.0.2.7",
                    "account_id": "232548",
                    "message": "by hand",
                },
            },
            original={"media_type": "application/json", "body": raw.decode()},
            native_type="147",
            connector=("onelogin", "1"),
            raw_digest=sha256(raw).digest(),
        )
    ]


@pytest.mark.parametrize("number", [13, "13"])
def test_a_number_may_be_written_as_text(number: JsonValue) -> None:
    event = onelogin_event(api_record(number))
    assert (event.type, event.native_type) == ("account.create", "13")
    assert event.comparison() == onelogin_event(api_record(13)).comparison()


def test_a_webhook_has_an_id_and_a_time_of_its_own() -> None:
    event = onelogin_event(webhook_record())
    assert event.id == "d210df80-ede8-42ba-8199-00ce951bc222"
    assert (event.time, event.flags) == ("2026-11-21T17:53:55.000Z", ())


def test_a_record_without_id_and_time_is_known_by_its_digest() -> None:
    raw = b'{"event_type_id": 72, "privilege_name": "Manage users"}'
    (event,) = ONELOGIN.to_events(raw, SOURCE, NOW_MS)
    assert event.id == f"sha256:{sha256(raw).hexdigest()}"
    assert (event.type, event.time, event.flags) == (
        "entitlement.grant",
        NOW,
        ("time_missing",),
    )
    assert event.data == {
        "resource": {"type": "privilege", "name": "Manage users"},
        "outcome": {"result": "success"},
    }


@pytest.mark.parametrize(
    ("record", "target", "resource"),
    [
        (
            api_record(1, role_id=7, app_id=8, app_name="Wiki", user_id=None,
                       user_name=None),
            {"type": "role", "id": "7"}, {"type": "app", "id": "8", "name": "Wiki"},
        ),
        (
            api_record(1801, role_id=7, role_name="new"),
            {"type": "role", "id": "7", "name": "new"}, None,
        ),
        (
            api_record(3020, group_id=9, group_name="staff", user_id=None),
            {"type": "group", "id": "9", "name": "staff"}, None,
        ),
        (api_record(156, policy_id=5), None, {"type": "policy", "id": "5"}),
        (
            api_record(179, api_credential_name="sync"),
            None, {"type": "api_credential", "name": "sync"},
        ),
        (
            api_record(24, otp_device_id=4, otp_device_name="phone"),
            {"type": "user", "id": "232044969", "name": "Ann"},
            {"type": "otp_device", "id": "4", "name": "phone"},
        ),
        (
            api_record(13, user_id="232044969"),
            {"type": "user", "id": "232044969", "name": "Ann"}, None,
        ),
    ],
)  # fmt: skip
def test_the_target_is_whom_or_what_the_type_is_about(
    record: JsonValue, target: JsonValue, resource: JsonValue
) -> None:
    data = onelogin_event(record).data
    assert (data.get("target"), data.get("resource")) == (target, resource)


@pytest.mark.parametrize("identifier", [None, -1, 10**20, True, [7], {}, 1.5])
def test_what_is_no_id_is_left_out(identifier: JsonValue) -> None:
    data = onelogin_event(api_record(user_id=identifier)).data
    assert data["target"] == {"type": "user", "name": "Ann"}


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (api_record(13), {"result": "success"}),
        (api_record(116), {"result": "failure"}),
        (
            api_record(534, error_description="too long"),
            {"result": "failure", "reason": "too long"},
        ),
        (
            api_record(51, error_description="no licence"),
            {"result": "failure", "reason": "no licence"},
        ),
        (api_record(6), {"result": "failure"}),
        (api_record(51), None),
        (api_record(99_999), None),
    ],
)
def test_an_outcome_is_told_only_where_the_type_or_an_error_tells_it(
    record: JsonValue, outcome: JsonValue
) -> None:
    assert onelogin_event(record).data.get("outcome") == outcome


def test_a_system_may_have_acted() -> None:
    record = api_record(14, actor_user_id=None, actor_user_name=None)
    assert "actor" not in onelogin_event(record).data
    record["actor_system"] = "Mapping"
    assert onelogin_event(record).data["actor"] == {"type": "system", "name": "Mapping"}


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (99_999, "other.99999"),
        (None, "other.unknown"),
        ("thirteen", "other.thirteen"),
        (True, "other.unknown"),
        (1.5, "other.unknown"),
        ("9" * 21, "other." + "9" * 21),
        ("٣", "other._"),
        (-13, "other.unknown"),
    ],
)
def test_a_number_without_a_line_in_the_table_stays_what_it_is(
    number: JsonValue, kind: str
) -> None:
    assert onelogin_event(api_record(number)).type == kind


def test_every_number_of_the_table_becomes_its_type() -> None:
    assert TYPES.keys() == set(map(str, CODES))
    for number, code in CODES.items():
        event = onelogin_event(api_record(number))
        assert event.type == code.type == TYPES[str(number)]
        assert TYPE.fullmatch(code.type)
        own = code.type == f"other.{code.name}"
        assert own == code.type.startswith("other.")


def test_a_page_of_the_api_is_its_records() -> None:
    records = [json.dumps(api_record(number)).encode() for number in (13, 17)]
    page = b'{"status": {"code": 200}, "data": [' + b",".join(records) + b"]}"
    events = read_all(decode_records(ONELOGIN, page, SOURCE, NOW_MS))
    kinds = [event.type for event in events if isinstance(event, Event)]
    assert kinds == ["account.create", "account.delete"]


@pytest.mark.needs("samples")
def test_every_published_sample_becomes_an_event() -> None:
    body = (samples_root() / "onelogin" / "events.ndjson").read_bytes()
    records = [line for line in body.split(b"\n") if line]
    events = read_all(decode_records(ONELOGIN, body, SOURCE, NOW_MS))
    assert len(events) == len(records) == 15
    for event, record in zip(events, records, strict=True):
        assert isinstance(event, Event)
        assert event.original == {
            "media_type": "application/json",
            "body": record.decode(),
        }
        assert event.id == f"sha256:{sha256(record).hexdigest()}"
        assert event.flags == ("time_missing",)
    kinds = {event.type for event in events if isinstance(event, Event)}
    assert {"account.create", "account.lock", "credential.update"} <= kinds
    assert "entitlement.grant" in kinds
