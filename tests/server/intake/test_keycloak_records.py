"""Keycloak's events by either way, at any time, and those that others published."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import decode_records, events_of
from provlog.server.intake.connectors.keycloak import TYPES
from provlog.server.intake.connectors.keycloak_types import USER_EVENTS
from provlog.server.intake.data_members import parse_data
from provlog.server.intake.event import TYPE, Event
from provlog.server.intake.members import split_members
from support.events import NOW, NOW_MS, json_values, read_all
from support.keycloak import (
    ANN,
    KEYCLOAK,
    ROLE,
    SOURCE,
    TIME,
    admin_event,
    by_webhook,
    keycloak_event,
    keycloak_events,
    user_event,
)
from support.vectors import samples_root


@pytest.mark.parametrize(
    "record",
    [
        admin_event(representation={"username": "ann"}),
        admin_event("USER", "DELETE"),
        admin_event("GROUP_MEMBERSHIP", "CREATE", f"users/{ANN}/groups/g"),
        admin_event(
            "REALM_ROLE_MAPPING", "CREATE", f"users/{ANN}/role-mappings/realm",
            [{"id": ROLE, "name": "a"}, {"id": "b"}],
        ),
        admin_event(
            "ORGANIZATION_MEMBERSHIP", "CREATE", "organizations/o/members",
            {"name": "Acme"}, details={"username": "carl"},
        ),
        user_event("REGISTER"),
        user_event("UPDATE_PASSWORD_ERROR", error="x"),
    ],
)  # fmt: skip
def test_an_event_is_the_same_by_the_api_and_by_a_webhook(
    record: dict[str, Any],
) -> None:
    polled, sent = keycloak_events(record), keycloak_events(by_webhook(record))
    assert [event.id for event in polled] == [event.id for event in sent]
    assert [event.type for event in polled] == [event.type for event in sent]
    for one, other in zip(polled, sent, strict=True):
        assert one.comparison() == other.comparison()


def test_names_that_only_a_webhook_tells_stand_in_the_context() -> None:
    context = keycloak_event(by_webhook(admin_event())).data["context"]
    assert isinstance(context, dict)
    assert (context["actor_name"], context["realm"]) == ("bob", "acme")


def test_a_webhook_s_type_is_read_where_it_has_nothing_else() -> None:
    record = {"type": "admin.USER-DELETE", "uid": "u", "resourcePath": f"users/{ANN}"}
    event = keycloak_event(record)
    assert (event.id, event.type) == ("u", "account.delete")


@pytest.mark.parametrize(
    ("time", "expected", "flags"),
    [
        (None, NOW, ("time_missing",)),
        (-1, NOW, ("time_unreadable",)),
        (True, NOW, ("time_unreadable",)),
        (10**17, NOW, ("time_unreadable",)),
        ("2026-11-21T17:53:55.516Z", TIME, ()),
    ],
)
def test_a_time_that_is_none_is_replaced_with_a_flag(
    time: JsonValue, expected: str, flags: tuple[str, ...]
) -> None:
    event = keycloak_event(admin_event("USER", "DELETE", time=time))
    assert (event.time, event.flags) == (expected, flags)


def test_every_mapped_type_is_reached_and_is_a_type() -> None:
    for native, ours in TYPES.items():
        assert TYPE.fullmatch(ours)
        if native in USER_EVENTS:
            assert keycloak_event(user_event(native)).type == ours
            continue
        name, _, below = native.partition("/")
        resource, _, operation = name.rpartition("-")
        path = {"USER": "users/x", "CLIENT": "clients/x"}.get(resource, "roles/x")
        if resource == "CLIENT_ROLE":
            path = "clients/x/roles/x"
        words = "/x/".join(below.split("/")) if below else ""
        record = admin_event(resource, operation, f"{path}/{words}" if below else None)
        assert keycloak_event(record).type == ours, native


def test_no_secret_of_a_representation_gets_into_an_entry() -> None:
    for said in (
        {"type": "secret", "value": "hush"},
        {"username": "ann", "credentials": [{"type": "password", "value": "hush"}]},
        {"clientId": "wiki", "secret": "hush"},
    ):
        sent = json.dumps(by_webhook(admin_event(representation=said))).encode()
        for event in events_of(KEYCLOAK, sent, SOURCE, NOW_MS):
            assert "hush" not in f"{event.data} {event.original}"


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted({name.partition("-")[0] for name in TYPES})),
    st.sampled_from(["CREATE", "UPDATE", "DELETE", "ACTION"]),
    st.lists(st.sampled_from(["users", "groups", "roles", "", "realm", "é", ANN])).map(
        "/".join
    )
    | st.text(max_size=40),
    json_values(),
)
def test_any_path_and_representation_become_events_within_the_limits(
    resource: str, operation: str, path: str, said: JsonValue
) -> None:
    record = admin_event(resource, operation, path, details=said)
    for representation in (said, json.dumps(said), [said, {"id": said, "name": path}]):
        text = json.dumps(representation)
        for event in keycloak_events({**record, "representation": text}):
            assert TYPE.fullmatch(event.type)
            data, _ = parse_data(event.data)
            assert data == event.data
            assert split_members(event, "urn:ns", {})
            assert event.comparison()


@pytest.mark.needs("samples")
def test_every_published_sample_becomes_an_event() -> None:
    body = (samples_root() / "keycloak" / "admin-events.ndjson").read_bytes()
    records = [line for line in body.split(b"\n") if line]
    events = read_all(decode_records(KEYCLOAK, body, SOURCE, NOW_MS))
    assert len(events) == len(records)
    for event, record in zip(events, records, strict=True):
        assert isinstance(event, Event)
        assert event.original == {
            "media_type": "application/json",
            "body": record.decode(),
        }
        assert (event.type, event.flags) == ("account.delete", ())
