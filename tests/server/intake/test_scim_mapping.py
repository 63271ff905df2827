"""SCIM exchanges about accounts: types, targets, changes, outcomes, callers."""

import json
from typing import Any

import pytest

from provlog.server.intake.connectors.scim import TYPES
from provlog.server.intake.data_members import MAX_CHANGES
from support.scim import (
    ANN,
    ENTERPRISE,
    data_of,
    exchange,
    patch,
    scim_event,
    scim_events,
    types_of,
)
from support.vectors import samples_root


@pytest.mark.parametrize("native", TYPES)
def test_each_method_and_endpoint_of_the_table_has_its_type(native: str) -> None:
    method, path = native.split(" ")
    place = path if method == "POST" or path == "/Me" else f"{path}/x1"
    event = scim_event(exchange(method, f"/scim/v2{place}", request={}))
    assert (event.type, event.native_type) == (TYPES[native], native)
    assert event.flags == ()


def test_a_created_account_is_named_by_the_answer() -> None:
    asked = {name: ANN[name] for name in ("userName", "externalId", "active")}
    event = scim_event(exchange("POST", "/Users", request=asked, response=ANN))
    assert data_of(event)["target"] == {
        "id": "u1",
        "type": "user",
        "name": "ann@example.org",
        "external_id": "E-7",
        "display_name": "Ann",
    }
    assert data_of(event)["outcome"] == {"result": "success", "status": "201"}
    assert data_of(event)["actor"] == {
        "id": "hmac:01",
        "type": "credential",
        "name": "Entra",
    }
    assert {"op": "add", "path": "externalId", "value": "E-7"} in data_of(event)[
        "changes"
    ]
    assert data_of(event)["context"] == {
        "request_id": "b7f0",
        "ip": "192.0.2.7",
        "user_agent": "test",
        "method": "POST",
        "path": "/Users",
    }


def test_the_id_may_stand_in_the_location_alone() -> None:
    record = exchange(
        "POST", "/Users", request={}, location="https://x.org/v2/Users/a%40b?x=/y"
    )
    assert data_of(scim_event(record))["target"]["id"] == "a@b"


def test_a_guid_in_the_path_is_in_lower_case() -> None:
    guid = "7F4BC1A3-285E-48AE-8202-5ACCB43EFB0E"
    event = scim_event(exchange("DELETE", f"/scim/Users/{guid}"))
    assert data_of(event)["target"] == {"id": guid.lower(), "type": "user"}


@pytest.mark.parametrize(
    ("operation", "type_"),
    [
        ({"op": "replace", "path": "active", "value": False}, "account.disable"),
        ({"op": "Replace", "path": "active", "value": "False"}, "account.disable"),
        ({"op": "replace", "value": {"active": False}}, "account.disable"),
        ({"op": "Add", "path": "active", "value": "True"}, "account.enable"),
        ({"op": "replace", "value": {"active": True}}, "account.enable"),
        (
            {"op": "Replace", "path": "active", "value": [{"value": "False"}]},
            "account.disable",
        ),
        (
            {
                "op": "replace",
                "path": "urn:ietf:params:scim:schemas:core:2.0:User:active",
                "value": False,
            },
            "account.disable",
        ),
        ({"op": "remove", "path": "active"}, "account.update"),
        ({"op": "replace", "path": "active", "value": "maybe"}, "account.update"),
        ({"op": "replace", "path": "nickName", "value": "x"}, "account.update"),
    ],
)
def test_a_patch_that_sets_active_disables_or_enables(
    operation: dict[str, Any], type_: str
) -> None:
    record = exchange("PATCH", "/Users/u1", request=patch(operation))
    assert types_of(record) == [type_]


def test_the_last_of_several_operations_on_active_counts() -> None:
    on, off = ({"op": "replace", "value": {"active": each}} for each in (True, False))
    record = exchange("PATCH", "/Users/u1", request=patch(on, off))
    assert types_of(record) == ["account.disable"]


def test_setting_active_to_what_it_was_is_an_update() -> None:
    off = patch({"op": "replace", "path": "active", "value": False})
    record = exchange("PATCH", "/Users/u1", request=off, before=ANN | {"active": False})
    assert types_of(record) == ["account.update"]


@pytest.mark.parametrize(
    ("before", "after", "type_"),
    [
        (None, True, "account.update"),
        (None, False, "account.disable"),
        (True, False, "account.disable"),
        (False, False, "account.update"),
        (False, True, "account.enable"),
        (True, True, "account.update"),
    ],
)
def test_a_put_switches_only_where_it_says_or_is_known_to(
    before: bool | None, after: bool, type_: str
) -> None:
    known = None if before is None else ANN | {"active": before}
    body = ANN | {"active": after}
    record = exchange("PUT", "/Users/u1", request=body, before=known)
    assert types_of(record) == [type_]


def test_the_variants_of_entra_are_understood_without_a_path() -> None:
    path = samples_root() / "scim_entra" / "entra-patch-variants.json"
    expected = {
        "disable-user": "account.disable",
        "add-single-value": "account.update",
        "replace-multi": "account.update",
        "remove-member": "group.member.remove",
    }
    for variant in json.loads(path.read_text()):
        event = scim_event(variant)
        assert event.type == expected[variant["name"].partition(".")[0]]
        assert set(event.flags) == {"path_missing", "time_missing"}
        assert data_of(event)["outcome"]["result"] == "unknown"
        assert event.id.startswith("sha256:")


def test_changes_of_a_patch_say_what_was_there_before() -> None:
    before = ANN | {
        "emails": [{"type": "work", "value": "old@example.org"}, {"type": "home"}],
        "name": {"givenName": "Ann"},
        ENTERPRISE: {"department": "R&D"},
    }
    asked = patch(
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "n@x.org"},
        {
            "op": "replace",
            "value": {"name.givenName": "Anne", ENTERPRISE: {"department": "IT"}},
        },
        {"op": "add", "path": f"{ENTERPRISE}:costCenter", "value": "7"},
    )
    event = scim_event(exchange("PATCH", "/Users/u1", request=asked, before=before))
    assert data_of(event)["changes"] == [
        {
            "op": "replace",
            "path": 'emails[type eq "work"].value',
            "value": "n@x.org",
            "old": "old@example.org",
        },
        {"op": "replace", "path": "name.givenName", "value": "Anne", "old": "Ann"},
        {
            "op": "replace",
            "path": f"{ENTERPRISE}:department",
            "value": "IT",
            "old": "R&D",
        },
        {"op": "add", "path": f"{ENTERPRISE}:costCenter", "value": "7"},
    ]


def test_changes_of_a_put_are_what_differs_from_before() -> None:
    asked = ANN | {"displayName": "Anne", "nickName": "A"}
    event = scim_event(exchange("PUT", "/Users/u1", request=asked, before=ANN))
    assert data_of(event)["changes"] == [
        {"op": "replace", "path": "displayName", "value": "Anne", "old": "Ann"},
        {"op": "add", "path": "nickName", "value": "A"},
    ]


def test_changes_beyond_the_limit_are_cut_and_it_is_said() -> None:
    many = {f"attribute{number}": number for number in range(MAX_CHANGES + 5)}
    event = scim_event(exchange("PUT", "/Users/u1", request=many))
    assert len(data_of(event)["changes"]) == MAX_CHANGES
    assert "changes_cut" in event.flags


@pytest.mark.parametrize(
    "body",
    [
        patch({"op": "replace", "path": "password", "value": "s3cret"}),
        patch({"op": "replace", "value": {"password": "s3cret"}}),
        {"userName": "ann", "Password": "s3cret"},
    ],
)
def test_a_password_is_never_repeated(body: dict[str, Any]) -> None:
    method = "PATCH" if "Operations" in body else "PUT"
    event = scim_event(exchange(method, "/Users/u1", request=body))
    assert "s3cret" not in json.dumps(event.data)
    assert "[redacted]" in json.dumps(data_of(event)["changes"])


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, "success"),
        (201, "success"),
        ("204", "success"),
        ({"code": "201"}, "success"),
        (202, "pending"),
        (307, "failure"),
        (409, "failure"),
        (500, "failure"),
        (502, "unknown"),
        (504, "unknown"),
        (None, "unknown"),
        (True, "unknown"),
        (99, "unknown"),
    ],
)
def test_the_status_is_the_outcome(status: object, result: str) -> None:
    event = scim_event(exchange("PUT", "/Users/u1", request={}, status=status))
    assert data_of(event)["outcome"]["result"] == result


@pytest.mark.parametrize(
    ("error", "result"),
    [
        ("timed_out", "unknown"),
        ("connection_lost", "unknown"),
        ("unreachable", "failure"),
        ("not_sent", "skipped"),
    ],
)
def test_without_an_answer_the_error_says_whether_it_can_have_happened(
    error: str, result: str
) -> None:
    event = scim_event(exchange("DELETE", "/Users/u1", status=None, error=error))
    assert data_of(event)["outcome"]["result"] == result
    assert data_of(event)["outcome"]["reason"]


def test_a_failure_has_scim_s_own_reason() -> None:
    answer = {"status": "409", "scimType": "uniqueness", "detail": "is taken"}
    event = scim_event(
        exchange("POST", "/Users", request=ANN, response=answer, status=409)
    )
    assert data_of(event)["outcome"] == {
        "result": "failure",
        "status": "409",
        "reason": "is taken",
        "scim_type": "uniqueness",
    }


def test_an_attempt_has_a_type_and_an_id_of_its_own_and_is_pending() -> None:
    record = exchange("POST", "/Users", phase="attempt", request=ANN)
    del record["status"]
    event = scim_event(record)
    assert (event.id, event.type) == ("b7f0/attempt", "attempt.account.create")
    assert data_of(event)["outcome"] == {"result": "pending"}
    outcome = scim_event(exchange("POST", "/Users", request=ANN, response=ANN))
    assert (
        data_of(outcome)["context"]["request_id"]
        == data_of(event)["context"]["request_id"]
    )


@pytest.mark.parametrize(
    ("method", "path", "type_"),
    [
        ("POST", "/scim/v2/Devices", "other.scim.devices.create"),
        ("PATCH", "/tenant/v2/Devices/7", "other.scim.devices.update"),
        ("DELETE", "/scim/Roles/7", "other.scim.roles.delete"),
        ("GET", "/Users/7", "other.scim.users.get"),
        ("POST", "/Users/7", "other.scim.users.create"),
        ("PUT", "/ann@example.org/7", "other.scim.unknown.update"),
        ("PUT", "/", "other.scim.unknown.update"),
    ],
)
def test_what_has_no_counterpart_is_other_and_names_nobody(
    method: str, path: str, type_: str
) -> None:
    assert types_of(exchange(method, path, request={})) == [type_]


def test_claims_that_nobody_verified_are_flagged() -> None:
    caller = {"id": "app-1", "type": "client", "issuer": "https://i", "verified": False}
    event = scim_event(exchange("DELETE", "/Users/u1", caller=caller))
    assert event.flags == ("caller_unverified",)
    assert data_of(event)["actor"]["issuer"] == "https://i"


def test_flags_of_the_record_are_taken_if_they_are_flags() -> None:
    flags = ["request_not_kept", "No flag", 7, "x" * 60]
    event = scim_event(exchange("DELETE", "/Users/u1", flags=flags))
    assert event.flags == ("request_not_kept",)


def test_the_same_record_is_the_same_event() -> None:
    record = exchange("POST", "/Users", request=ANN, response=ANN)
    (first,), (second,) = scim_events(record), scim_events(record | {"ip": "::1"})
    assert first.comparison() == second.comparison()
