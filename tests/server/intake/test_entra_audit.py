"""Entra's audit log in provlog's words, in either spelling of it."""

import json
from hashlib import sha256
from typing import Any

import pytest

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.entra_audit import MAX_EVENTS_OF_RECORD
from provlog.server.intake.connectors.entra_reading import MAX_OBJECTS
from provlog.server.intake.connectors.entra_types import AUDIT_OTHERS, AUDIT_TYPES
from provlog.server.intake.data_members import MAX_CHANGES
from provlog.server.intake.event import TYPE, Event
from support.entra import (
    ANN,
    SOURCE,
    USER,
    audited,
    entra_event,
    entra_events,
    resource,
)

GROUP = resource("Group", "g1", "Admins")
ROLE = resource("Role", "r1", "Reader")
SERVICE = resource("ServicePrincipal", "s1", "Wiki")


def _ids(events: list[Event], name: str) -> list[JsonValue]:
    parties = [event.data.get(name) for event in events]
    return [party.get("id") if isinstance(party, dict) else None for party in parties]


def test_a_member_added_to_a_group_is_an_event_in_provlog_s_words() -> None:
    member = resource(
        "User",
        ANN.upper(),
        "ann@x.org",
        Group_ObjectID="g1",
        Group_DisplayName="Admins",
    )
    record = audited(member, resource("Group", "g1"))
    raw = json.dumps(record).encode()
    assert entra_events(record) == [
        Event(
            id="Directory_5_ABCDE_7",
            source=SOURCE,
            type="group.member.add",
            time="2026-11-21T17:53:55.123Z",
            time_sent="2026-11-21T17:53:55.1234567Z",
            data={
                "actor": {
                    "id": "60000000-0000-4000-8000-00000000000b",
                    "type": "user",
                    "name": "bob@x.org",
                },
                "outcome": {"result": "success"},
                "context": {
                    "request_id": "50000000-0000-4000-8000-000000000005",
                    "ip": "192.0.2.7",
                    "user_agent": "curl",
                    "category": "GroupManagement",
                    "service": "Core Directory",
                    "operation": "Assign",
                },
                "target": {"id": ANN, "type": "user", "name": "ann@x.org"},
                "resource": {"id": "g1", "type": "group", "name": "Admins"},
                "changes": [
                    _changed("Group.ObjectID", "g1"),
                    _changed("Group.DisplayName", "Admins"),
                ],
            },
            original={"media_type": "application/json", "body": raw.decode()},
            native_type="Add member to group",
            connector=("entra", "1"),
            raw_digest=sha256(raw).digest(),
            compared_time="2026-11-21T17:53:55",
        )
    ]


def _changed(path: str, value: JsonValue) -> JsonValue:
    return {"op": "replace", "path": path, "old": None, "value": value}


@pytest.mark.parametrize(("native", "ours"), AUDIT_TYPES.items())
def test_every_type_of_the_table_is_read_however_it_is_spelled(
    native: str, ours: str
) -> None:
    assert TYPE.fullmatch(ours)
    for name in (native, native.upper(), f"{native}. ", native.replace(" - ", " – ")):
        event = entra_event(audited(USER, activityDisplayName=name))
        assert event.type == ours


@pytest.mark.parametrize(("native", "other"), AUDIT_OTHERS.items())
def test_what_did_not_come_about_or_is_not_known_to_have_stays_other(
    native: str, other: str
) -> None:
    event = entra_event(audited(USER, activityDisplayName=native))
    assert (event.type, event.native_type) == (other, native)
    assert TYPE.fullmatch(other)
    assert native not in AUDIT_TYPES


@pytest.mark.parametrize(
    ("targets", "target", "found"),
    [
        ([USER, GROUP], ANN, "g1"),
        ([USER, ROLE], ANN, "r1"),
        ([SERVICE, USER], ANN, "s1"),
        ([SERVICE, GROUP], "s1", "g1"),
        ([resource("Device", "d1"), GROUP], "d1", "g1"),
        ([GROUP], "g1", None),
        ([SERVICE], "s1", None),
        ([resource("Application", "a1")], None, "a1"),
        ([resource("Policy", "p1"), resource("Other", "o1")], None, "p1"),
        ([resource("Other", "o1"), resource("Directory", "d1"), USER], ANN, None),
        ([resource("Request", "q1"), ROLE, USER, resource("Other", "o")], ANN, "r1"),
        ([], None, None),
    ],
)
def test_target_and_resource_are_chosen_by_type_not_by_order(
    targets: list[dict[str, Any]], target: str | None, found: str | None
) -> None:
    for order in (targets, targets[::-1]):
        events = entra_events(audited(*order))
        assert _ids(events, "target") == [target]
        if found is not None:
            assert _ids(events, "resource") == [found]


def test_a_type_in_title_case_is_one_too() -> None:
    record = audited({"id": "g1", "Type": "Group"}, {"id": "u1", "Type": "User"})
    events = entra_events(record)
    assert (_ids(events, "target"), _ids(events, "resource")) == (["u1"], ["g1"])


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_groups_the_one_that_the_other_names_has_the_member(order: int) -> None:
    member = resource("Group", "g2", "Team", Group_ObjectID="g1")
    events = entra_events(audited(*[member, GROUP][::order]))
    assert (_ids(events, "target"), _ids(events, "resource")) == (["g2"], ["g1"])


def test_a_group_or_role_that_is_not_listed_is_the_one_that_is_named() -> None:
    member = resource("User", ANN, None, Role_ObjectID="r1", Role_DisplayName="Reader")
    event = entra_event(audited(member, activityDisplayName="Add member to role"))
    assert event.data["resource"] == {"id": "r1", "type": "role", "name": "Reader"}
    # Of one that was removed the name is the old value.
    for each in member["modifiedProperties"]:
        each["oldValue"], each["newValue"] = each["newValue"], None
    event = entra_event(audited(member, activityDisplayName="Remove member from role"))
    assert event.data["resource"] == {"id": "r1", "type": "role", "name": "Reader"}


def test_whom_an_application_s_role_was_assigned_to_is_the_target() -> None:
    graph = resource(
        "ServicePrincipal",
        "s1",
        "Graph",
        AppRole_Value="User.Read.All",
        ServicePrincipal_DisplayName="Robot",
    )
    name = "Add app role assignment to service principal"
    event = entra_event(audited(graph, activityDisplayName=name))
    assert event.type == "entitlement.grant"
    assert event.data["target"] == {"type": "service_principal", "name": "Robot"}
    assert event.data["resource"] == {
        "id": "s1",
        "type": "service_principal",
        "name": "Graph",
        "scope": "User.Read.All",
    }
    client = resource("ServicePrincipal", "s2")
    event = entra_event(audited(graph, client, activityDisplayName=name))
    assert event.data["target"] == {
        "id": "s2",
        "type": "service_principal",
        "name": "Robot",
    }
    assert _ids([event], "resource") == ["s1"]


def test_what_is_named_without_an_id_is_not_one_of_several() -> None:
    member = resource("User", ANN, None, Group_DisplayName="Admins")
    others = [resource("Group", "g1"), resource("Group", "g2")]
    events = entra_events(audited(member, *others))
    assert [event.data["resource"] for event in events] == [
        {"id": "g1", "type": "group"},
        {"id": "g2", "type": "group"},
    ]


def test_a_user_that_has_a_role_of_an_application_is_no_application() -> None:
    member = resource("User", ANN, "ann@x.org", AppRole_Value="x")
    assert _ids(entra_events(audited(member, SERVICE)), "target") == [ANN]


def test_a_permission_is_granted_to_the_application_that_it_names() -> None:
    api = resource(
        "ServicePrincipal",
        "s1",
        "Graph",
        DelegatedPermissionGrant_Scope=" User.Read",
        ServicePrincipal_ObjectID="s2",
    )
    name = "Add delegated permission grant"
    event = entra_event(audited(api, activityDisplayName=name))
    assert event.data["target"] == {"id": "s2", "type": "service_principal"}
    found = event.data["resource"]
    assert isinstance(found, dict)
    assert (found["id"], found["scope"]) == ("s1", "User.Read")


def test_several_targets_become_several_events() -> None:
    other = resource("User", "u2", "eve@x.org", x="1")
    group = resource("Group", "g1", "Admins", y="2")
    events = entra_events(audited({**USER, "x": 1}, other, group))
    assert [event.id for event in events] == [
        "Directory_5_ABCDE_7#1",
        "Directory_5_ABCDE_7#2",
    ]
    assert _ids(events, "target") == [ANN, "u2"]
    assert _ids(events, "resource") == ["g1", "g1"]
    assert [event.original is None for event in events] == [False, True]
    assert events[0].data["changes"] == [_changed("y", "2")]
    assert events[1].data["changes"] == [_changed("x", "1")]


def test_a_record_of_many_targets_is_cut_and_says_so() -> None:
    users = [resource("User", f"u{n}") for n in range(MAX_EVENTS_OF_RECORD + 1)]
    assert len(entra_events(audited(*users[:-1]))) == MAX_EVENTS_OF_RECORD
    events = entra_events(audited(*users))
    assert len(events) == MAX_EVENTS_OF_RECORD
    assert events[0].flags == ("targets_cut",)
    others = [resource(f"Kind{n}", f"o{n}") for n in range(MAX_OBJECTS)]
    assert entra_event(audited(USER, *others)).flags == ("targets_cut",)
    assert entra_event(audited(USER, *others[1:])).flags == ()


def test_changes_are_read_out_of_their_texts_one_level_deep() -> None:
    deep = "[" * 40 + "]" * 40
    texts = {
        '"Sales"': "Sales",
        '[{"State":"{\\"a\\":1}"}]': [{"State": '{"a":1}'}],
        '["a","b"]': ["a", "b"],
        "True": "True",
        "7": "7",
        '{"a":1,"a":2}': '{"a":1,"a":2}',
        '["cut': '["cut',
        deep: deep,
    }
    properties = [
        {"displayName": "x", "oldValue": text, "newValue": None} for text in texts
    ]
    record = audited({**USER, "modifiedProperties": properties})
    changes = entra_event(record).data["changes"]
    assert isinstance(changes, list)
    assert [each["old"] for each in changes if isinstance(each, dict)] == [
        *texts.values()
    ]


def test_changes_are_cut_with_a_flag() -> None:
    one = {"displayName": "a", "oldValue": None, "newValue": '"b"'}
    many = {**USER, "modifiedProperties": [one] * (MAX_CHANGES - 1)}
    assert entra_event(audited(many, {**GROUP, **_with(one)})).flags == ()
    event = entra_event(audited(many, {**GROUP, **_with(one, one)}))
    assert event.flags == ("changes_cut",)
    assert len(str(event.data["changes"])) == len(
        str([_changed("a", "b")] * MAX_CHANGES)
    )


def _with(*properties: dict[str, Any]) -> dict[str, Any]:
    return {"modifiedProperties": list(properties)}


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (
            {"user": None, "app": {"appId": None, "servicePrincipalId": "s9"}},
            {"type": "service_principal", "id": "s9"},
        ),
        (
            {"app": {"appId": "a9", "displayName": "Device Registration Service"}},
            {
                "type": "service_principal",
                "id": "a9",
                "name": "Device Registration Service",
            },
        ),
        (
            {"user": {"id": "u9", "displayName": "Bob", "userPrincipalName": ""}},
            {"type": "user", "id": "u9", "name": "Bob"},
        ),
        ({"user": {"id": None}, "app": None}, None),
        ({}, None),
        ("odd", None),
    ],
)
def test_who_did_it_is_a_user_or_an_application(
    who: JsonValue, expected: JsonValue
) -> None:
    event = entra_event(audited(USER, initiatedBy=who))
    assert event.data.get("actor") == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("success", ("success", None)),
        ("Failure", ("failure", None)),
        ("failed", ("failure", None)),
        ("timeout", ("unknown", "timeout")),
        ("unknownFutureValue", ("unknown", "unknownfuturevalue")),
    ],
)
def test_outcomes_are_ours_and_keep_the_provider_s_word(
    result: str, expected: tuple[str, str | None]
) -> None:
    event = entra_event(audited(USER, result=result, resultReason="why"))
    ours = event.data["outcome"]
    assert isinstance(ours, dict)
    assert (ours["result"], ours.get("provider_result")) == expected
    assert ours["reason"] == "why"
    assert "outcome" not in entra_event(audited(USER, result=None)).data


def test_a_justification_is_the_reason_that_somebody_gave() -> None:
    told = [{"key": "Justification", "value": "incident"}, {"key": 7}, "odd"]
    context = entra_event(audited(USER, additionalDetails=told)).data["context"]
    assert isinstance(context, dict)
    assert context["reason"] == "incident"
