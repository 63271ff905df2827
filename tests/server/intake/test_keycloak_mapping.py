"""Keycloak's events in provlog's words."""

import json
from hashlib import sha256
from typing import Any

import pytest

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.event import Event
from support.keycloak import (
    ADMIN,
    ANN,
    CLIENT,
    GROUP,
    ORGANIZATION,
    ROLE,
    SOURCE,
    TIME,
    admin_event,
    keycloak_event,
    keycloak_events,
    user_event,
)


def test_an_admin_event_becomes_an_event_in_provlog_s_words() -> None:
    said = {"username": "ann", "enabled": True}
    record = admin_event(representation=said)
    raw = json.dumps(record).encode()
    assert keycloak_event(record) == Event(
        id="c067d551-c623-4448-a4aa-0dbf41208d5c",
        source=SOURCE,
        type="account.create",
        time=TIME,
        time_sent=TIME,
        data={
            "actor": {"id": ADMIN, "type": "user"},
            "target": {"id": ANN, "type": "user", "name": "ann"},
            "changes": [
                {"op": "add", "path": "enabled", "value": True},
                {"op": "add", "path": "username", "value": "ann"},
            ],
            "outcome": {"result": "success"},
            "context": {
                "ip": "192.0.2.7",
                "client_id": "ebe55ba1-09e2-4835-99aa-fd38e5761f84",
                "actor_realm": "e98e0e17-a537-4af7-9c0a-85ab61e3158d",
                "realm_id": "b5d87387-1fcc-41e5-8a40-666ab658cf26",
                "resource_path": f"users/{ANN}",
            },
        },
        original={"media_type": "application/json", "body": raw.decode()},
        native_type="USER-CREATE",
        connector=("keycloak", "1"),
        raw_digest=sha256(raw).digest(),
    )


def test_a_user_event_is_about_the_account_of_who_did_it() -> None:
    event = keycloak_event(user_event("DELETE_ACCOUNT"))
    assert (event.type, event.native_type) == ("account.delete", "DELETE_ACCOUNT")
    assert event.data["actor"] == {"id": ANN, "type": "user"}
    assert event.data["target"] == {"id": ANN, "type": "user", "name": "ann"}
    assert event.data["context"] == {
        "ip": "192.0.2.8",
        "client_id": "account-console",
        "session_id": "d827ee85-5ced-4bc3-b64a-82720eade321",
        "realm_id": "b5d87387-1fcc-41e5-8a40-666ab658cf26",
    }


_GROUP = {"type": "group", "id": GROUP}
_USER = {"type": "user", "id": ANN}


@pytest.mark.parametrize(
    ("record", "kind", "target", "resource"),
    [
        (
            admin_event(
                "GROUP_MEMBERSHIP", "CREATE", f"users/{ANN}/groups/{GROUP}",
                {"id": GROUP, "name": "staff"},
            ),
            "group.member.add", _USER, {**_GROUP, "name": "staff"},
        ),
        (
            admin_event("GROUP_MEMBERSHIP", "DELETE", f"users/{ANN}/groups/{GROUP}"),
            "group.member.remove", _USER, _GROUP,
        ),
        (
            admin_event("GROUP", "CREATE", f"groups/{GROUP}", {"name": "staff"}),
            "group.create", {**_GROUP, "name": "staff"}, None,
        ),
        (
            admin_event(
                "GROUP", "CREATE", "groups/parent/children", {"id": GROUP, "name": "x"}
            ),
            "group.create", {**_GROUP, "name": "x"}, None,
        ),
        (
            admin_event("GROUP", "DELETE", f"groups/parent/children/{GROUP}"),
            "group.delete", _GROUP, None,
        ),
        (
            admin_event(
                "ORGANIZATION_MEMBERSHIP", "CREATE",
                f"organizations/{ORGANIZATION}/members", {"name": "Acme"},
                details={"username": "ann", "email": "ann@example.com"},
            ),
            "group.member.add", {"type": "user", "name": "ann"},
            {"type": "organization", "id": ORGANIZATION, "name": "Acme"},
        ),
        (
            admin_event(
                "ORGANIZATION_MEMBERSHIP", "DELETE",
                f"organizations/{ORGANIZATION}/members/{ANN}",
            ),
            "group.member.remove", _USER, {"type": "organization", "id": ORGANIZATION},
        ),
        (
            admin_event("USER", "DELETE", f"users/{ANN}"),
            "account.delete", _USER, None,
        ),
        (
            admin_event("USER", "DELETE", "users/f:3c:ann"),
            "account.delete", {"type": "user", "id": "f:3c:ann"}, None,
        ),
        (
            admin_event("CLIENT", "ACTION", f"clients/{CLIENT}/client-secret",
                        {"type": "secret", "value": "hush"}),
            "credential.update", None, {"type": "client", "id": CLIENT},
        ),
        (
            admin_event("CLIENT_ROLE", "DELETE", f"clients/{CLIENT}/roles/admin"),
            "policy.delete", None, {"type": "role", "name": "admin", "scope": CLIENT},
        ),
        (
            admin_event("REALM_ROLE", "UPDATE", f"roles-by-id/{ROLE}", {"name": "a"}),
            "policy.update", None, {"type": "role", "id": ROLE, "name": "a"},
        ),
        (
            admin_event("AUTH_FLOW", "CREATE", "authentication/flows", {"alias": "f"}),
            "policy.create", None, {"type": "auth_flow", "name": "f"},
        ),
    ],
)  # fmt: skip
def test_ids_come_from_the_path_and_names_from_the_representation(
    record: JsonValue, kind: str, target: JsonValue, resource: JsonValue
) -> None:
    event = keycloak_event(record)
    assert (event.type, event.flags) == (kind, ())
    assert (event.data.get("target"), event.data.get("resource")) == (target, resource)
    told = kind.endswith((".create", ".update")) and not kind.startswith("credential")
    # What a membership's representation describes is not what was changed.
    assert ("changes" in event.data) == told


@pytest.mark.parametrize(
    ("resource", "operation", "path", "native", "kind"),
    [
        ("USER", "ACTION", "reset-password", "/reset-password", "credential.update"),
        ("USER", "ACTION", "credentials/7f", "/credentials", "credential.revoke"),
        ("USER", "ACTION", "credentials/7f/moveAfter/8", "/credentials/moveAfter", ""),
        ("USER", "CREATE", "federated-identity/g", "/federated-identity",
         "credential.create"),
        ("USER", "DELETE", "federated-identity/g", "/federated-identity",
         "credential.revoke"),
        ("USER", "UPDATE", "something/else", "/something", ""),
        ("USER", "ACTION", "<script>", "/_", ""),
    ],
)  # fmt: skip
def test_what_was_done_below_an_account_is_not_done_to_it(
    resource: str, operation: str, path: str, native: str, kind: str
) -> None:
    event = keycloak_event(admin_event(resource, operation, f"users/{ANN}/{path}"))
    assert event.native_type == f"{resource}-{operation}{native}"
    assert event.data["target"] == _USER
    assert event.type == kind or (not kind and event.type.startswith("other.user-"))


@pytest.mark.parametrize(
    "record",
    [
        admin_event("GROUP", "CREATE", f"default-groups/{GROUP}"),
        admin_event(
            "ORGANIZATION_MEMBERSHIP", "DELETE",
            f"organizations/{ORGANIZATION}/invitations/7",
        ),
        admin_event(
            "ORGANIZATION_MEMBERSHIP", "ACTION",
            f"organizations/{ORGANIZATION}/members/invite-user",
        ),
        admin_event("USER", "UPDATE", "ui-ext/users"),
        {**user_event("REGISTER"), "uid": "an-app-s-own-event"},
    ],
)  # fmt: skip
def test_what_only_looks_like_a_change_is_none(record: JsonValue) -> None:
    event = keycloak_event(record)
    assert event.type.startswith("other."), event.type
    party = event.data.get("target")
    assert not (isinstance(party, dict) and party.get("id") == "invite-user")


def test_what_was_added_below_an_account_is_no_change_of_it() -> None:
    path = f"users/{ANN}/federated-identity/github"
    said = {"userId": "7", "userName": "ann", "name": "Ann"}
    event = keycloak_event(admin_event("USER", "CREATE", path, said))
    assert "changes" not in event.data
    assert event.data["target"] == _USER


def test_composite_roles_change_a_role_and_make_none() -> None:
    path = "roles/admin/composites"
    event = keycloak_event(admin_event("REALM_ROLE", "CREATE", path, [{"name": "x"}]))
    assert event.type == "policy.update"
    assert event.data["resource"] == {"type": "role", "name": "admin"}


@pytest.mark.parametrize("owner", ["users", "groups"])
@pytest.mark.parametrize("done", ["CREATE", "DELETE"])
def test_several_roles_of_a_mapping_become_several_events(
    owner: str, done: str
) -> None:
    roles = [
        {"id": ROLE, "name": "admin", "clientRole": True, "containerId": CLIENT},
        {"id": "second", "name": "viewer"},
    ]
    path = f"{owner}/{ANN}/role-mappings/clients/{CLIENT}"
    events = keycloak_events(admin_event("CLIENT_ROLE_MAPPING", done, path, roles))
    assert {event.type for event in events} == {
        "role.assign" if done == "CREATE" else "role.revoke"
    }
    assert [event.data["resource"] for event in events] == [
        {"id": ROLE, "type": "role", "name": "admin", "scope": CLIENT},
        {"id": "second", "type": "role", "name": "viewer", "scope": CLIENT},
    ]
    kind = owner.removesuffix("s")
    assert all(event.data["target"] == {"id": ANN, "type": kind} for event in events)
    assert [event.id[-2:] for event in events] == ["#1", "#2"]
    assert "changes" not in events[0].data


def test_a_mapping_of_more_roles_than_that_says_so() -> None:
    path = f"users/{ANN}/role-mappings/realm"
    roles = [{"id": f"r{number}"} for number in range(65)]
    events = keycloak_events(admin_event("REALM_ROLE_MAPPING", "CREATE", path, roles))
    assert len(events) == 64
    assert events[0].flags == ("targets_cut",)


@pytest.mark.parametrize(
    ("record", "flags"),
    [
        (admin_event(), ("representation_missing",)),
        (admin_event(representation=""), ("representation_missing",)),
        (admin_event(representation={"a": 1}), ()),
        (admin_event("USER", "DELETE"), ()),
        (admin_event("USER", "ACTION", f"users/{ANN}/logout"), ()),
        (admin_event("GROUP_MEMBERSHIP", "CREATE", f"users/{ANN}/groups/g"), ()),
        (
            admin_event("REALM_ROLE_MAPPING", "DELETE", "users/u/role-mappings/realm"),
            ("representation_missing",),
        ),
        (
            admin_event("REALM_ROLE_MAPPING", "DELETE", "users/u/role-mappings/realm",
                        []),
            ("representation_missing",),
        ),
        ({**admin_event(), "representation": "7"}, ("representation_missing",)),
        ({**admin_event(), "representation": '{"a":'}, ("representation_unreadable",)),
        ({**admin_event(), "representation": '{"a":1,"a":2}'},
         ("representation_unreadable",)),
        (admin_event("GROUP_MEMBERSHIP", "CREATE", "elsewhere"), ("path_unknown",)),
        (admin_event("REALM", "UPDATE", "", {"a": 1}), ()),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_never_made_up(
    record: JsonValue, flags: tuple[str, ...]
) -> None:
    assert keycloak_event(record).flags == flags


def test_a_mapping_without_its_roles_names_none() -> None:
    path = f"users/{ANN}/role-mappings/clients/{CLIENT}"
    event = keycloak_event(admin_event("CLIENT_ROLE_MAPPING", "DELETE", path))
    assert event.type == "role.revoke"
    assert event.data["resource"] == {"type": "role", "scope": CLIENT}


def test_an_account_that_is_disabled_is_an_update_with_that_change() -> None:
    said = {"id": ANN, "username": "ann", "enabled": False}
    event = keycloak_event(admin_event("USER", "UPDATE", representation=said))
    assert event.type == "account.update"
    change = {"op": "replace", "path": "enabled", "value": False}
    changes = event.data["changes"]
    assert isinstance(changes, list)
    assert change in changes


def test_a_representation_of_more_members_than_fit_says_so() -> None:
    said = {f"m{number:04}": 1 for number in range(1001)}
    event = keycloak_event(admin_event(representation=said))
    changes = event.data["changes"]
    assert isinstance(changes, list)
    assert (len(changes), event.flags) == (1000, ("changes_cut",))


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (admin_event(error="not_found"), {"result": "failure", "reason": "not_found"}),
        (user_event("REGISTER_ERROR", error="email_in_use"),
         {"result": "failure", "reason": "email_in_use"}),
        (user_event("REGISTER_ERROR"), {"result": "failure"}),
        (user_event("REGISTER"), {"result": "success"}),
    ],
)  # fmt: skip
def test_an_error_is_a_failure_of_the_same_type(
    record: dict[str, Any], outcome: JsonValue
) -> None:
    event = keycloak_event(record)
    assert (event.type, event.data["outcome"]) == ("account.create", outcome)


def test_changes_of_a_user_event_come_from_its_details() -> None:
    details = {
        "username": "ann",
        "previous_email": "a@example.com",
        "updated_email": "b@example.com",
        "updated_first_name": "Ann",
    }
    event = keycloak_event(user_event("UPDATE_PROFILE", details=details))
    assert event.data["changes"] == [
        {
            "op": "replace",
            "path": "email",
            "old": "a@example.com",
            "value": "b@example.com",
        },
        {"op": "replace", "path": "first_name", "old": None, "value": "Ann"},
    ]


@pytest.mark.parametrize("record", [{}, {"type": 7, "id": "x"}, {"representation": 1}])
def test_what_is_no_event_of_keycloak_s_has_not_come_about(
    record: dict[str, Any],
) -> None:
    event = keycloak_event(record)
    assert event.type == "other.unknown"
    assert "outcome" not in event.data
    assert keycloak_event(record | {"error": "x"}).data["outcome"] == {
        "result": "failure",
        "reason": "x",
    }
