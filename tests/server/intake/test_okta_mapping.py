"""Okta System Log records in provlog's words."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import other_type
from provlog.server.intake.connectors.okta import TYPES
from provlog.server.intake.connectors.okta_types import COUNTERPARTS
from provlog.server.intake.event import (
    TYPE,
    Event,
)
from provlog.server.intake.members import split_members
from support.events import NOW, NOW_MS
from support.okta import (
    APP,
    APP_USER,
    GROUP,
    OKTA,
    SOURCE,
    USER,
    okta_event,
    okta_events,
    okta_record,
)


def _ids(events: list[Event], name: str) -> list[JsonValue]:
    parties = [event.data.get(name) for event in events]
    return [party.get("id") if isinstance(party, dict) else None for party in parties]


def test_a_record_becomes_an_event_in_provlog_s_words() -> None:
    record = okta_record(
        GROUP,
        USER,
        client={"ipAddress": "192.0.2.7", "userAgent": {"rawUserAgent": "curl"}},
        debugContext={"debugData": {"requestId": "r1"}},
        transaction={"type": "WEB", "id": "t1"},
        severity="INFO",
        displayMessage="Add user to group membership",
    )
    raw = json.dumps(record).encode()
    assert okta_events(record) == [
        Event(
            id="b7f0",
            source=SOURCE,
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
            connector=("okta", "2"),
            raw_digest=sha256(raw).digest(),
        )
    ]


@pytest.mark.parametrize(
    ("targets", "target", "resource"),
    [
        ([APP_USER, APP, USER], "00u9", "0oa1"),
        ([APP, APP_USER], "0ua1", "0oa1"),
        ([APP, GROUP], "00g1", "0oa1"),
        ([USER], "00u9", None),
        ([GROUP], "00g1", None),
        ([APP], None, "0oa1"),
        ([{"id": "tok", "type": "Token"}, USER], "00u9", "tok"),
        ([APP, {"id": "tok", "type": "Token"}], None, "0oa1"),
        ([{"id": "untyped"}], None, "untyped"),
        ([], None, None),
    ],
)
def test_target_and_resource_are_chosen_by_type_not_by_order(
    targets: list[dict[str, Any]], target: str | None, resource: str | None
) -> None:
    for order in (targets, targets[::-1]):
        events = okta_events(okta_record(*order))
        assert (_ids(events, "target"), _ids(events, "resource")) == (
            [target],
            [resource],
        )


def test_among_resources_of_unknown_types_the_first_type_is_taken() -> None:
    events = okta_events(
        okta_record({"id": "a", "type": "Rule"}, {"id": "b", "type": "Zone"})
    )
    assert _ids(events, "resource") == ["a"]


def test_several_targets_become_several_events() -> None:
    other = {**USER, "id": "00u8"}
    events = okta_events(okta_record(USER, other, GROUP))
    assert [event.id for event in events] == ["b7f0#1", "b7f0#2"]
    assert _ids(events, "target") == ["00u9", "00u8"]
    assert _ids(events, "resource") == ["00g1", "00g1"]
    assert [event.original is None for event in events] == [False, True]
    members = [split_members(event, "urn:ns", {}) for event in events]
    digest = events[0].raw_digest
    assert digest is not None
    assert digest.hex() in str(members[1]["event"])


def test_each_resource_of_a_target_is_an_event_of_its_own() -> None:
    events = okta_events(okta_record(USER, GROUP, {**GROUP, "id": "00g2"}))
    assert _ids(events, "target") == ["00u9", "00u9"]
    assert _ids(events, "resource") == ["00g1", "00g2"]


def test_a_record_makes_at_most_64_events_and_says_so() -> None:
    users = [{**USER, "id": f"u{n}"} for n in range(65)]
    assert len(okta_events(okta_record(*users[:64]))) == 64
    events = okta_events(okta_record(*users))
    assert len(events) == 64
    assert events[0].flags == ("targets_cut",)


def test_a_type_without_counterpart_is_logged_under_other() -> None:
    event = okta_event(okta_record(eventType="user.authentication.auth_via_AD_agent"))
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
    raw = json.dumps(okta_record(uuid=uuid)).encode()
    (event,) = OKTA.to_events(raw, SOURCE, NOW_MS)
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
    event = okta_event(okta_record(published=published))
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
    event = okta_event(okta_record(outcome=outcome, debugContext={"debugData": debug}))
    ours = event.data["outcome"]
    assert isinstance(ours, dict)
    names = ("result", "reason", "provider_result")
    assert tuple(ours.get(name) for name in names) == expected


def test_changes_come_from_the_change_details_of_a_target() -> None:
    details = {"from": {"b": 1, "a": "x"}, "to": {"b": 2}}
    event = okta_event(okta_record({**USER, "changeDetails": details}))
    assert event.data["changes"] == [
        {"op": "replace", "path": "a", "old": "x", "value": None},
        {"op": "replace", "path": "b", "old": 1, "value": 2},
    ]


def test_guids_are_indexed_in_lower_case_and_other_ids_as_they_are() -> None:
    guid = "2A992F80-D1AD-4F62-900E-8C68BB72A21B"
    events = okta_events(okta_record({**USER, "id": guid}, {**GROUP, "id": "00GabC"}))
    assert _ids(events, "target") == [guid.lower()]
    assert _ids(events, "resource") == ["00GabC"]


@pytest.mark.parametrize("identifier", [None, "", 7, "x" * 513, "a\0"])
def test_a_target_whose_id_cannot_be_indexed_is_logged_without_it(
    identifier: JsonValue,
) -> None:
    event = okta_event(okta_record({**USER, "id": identifier}))
    target = event.data["target"]
    assert isinstance(target, dict)
    assert "id" not in target
    assert target["name"] == "Ann"


def test_the_same_record_with_other_details_is_the_same_event() -> None:
    event = okta_event(okta_record(USER, severity="INFO"))
    again = okta_event(okta_record(USER, severity="WARN"))
    assert again.comparison() == event.comparison()


def test_a_better_mapping_does_not_make_another_event_of_a_record() -> None:
    event = okta_event(okta_record(USER))
    assert replace(event, type="other.x").comparison() == event.comparison()


@pytest.mark.parametrize(
    "change",
    [
        {"actor": {"id": "00u2", "type": "User"}},
        {"target": [GROUP]},
        {"target": [{**USER, "displayName": "Ann B."}]},
        {"eventType": "user.lifecycle.create"},
        {"published": None},
        {"outcome": {"result": "FAILURE"}},
    ],
)
def test_another_actor_target_type_time_or_outcome_is_another_event(
    change: dict[str, Any],
) -> None:
    event = okta_event(okta_record(USER))
    assert okta_event(okta_record(USER, **change)).comparison() != event.comparison()


def test_every_mapped_type_is_a_type_of_its_own_vocabulary() -> None:
    for native, ours in TYPES.items():
        assert TYPE.fullmatch(ours)
        assert okta_event(okta_record(eventType=native)).type == ours


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("iam.resourceset.bindings.add", "role.assign"),
        ("workflows.user.role.user.remove", "role.revoke"),
        ("app.oauth2.credentials.lifecycle.delete", "credential.revoke"),
        ("application.user_membership.revoke", "app.unassign"),
        ("user.account.lock.limit", "account.lock"),
    ],
)
def test_access_and_credentials_have_their_counterparts(
    native: str, expected: str
) -> None:
    assert okta_event(okta_record(USER, eventType=native)).type == expected


@pytest.mark.parametrize(
    "native",
    [
        "application.provision.user.push",
        "application.provision.user.deprovision",
        "application.account.remove",
        "app.user_management.push_new_user_success",
        "system.import.user.create",
        "account.org.add",
        "certification.campaign.item.decide",
        "access.request.resolve",
    ],
)
def test_what_does_not_change_an_account_at_okta_is_not_taken_for_it(
    native: str,
) -> None:
    event = okta_event(okta_record(USER, APP, APP_USER, eventType=native))
    assert event.type == f"other.{native}"
    assert event.native_type == native


def test_a_type_has_a_counterpart_or_is_listed_without_one() -> None:
    without = TYPES.keys() - COUNTERPARTS.keys()
    assert len(TYPES) == len(COUNTERPARTS) + len(without)
    assert all(TYPES[native] == other_type(native) for native in without)
    assert "app.user_management" in without
    assert "system.import.entitlement" in without
    assert not any(ours.startswith("other.") for ours in COUNTERPARTS.values())
