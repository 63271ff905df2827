"""Google Workspace activities in provlog's words."""

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.google import TYPES
from provlog.server.intake.connectors.google_types import COUNTERPARTS, OF_ACTOR
from provlog.server.intake.event import TYPE, Event
from support.google import (
    ACTOR,
    SOURCE,
    TIME,
    activity,
    flattened,
    google_event,
    google_events,
    google_only,
)

ANN = "ann@acme.example"
TEAM = "team@acme.example"


def member(event: Event, name: str) -> dict[str, JsonValue]:
    """Return a member of an event, an empty object where it has none."""
    value = event.data.get(name, {})
    assert isinstance(value, dict)
    return value


def only(name: str, application: str = "admin", **values: object) -> Event:
    """Return the event of an activity with a single one."""
    return google_only(activity(google_event(name, **values), application=application))


def test_an_activity_becomes_an_event_in_provlog_s_words() -> None:
    record = activity(
        google_event("CREATE_USER", USER_EMAIL="Ann@Acme.example"),
        ownerDomain="acme.example",
    )
    raw = json.dumps(record).encode()
    [event] = google_events(record)
    assert msgspec.structs.replace(event, compared=None) == (
        Event(
            id=f"admin/{TIME}/-7312",
            source=SOURCE,
            type="account.create",
            time=TIME,
            time_sent=TIME,
            data={
                "actor": {
                    "id": "bob@acme.example",
                    "type": "user",
                    "name": "Bob@acme.example",
                    "profile_id": "1180",
                },
                "context": {
                    "ip": "192.0.2.7",
                    "application": "admin",
                    "customer_id": "C03x",
                    "owner_domain": "acme.example",
                },
                "target": {
                    "id": "ann@acme.example",
                    "type": "user",
                    "name": "Ann@Acme.example",
                },
            },
            original={"media_type": "application/json", "body": raw.decode()},
            native_type="admin.CREATE_USER",
            connector=("google", "1"),
            raw_digest=sha256(raw).digest(),
        )
    )


def test_records_of_one_id_that_say_different_things_are_told_apart() -> None:
    # As an export leaves them that flattens an activity of two events.
    one, other = (
        google_events(activity(google_event("MADE_UP", THING=thing)))[0]
        for thing in ("a", "b")
    )
    assert one.id == other.id
    assert one.comparison() != other.comparison()


def test_forms_of_one_event_are_the_same() -> None:
    nested = activity(google_event("MADE_UP", THING="a", ON=True, MANY=["x", "y"]))
    flat = {key: value for key, value in nested.items() if key != "events"}
    flat["name"] = "MADE_UP"
    flat["parameters"] = {"ON": "true", "MANY": ["x", "y"], "THING": "a", "NO": None}
    one, other = google_events(nested)[0], google_events(flat)[0]
    assert one.comparison() == other.comparison()


def test_each_event_of_an_activity_is_one_of_its_own_type() -> None:
    created = google_event("CREATE_USER", USER_EMAIL=ANN)
    moved = google_event("MOVE_USER_TO_ORG_UNIT", USER_EMAIL=ANN, NEW_VALUE="/Sales")
    seen = google_event("VIEW_TEMP_PASSWORD", USER_EMAIL=ANN)
    events = google_events(activity(created, moved, seen))
    assert [event.id for event in events] == [
        f"admin/{TIME}/-7312#{number}" for number in (1, 2, 3)
    ]
    assert [event.type for event in events] == [
        "account.create",
        "account.update",
        "other.admin.view_temp_password",
    ]
    assert [event.native_type for event in events] == [
        "admin.CREATE_USER",
        "admin.MOVE_USER_TO_ORG_UNIT",
        "admin.VIEW_TEMP_PASSWORD",
    ]
    assert [event.original is None for event in events] == [False, True, True]
    assert {member(event, "target")["id"] for event in events} == {ANN}
    # Of what the first holds, the others repeat what tells who it was.
    assert [member(event, "actor")["id"] for event in events] == [
        "bob@acme.example"
    ] * 3
    assert "context" not in events[1].data


def test_events_of_one_activity_that_differ_in_type_alone_are_not_the_same() -> None:
    first, second = google_events(
        activity(
            google_event("SUSPEND_USER", USER_EMAIL=ANN),
            google_event("UNSUSPEND_USER", USER_EMAIL=ANN),
        )
    )
    assert first.comparison() != second.comparison()


@pytest.mark.parametrize(
    "event",
    [
        google_event("CREATE_USER", USER_EMAIL=ANN),
        google_event("ASSIGN_ROLE", USER_EMAIL=ANN, ROLE_NAME="R", ROLE_ID=7),
        google_event("CHANGE_FIRST_NAME", USER_EMAIL=ANN, OLD_VALUE="A", NEW_VALUE="B"),
        google_event("authorize", client_id="c", app_name="Mail", scope=["a", "b"]),
    ],
    ids=lambda event: event["name"],
)
def test_nested_and_flattened_are_the_same_record(event: dict[str, Any]) -> None:
    record = activity(event)
    nested, flat = google_only(record), google_only(flattened(record))
    assert flat.id == nested.id
    assert flat.comparison() == nested.comparison()
    assert (flat.type, flat.data, flat.time) == (nested.type, nested.data, nested.time)
    assert flat.original != nested.original


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-21T17:53:55.516Z", TIME),
        ("2026-11-21T18:53:55.516123+01:00", TIME),
        ("2026-11-21 17:53:55.516000000", TIME),
    ],
)
def test_an_activity_has_one_id_however_its_time_is_spelled(
    time: str, expected: str
) -> None:
    record = activity(google_event("CREATE_USER", USER_EMAIL=ANN))
    record["id"] |= {"time": time, "uniqueQualifier": -7312}
    event = google_only(record)
    assert (event.id, event.time) == (f"admin/{expected}/-7312", expected)
    assert event.time_sent == expected


@pytest.mark.parametrize(
    ("name", "application", "values", "target", "resource"),
    [
        ("CREATE_GROUP", "admin", {"GROUP_EMAIL": TEAM}, ("group", TEAM), None),
        (
            "ADD_GROUP_MEMBER",
            "admin",
            {"GROUP_EMAIL": TEAM, "USER_EMAIL": ANN},
            ("user", ANN),
            ("group", TEAM),
        ),
        (
            "ASSIGN_ROLE",
            "admin",
            {"USER_EMAIL": ANN, "ROLE_NAME": "Help", "ROLE_ID": "88"},
            ("user", ANN),
            ("role", "88"),
        ),
        (
            "USER_LICENSE_ASSIGNMENT",
            "admin",
            {"USER_EMAIL": ANN, "PRODUCT_NAME": "Workspace", "NEW_VALUE": "1010020020"},
            ("user", ANN),
            ("license", "1010020020"),
        ),
        (
            "ORG_ALL_USERS_LICENSE_ASSIGNMENT",
            "admin",
            {"ORG_UNIT_NAME": "/Sales", "PRODUCT_NAME": "W", "NEW_VALUE": "10"},
            ("org_unit", "/Sales"),
            ("license", "10"),
        ),
        (
            "AUTHORIZE_API_CLIENT_ACCESS",
            "admin",
            {"API_CLIENT_NAME": "1123", "API_SCOPES": ["a"]},
            None,
            ("app", "1123"),
        ),
        (
            "MOVE_USER_TO_ORG_UNIT",
            "admin",
            {"USER_EMAIL": ANN, "ORG_UNIT_NAME": "/", "NEW_VALUE": "/Sales"},
            ("user", ANN),
            ("org_unit", "/"),
        ),
        (
            "add_member",
            "groups_enterprise",
            {"group_id": TEAM, "member_id": ANN, "member_type": "USER"},
            ("user", ANN),
            ("group", TEAM),
        ),
        (
            "add_member",
            "groups_enterprise",
            {"group_id": TEAM, "member_id": ANN},
            ("member", ANN),
            ("group", TEAM),
        ),
        (
            "join",
            "groups_enterprise",
            {"group_id": TEAM},
            ("user", "bob@acme.example"),
            ("group", TEAM),
        ),
        (
            "add_user",
            "groups",
            {"group_email": TEAM, "user_email": ANN},
            ("user", ANN),
            ("group", TEAM),
        ),
        ("2sv_disable", "user_accounts", {}, ("user", "bob@acme.example"), None),
        (
            "account_disabled_hijacked",
            "login",
            {"affected_email_address": ANN},
            ("user", ANN),
            None,
        ),
        (
            "authorize",
            "token",
            {"client_id": "9.apps.example", "app_name": "Mail"},
            ("user", "bob@acme.example"),
            ("app", "9.apps.example"),
        ),
        ("TOGGLE_SSO_ENABLED", "admin", {"DOMAIN_NAME": "x"}, None, None),
    ],
)
def test_who_and_what_an_event_concerns(
    name: str,
    application: str,
    values: dict[str, Any],
    target: tuple[str, str] | None,
    resource: tuple[str, str] | None,
) -> None:
    event = only(name, application, **values)
    assert not event.type.startswith("other.")
    found = [member(event, each) for each in ("target", "resource")]
    parties = [(each["type"], each["id"]) if each else None for each in found]
    assert parties == [target, resource]


def test_the_role_of_a_group_s_member_stands_with_the_group() -> None:
    values = {"group_id": TEAM, "member_id": ANN, "member_type": "USER"}
    event = only("add_member_role", "groups_enterprise", **values, member_role="OWNER")
    assert event.type == "role.assign"
    assert member(event, "resource")["role"] == "OWNER"


@pytest.mark.parametrize(
    ("values", "change"),
    [
        (
            {"OLD_VALUE": "a", "NEW_VALUE": "b", "SETTING_NAME": "S"},
            {"path": "S", "old": "a", "value": "b"},
        ),
        (
            {"NEW_VALUE": "b"},
            {"path": "admin.CHANGE_GROUP_SETTING", "old": None, "value": "b"},
        ),
        (
            {"old_value_repeated": ["a"], "new_value_repeated": ["b", "c"]},
            {
                "path": "admin.CHANGE_GROUP_SETTING",
                "old": ["a"],
                "value": ["b", "c"],
            },
        ),
        (
            {"info_setting": "name", "value": "Team"},
            {"path": "name", "old": None, "value": "Team"},
        ),
    ],
)
def test_changes_come_from_old_and_new_values(
    values: dict[str, Any], change: dict[str, JsonValue]
) -> None:
    event = only("CHANGE_GROUP_SETTING", GROUP_EMAIL=TEAM, **values)
    assert event.data["changes"] == [{"op": "replace", **change}]


def test_without_values_there_are_no_changes() -> None:
    assert "changes" not in only("CHANGE_PASSWORD", USER_EMAIL=ANN).data


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"eventStatus": "SUCCEEDED"}, {"result": "success"}),
        (
            {"eventStatus": "SUCCEEDED_WITH_WARNINGS"},
            {"result": "success", "provider_result": "SUCCEEDED_WITH_WARNINGS"},
        ),
        (
            {
                "eventStatus": "FAILED",
                "errorCode": "E1",
                "errorMessage": "No such user",
            },
            {"result": "failure", "reason": "No such user"},
        ),
        (
            {"eventStatus": "SKIPPED", "errorCode": "E2"},
            {"result": "skipped", "reason": "E2"},
        ),
        (
            {"eventStatus": "UNKNOWN_EVENT_STATUS"},
            {"result": "unknown", "provider_result": "UNKNOWN_EVENT_STATUS"},
        ),
        ({}, None),
        ("FAILED", None),
    ],
    ids=str,
)
def test_an_outcome_is_google_s_or_there_is_none(
    status: JsonValue, expected: JsonValue
) -> None:
    event = google_event("CREATE_USER", USER_EMAIL=ANN) | {"status": status}
    assert google_only(activity(event)).data.get("outcome") == expected


def test_how_a_moderator_s_action_went_is_told_by_a_parameter() -> None:
    values = {"group_email": TEAM, "user_email": ANN}
    event = only("ban_user_with_moderation", "groups", **values, status="failed")
    assert event.type == "group.member.remove"
    assert event.data["outcome"] == {"result": "failure"}
    assert "outcome" not in only("CREATE_USER", status="failed").data


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (ACTOR, ("bob@acme.example", "user")),
        ({"profileId": "1180"}, ("1180", None)),
        ({"callerType": "KEY", "key": "HTTP_CLIENT"}, ("HTTP_CLIENT", "key")),
        ({"email": "", "profileId": "1180"}, ("1180", None)),
        ({"email": 7}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
    ids=str,
)
def test_an_actor_goes_by_the_address_else_by_number_or_key(
    actor: JsonValue, expected: tuple[str | None, str | None]
) -> None:
    event = google_only(activity(google_event("CREATE_USER"), actor=actor))
    found = member(event, "actor")
    assert (found.get("id"), found.get("type")) == expected


def test_every_mapped_type_is_a_type_of_provlog_s_vocabulary() -> None:
    for native, ours in TYPES.items():
        application, _, name = native.partition(".")
        assert TYPE.fullmatch(ours)
        assert only(name, application).type == ours
    assert all(not ours.startswith("other.") for ours in COUNTERPARTS.values())


def test_who_acts_on_its_own_behalf_is_only_taken_where_nobody_else_is_named() -> None:
    assert TYPES.keys() >= OF_ACTOR
    for native in OF_ACTOR:
        application, _, name = native.partition(".")
        assert member(only(name, application), "target")["id"] == "bob@acme.example"
    assert "target" not in only("CREATE_USER").data
