"""What becomes of Auth0's tenant logs: of codes, and of calls of the Management API."""

import json
from typing import Any

import pytest

from provlog.server.intake.connectors import decode_records, events_of
from provlog.server.intake.connectors.auth0 import MAX_EVENTS_OF_RECORD, TYPES
from provlog.server.intake.connectors.auth0_calls import CALLS, find_call
from provlog.server.intake.event import Event
from support.auth0 import (
    AUTH0,
    SOURCE,
    auth0_call,
    auth0_event,
    auth0_events,
    auth0_record,
)
from support.events import NOW_MS, read_all
from support.vectors import samples_root

USERS = "/api/v2/users/auth0%7C7"


@pytest.mark.parametrize("code", [each for each in TYPES if " " not in each])
def test_every_code(code: str) -> None:
    event = auth0_event(auth0_record(code))
    assert event.type == TYPES[code]
    assert event.native_type == code
    assert event.data["target"] == {
        "id": "auth0|7",
        "name": "ann@x.org",
        "type": "user",
    }
    assert "actor" not in event.data


@pytest.mark.parametrize("name", CALLS)
def test_every_call(name: str) -> None:
    method, path = name.split(" ")
    body = {
        list_name: ["x1"] for list_name in ("roles", "users", "members", "groups")
    } | {
        "client_id": "c1",
        "audience": "https://api",
        "permissions": [
            {"permission_name": "read:x", "resource_server_identifier": "https://api"}
        ],
    }
    filled = path.replace("{", "the-").replace("}", "%207")
    answer = {"user_id": "auth0|9", "id": "org_9", "name": "Ann"}
    event = auth0_event(auth0_call(method.lower(), "/api/v2" + filled, body, answer))
    call = CALLS[name]
    assert event.type == call.type == TYPES[f"sapi {name}"]
    assert event.native_type == "sapi"
    assert event.data["actor"] == {
        "id": "auth0|1",
        "name": "Bob",
        "email": "bob@x.org",
        "type": "user",
    }
    for member, where in (("target", call.target), ("resource", call.resource)):
        place, _, kind = where.partition(":")
        if not place:
            continue
        found: Any = event.data[member]
        assert found["type"] == kind
        if place.startswith("{"):
            assert found["id"] == f"the-{place[1:-1]} 7"
    assert event.data["outcome"] == {"result": "success"}


def test_a_created_account_is_that_of_the_answer() -> None:
    answer = {"user_id": "auth0|9", "name": "Ann", "email": "ann@x.org"}
    event = auth0_event(auth0_call("post", "/v2/users", {"name": "x"}, answer, 201))
    assert event.data["target"] == {
        "id": "auth0|9",
        "name": "Ann",
        "email": "ann@x.org",
        "type": "user",
    }
    event = auth0_event(
        auth0_call("post", "/v2/users", {"email": "e@x.org"}, None, 409)
    )
    assert event.data["target"] == {"email": "e@x.org", "type": "user"}
    assert event.data["outcome"] == {"result": "failure"}
    event = auth0_event(
        auth0_call("post", "/v2/organizations", {"name": "acme"}, {"id": "org_1"})
    )
    assert event.data["target"] == {
        "id": "org_1",
        "name": "acme",
        "type": "organization",
    }


@pytest.mark.parametrize(
    ("body", "ours"),
    [
        ({"blocked": True}, "account.disable"),
        ({"blocked": False, "name": "x"}, "account.enable"),
        ({"blocked": "yes"}, "account.update"),
        ({"password": "[redacted]", "connection": "c"}, "credential.update"),
        ({"name": "x"}, "account.update"),
        (None, "account.update"),
        ([1], "account.update"),
    ],
)
def test_a_patched_user(body: Any, ours: str) -> None:  # noqa: ANN401
    event = auth0_event(auth0_call("patch", USERS, body))
    assert event.type == ours
    assert ours in TYPES.values()
    target: Any = event.data["target"]
    assert target["id"] == "auth0|7"


def test_what_is_set_stands_in_the_changes() -> None:
    event = auth0_event(auth0_call("patch", USERS, {"name": "N", "blocked": True}))
    assert event.data["changes"] == [
        {"op": "replace", "path": "blocked", "value": True},
        {"op": "replace", "path": "name", "value": "N"},
    ]


def test_several_roles_are_several_events() -> None:
    events = auth0_events(auth0_call("delete", f"{USERS}/roles", {"roles": ["a", "b"]}))
    assert [event.id for event in events] == ["90020261121#1", "90020261121#2"]
    assert [event.type for event in events] == ["role.revoke"] * 2
    assert [event.data["resource"] for event in events] == [
        {"id": "a", "type": "role"},
        {"id": "b", "type": "role"},
    ]
    assert events[1].original is None
    assert auth0_event(auth0_call("post", f"{USERS}/roles", {})).type == "role.assign"


def test_a_permission_is_named_with_its_api() -> None:
    permissions = [
        {"permission_name": "read:x", "resource_server_identifier": "https://api"}
    ]
    event = auth0_event(
        auth0_call("post", f"{USERS}/permissions", {"permissions": permissions})
    )
    assert event.data["resource"] == {
        "id": "https://api#read:x",
        "name": "read:x",
        "scope": "https://api",
        "type": "permission",
    }


def test_more_members_than_a_record_has_events() -> None:
    members = [f"auth0|{number}" for number in range(MAX_EVENTS_OF_RECORD + 1)]
    path = "/api/v2/organizations/org_1/members"
    events = auth0_events(auth0_call("post", path, {"members": members}))
    assert len(events) == MAX_EVENTS_OF_RECORD
    assert all("targets_cut" in event.flags for event in events)
    exact = auth0_events(auth0_call("post", path, {"members": members[1:]}))
    assert len(exact) == MAX_EVENTS_OF_RECORD
    assert not any(event.flags for event in exact)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/users"),
        ("post", "/api/v2/users/"),
        ("post", "/api/v2/users/1/2/3/4"),
        ("post", "/api/v3/users"),
        ("post", "users"),
        ("post", ""),
        (None, "/api/v2/users"),
        ("post", None),
        ("post", "/api/v2/users" + "/x" * 3000),
        ("patch", "/api/v2/clients/1"),
    ],
)
def test_a_call_without_a_counterpart(method: Any, path: Any) -> None:  # noqa: ANN401
    assert find_call(method, path) is None
    event = auth0_event(auth0_call(method, path, {}))
    assert event.type == "other.sapi"
    assert "target" not in event.data
    assert event.data["actor"]


def test_scim_calls() -> None:
    request = {"method": "POST", "path": "/scim/v2/connections/c1/Users"}
    details = {"request": request, "response": {"statusCode": 201}}
    event = auth0_event(auth0_record("sscim", details=details))
    assert event.type == "account.create"
    assert event.data["outcome"] == {"result": "success"}
    details = {"request": {"method": "DELETE", "path": "/x/Groups/7"}}
    assert auth0_event(auth0_record("fscim", details=details)).type == "other.fscim"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("ss", "success"),
        ("fs", "failure"),
        ("gd_enrollment_complete", "success"),
        ("oidc_backchannel_logout_failed", "failure"),
        ("kms_key_management_success", "success"),
        ("gd_auth_rejected", "failure"),
        ("limit_sul", None),
        ("pwd_leak", None),
        ("w", None),
        ("", None),
    ],
)
def test_the_result_is_that_of_the_code(code: str, result: str | None) -> None:
    outcome = {} if result is None else {"outcome": {"result": result}}
    data = auth0_event(auth0_record(code)).data
    assert {name: data[name] for name in data if name == "outcome"} == outcome


def test_a_machine_that_calls_is_the_actor() -> None:
    record = auth0_call("delete", USERS)
    record["data"] |= {"user_id": "", "client_id": "c1", "client_name": "Sync"}
    del record["data"]["details"]["request"]["auth"]
    assert auth0_event(record).data["actor"] == {
        "id": "c1",
        "name": "Sync",
        "type": "client",
    }


def test_the_actor_of_a_call_is_whose_token_it_carried() -> None:
    record = auth0_call("delete", USERS)
    record["data"]["user_id"] = "auth0|other"
    actor: Any = auth0_event(record).data["actor"]
    assert actor["id"] == "auth0|1"
    del record["data"]["details"]["request"]["auth"]
    assert auth0_event(record).data["actor"] == {"id": "auth0|other", "type": "user"}


@pytest.mark.parametrize(
    ("status", "result"),
    [(201, "success"), (302, "success"), (399, "success"), (400, "failure")],
)
def test_the_result_of_a_call_is_its_status(status: int, result: str) -> None:
    event = auth0_event(auth0_call("delete", USERS, status=status))
    assert event.data["outcome"] == {"result": result}


@pytest.mark.parametrize("code", ["fapi", "fscim"])
def test_no_status_makes_a_success_of_a_failure(code: str) -> None:
    record = auth0_call("delete", USERS, status=200)
    record["data"]["type"] = code
    assert auth0_event(record).data["outcome"] == {"result": "failure"}


def test_what_is_asked_for_in_the_query_is_no_part_of_the_path() -> None:
    event = auth0_event(auth0_call("delete", f"{USERS}?wait=true"))
    assert event.data["target"] == {"id": "auth0|7", "type": "user"}


def test_the_organization_a_user_was_added_to() -> None:
    record = auth0_record(
        "organization_member_added", organization_id="org_1", organization_name="acme"
    )
    event = auth0_event(record)
    assert event.type == "group.member.add"
    assert event.data["resource"] == {
        "id": "org_1",
        "name": "acme",
        "type": "organization",
    }


def test_a_record_without_its_envelope_is_the_same() -> None:
    whole = auth0_record("ss")
    flat = whole["data"]
    one, two = auth0_event(whole), auth0_event(flat)
    assert (one.id, one.type, one.time, one.data) == (
        two.id,
        two.type,
        two.time,
        two.data,
    )
    assert one.id == "90020261121"
    assert auth0_event(whole | {"log_id": "outer"}).id == "outer"
    assert auth0_event({"_id": "x1", "type": "ss"}).id == "x1"


@pytest.mark.parametrize("value", [None, [], {}, 7, "x", True])
@pytest.mark.parametrize(
    "name", ["log_id", "type", "date", "details", "user_id", "references", "ip"]
)
def test_members_of_any_kind(name: str, value: Any) -> None:  # noqa: ANN401
    assert auth0_events(auth0_record("ss", **{name: value}))
    record = auth0_call("post", f"{USERS}/roles", {"roles": [value, "r1"]})
    record["data"][name] = value
    assert auth0_events(record)


def test_a_password_that_was_set_is_cut_out() -> None:
    record = json.dumps(auth0_call("patch", USERS, {"password": "S3CRET"})).encode()
    [event] = events_of(AUTH0, record, SOURCE, NOW_MS)
    assert event.type == "credential.update"
    assert "S3CRET" not in json.dumps(event.data)
    assert isinstance(event.original, dict)
    assert event.original["redacted"] == ["/data/details/request/body/password"]


@pytest.mark.needs("samples")
def test_every_published_sample_becomes_an_event() -> None:
    body = (samples_root() / "auth0" / "logs.ndjson").read_bytes()
    events = read_all(decode_records(AUTH0, body, SOURCE, NOW_MS))
    assert len(events) == 25
    assert all(isinstance(event, Event) for event in events)
    kinds = {event.type for event in events if isinstance(event, Event)}
    assert {"policy.update", "other.sapi", "credential.create"} <= kinds


def test_calls_of_one_id_that_ask_for_different_things_are_told_apart() -> None:
    calls = [
        auth0_call("PATCH", "/api/v2/tenants/settings"),
        auth0_call("PATCH", "/api/v2/branding"),
        auth0_call("PATCH", "/api/v2/branding", {"logo": "new"}),
        auth0_call("PATCH", "/api/v2/branding", {"logo": "new"}, status=403),
    ]
    assert len({auth0_event(each).id for each in calls}) == 1
    assert len({auth0_event(each).comparison() for each in calls}) == len(calls)
    again = json.loads(json.dumps(calls[2], sort_keys=True))
    assert auth0_event(again).comparison() == auth0_event(calls[2]).comparison()
